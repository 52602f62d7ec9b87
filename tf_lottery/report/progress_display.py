"""Shows the progress of an experiment: what is being trained, how far it is, and the time left."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

import rich.progress
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tf_lottery import escapes
from tf_lottery.experiment.plan import Plan
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.experiment.workers import Watcher
from tf_lottery.report import terminal, text
from tf_lottery.report.results import LABELS, TICKET

_REFRESHES_PER_SECOND = 4


@dataclass
class _Row:
    """A row of the display. The row of a finished unit stays until another unit takes its place.

    Attributes:
        unit: The unit.
        step: Its present step, counted from the start of training.
        end: Its last step.
        accuracy: The latest accuracy on the validation set, 0-1; None before the first evaluation.
        is_done: Whether it is finished.
    """

    unit: Unit
    step: int
    end: int
    accuracy: float | None = None
    is_done: bool = False


class ProgressDisplay(Watcher):
    """A watcher for `find_tickets`, and a context manager: a live display in a terminal, elsewhere a line per unit.

    Args:
        quiet: Whether to print nothing. Defaults to False.
        stderr: Whether to print to standard error, so that standard output is free for a result. Defaults to False.
    """

    def __init__(self, *, quiet: bool = False, stderr: bool = False) -> None:
        self._console = terminal.console(quiet=quiet, stderr=stderr)
        # A live display needs lines that can be overwritten: not a dumb terminal, nor a file despite FORCE_COLOR.
        self._is_live = self._console.is_interactive and self._console.file.isatty()
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.TaskProgressColumn(),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TextColumn("left:"),
            rich.progress.TimeRemainingColumn(elapsed_when_finished=False),
            console=self._console,
        )
        self._task = self._bar.add_task("Starting", total=None)
        self._work: Mapping[Unit, int] = {}
        self._rows: list[_Row] = []
        self._finished, self._last = 0, ""
        self._live = Live(console=self._console, get_renderable=self.display, refresh_per_second=_REFRESHES_PER_SECOND)
        self._started = time.monotonic()

    def __enter__(self) -> "ProgressDisplay":
        if self._is_live:
            self._live.start(refresh=True)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._rows, self._last = [], ""
        self._live.transient = not self._work  # the bar stays if there was anything to do
        self._live.stop()

    def on_plan(self, work: Mapping[Unit, int], done: list[Unit], plan: Plan) -> None:
        total, seconds = sum(work.values()), plan.seconds(work)
        self._work, self._plan = work, plan
        # The clock starts here: with the start of TensorFlow, the estimate of the time left would be too long.
        self._bar.reset(self._task, total=total, description=self._count())
        before = f", {len(done)} done before" if done else ""
        replicas = plan.environment.get("replicas", 1)
        devices = f", each on {replicas} devices" if replicas > 1 else ""
        duration = "" if seconds is None else f": about {text.duration(seconds)} of training with jobs={plan.jobs}"
        lines = (
            ". Measuring the lines between data orders takes time in addition"
            if any(unit.shuffle_seed for unit in work)
            else ""
        )
        self._console.print(
            f"{len(work)} training runs to do{before}; {total:,} optimizer steps in all{devices}{duration}{lines}.",
            highlight=False,
        )

    def on_steps(self, unit: Unit, steps: int) -> None:
        self._row(unit).step += steps
        self._bar.advance(self._task, steps)

    def on_accuracy(self, unit: Unit, accuracy: float) -> None:
        self._row(unit).accuracy = accuracy

    def on_done(self, run: Run, unit: Unit) -> None:
        self._finished += 1
        self._row(unit).is_done = True
        self._bar.update(self._task, description=self._count())
        metrics, seconds = run.metrics(unit), time.monotonic() - self._started
        self._last = (
            f"{unit}: density {metrics['density']:.1%}, "
            f"test accuracy {metrics['early_stop_test_accuracy']:.2%} at step {metrics['early_stop_step']}"
        )
        if not self._is_live:
            self.on_note(f"[{seconds:6.0f} s] {self._count()}: {self._last}")

    def on_note(self, note: str) -> None:
        self._console.print(escapes.shown(note), markup=False, highlight=False, soft_wrap=True)

    def _count(self) -> str:
        return f"{self._finished}/{len(self._work)} training runs"

    def _row(self, unit: Unit) -> _Row:
        """Return the row of a unit; a new row replaces that of a finished unit, if there is one."""
        if found := next((row for row in self._rows if row.unit == unit), None):
            return found
        end, _ = self._plan.steps[unit.variant]
        new = _Row(unit, end - self._plan.length(unit), end)
        places = (place for place, row in enumerate(self._rows) if row.is_done)
        place = next(places, len(self._rows))
        self._rows[place : place + 1] = [new]
        return new

    def display(self) -> Group:
        """Return the present display: the bar, the units under way, and the unit that finished last."""
        last = [_cut(f" done: {self._last}")] if self._last else []
        return Group(self._bar, *([_table(self._rows)] if self._rows else []), *last)


def _table(rows: list[_Row]) -> Table:
    has_variants = any(row.unit.variant for row in rows)
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for name in ("replicate", *(("variant",) * has_variants), "level", "network", "step", "validation"):
        is_text = name in ("variant", "network")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text)
    for row in rows:
        variant = (_cut(row.unit.variant),) * has_variants
        accuracy = "" if row.accuracy is None else f"{row.accuracy:.1%}"
        steps = f"{row.step:,}/{row.end:,}"
        table.add_row(str(row.unit.replicate), *variant, str(row.unit.level), _cut(_kind(row.unit)), steps, accuracy)
    return table


def _cut(words: str) -> Text:
    """Return text that stays on one line and ends in an ellipsis where it does not fit."""
    return Text(escapes.shown(words), overflow="ellipsis", no_wrap=True)


def _kind(unit: Unit) -> str:
    branch = LABELS[unit.control or TICKET] if unit.level else "dense network"
    return f"{branch}, shuffle seed {unit.shuffle_seed}" if unit.shuffle_seed else branch
