"""How an experiment goes on, as a person sees it: what is being trained, how far that is, when all will be done."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

import rich.progress
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tf_lottery.experiment.plan import Plan
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.experiment.watcher import Watcher
from tf_lottery.report import terminal, text
from tf_lottery.report.analysis import LABELS, TICKET

_LOOKS_A_SECOND = 4


@dataclass
class _Row:
    """A training in its place of the display, where it stays when it is done until another one takes the place.

    Attributes:
        unit: Which training.
        step: Where it is, counted from the start of training.
        end: Where it ends.
        accuracy: On the validation set, 0-1, when that was last measured; None before.
        is_done: Whether it is finished.
    """

    unit: Unit
    step: int
    end: int
    accuracy: float | None = None
    is_done: bool = False


class Progress(Watcher):
    """A watcher of `find_tickets`: one display in a terminal, one line a training elsewhere.

    Args:
        quiet: Whether nothing at all is said.
        stderr: Whether that is said on standard error, so that standard output is free for a result.
    """

    def __init__(self, *, quiet: bool = False, stderr: bool = False) -> None:
        self._console = terminal.console(quiet=quiet, stderr=stderr)
        # Only where lines can be written over: not in a dumb terminal, nor in a file, whatever FORCE_COLOR says.
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
        self._live = Live(console=self._console, get_renderable=self.display, refresh_per_second=_LOOKS_A_SECOND)
        self._started = time.monotonic()

    def __enter__(self) -> "Progress":
        if self._is_live:
            self._live.start(refresh=True)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._rows, self._last = [], ""
        self._live.transient = not self._work  # the bar stays, unless there was nothing to do
        self._live.stop()

    def on_plan(self, work: Mapping[Unit, int], done: list[Unit], plan: Plan) -> None:
        total, seconds = sum(work.values()), plan.seconds(work)
        self._work, self._plan = work, plan
        # From here on the time counts: what TensorFlow takes to start would make the rest look slow.
        self._bar.reset(self._task, total=total, description=self._count())
        kept = f", {len(done)} done before" if done else ""
        replicas = plan.environment.get("replicas", 1)
        devices = f", each on {replicas} devices" if replicas > 1 else ""
        about = "" if seconds is None else f": about {text.duration(seconds)}, with {plan.jobs} side by side"
        lines = (
            ". Error along the lines between data orders comes on top"
            if any(unit.shuffle_seed for unit in work)
            else ""
        )
        self._console.print(
            f"{len(work)} trainings to do{kept}; {total:,} optimizer steps in all{devices}{about}{lines}.",
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
        self._console.print(note, markup=False, highlight=False, soft_wrap=True)

    def _count(self) -> str:
        return f"{self._finished}/{len(self._work)} trainings"

    def _row(self, unit: Unit) -> _Row:
        """Return the row of a training; a new one takes the place of one that is done."""
        if found := next((row for row in self._rows if row.unit == unit), None):
            return found
        end, _ = self._plan.steps[unit.variant]
        new = _Row(unit, end - self._plan.length(unit), end)
        places = (place for place, row in enumerate(self._rows) if row.is_done)
        place = next(places, len(self._rows))
        self._rows[place : place + 1] = [new]
        return new

    def display(self) -> Group:
        """What the terminal shows now: the bar, the trainings under way, the last one that was done."""
        last = [_cut(f" done: {self._last}")] if self._last else []
        return Group(self._bar, *([_table(self._rows)] if self._rows else []), *last)


def _table(rows: list[_Row]) -> Table:
    has_variants = any(row.unit.variant for row in rows)
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for name in ("replicate", *(("variant",) * has_variants), "level", "training", "step", "validation"):
        is_text = name in ("variant", "training")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text)
    for row in rows:
        variant = (_cut(row.unit.variant),) * has_variants
        accuracy = "" if row.accuracy is None else f"{row.accuracy:.1%}"
        steps = f"{row.step:,}/{row.end:,}"
        table.add_row(str(row.unit.replicate), *variant, str(row.unit.level), _cut(_kind(row.unit)), steps, accuracy)
    return table


def _cut(words: str) -> Text:
    """On one line, however narrow that is."""
    return Text(words, overflow="ellipsis", no_wrap=True)


def _kind(unit: Unit) -> str:
    branch = LABELS[unit.control or TICKET] if unit.level else "dense network"
    return f"{branch}, shuffle seed {unit.shuffle_seed}" if unit.shuffle_seed else branch
