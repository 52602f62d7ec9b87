"""What a person sees in the terminal: one progress display for a whole experiment, the table at its end."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import pandas as pd
import rich.box
import rich.progress
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tf_lottery.experiment.plan import Plan
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.experiment.watcher import Watcher
from tf_lottery.report import analysis, tables, text

_WIDTH = 160
_UNLIMITED = 10_000
_MOST_CONCLUSIONS = 16
_CLAIMS = "Claims, compared in pairs over replicates; p-values are not corrected for their number:"


class Progress(Watcher):
    """A watcher of `find_tickets`: a bar with the time left in a terminal, one line a training elsewhere."""

    def __init__(self) -> None:
        self._console = console()
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.TaskProgressColumn(),
            rich.progress.TextColumn("[cyan]{task.fields[place]}"),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TextColumn("left:"),
            rich.progress.TimeRemainingColumn(elapsed_when_finished=False),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._started = time.monotonic()

    def __enter__(self) -> "Progress":
        self._bar.start()
        self._task = self._bar.add_task("Starting", total=None, place="")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def on_plan(self, work: Mapping[Unit, int], done: list[Unit], plan: Plan) -> None:
        total, seconds = sum(work.values()), plan.seconds(work)
        self._work, self._finished = work, 0
        self._bar.update(self._task, total=total, description=self._count())
        kept = f", {len(done)} done before" if done else ""
        replicas = plan.environment.get("replicas", 1)
        devices = f", each on {replicas} devices" if replicas > 1 else ""
        about = "" if seconds is None else f": about {text.duration(seconds)}, with {plan.jobs} side by side"
        lines = ". Error along the lines between data orders comes on top" if any(unit.order for unit in work) else ""
        self._console.print(
            f"{len(work)} trainings to do{kept}; {total:,} optimizer steps in all{devices}{about}{lines}.",
            highlight=False,
        )

    def on_steps(self, unit: Unit, steps: int) -> None:
        self._bar.update(self._task, advance=steps, place=str(unit))

    def on_done(self, run: Run, unit: Unit) -> None:
        self._finished += 1
        self._bar.update(self._task, description=self._count())
        if not self._console.is_terminal:
            metrics, seconds = run.metrics(unit), time.monotonic() - self._started
            self._console.print(
                f"[{seconds:6.0f} s] {self._count()}: {unit}: density {metrics['density']:.1%}, "
                f"test accuracy {metrics['early_stop_test_accuracy']:.2%} at step {metrics['early_stop_step']}",
                markup=False,
                highlight=False,
            )

    def on_note(self, note: str) -> None:
        self._console.print(note, markup=False, highlight=False, soft_wrap=True)

    def _count(self) -> str:
        return f"{self._finished}/{len(self._work)} trainings"


def show(run: Run, page: Path) -> None:
    """Prints what came out: the table of levels, what is shown or contradicted, the headline, and where the page is.

    Args:
        run: The run.
        page: From `page.write`; the claims are read from the table beside it.
    """
    frame = analysis.rows(run)
    frames = analysis.by_variant(frame)
    out = console()
    out.print(text.description(run.config), markup=False, highlight=False)
    if run.config.variants:
        out.print(_table(text.dense_networks(frame), title="Dense networks"))
        out.print(text.DENSE_MEANING, markup=False, highlight=False)
    frames = analysis.pruned(frames)
    for label, rows in frames.items():
        table = text.table(rows)
        if label:
            out.print(f"\n{label}", style="bold", markup=False, highlight=False)
        whole = _table(table, title=None)
        apart = [_table(table[["", group]], title=group) for group in text.MEASURES]
        unlimited = out.options.update(max_width=_UNLIMITED)
        for part in [whole] if out.measure(whole, options=unlimited).maximum <= out.width else apart:
            out.print(part)
    if frames:
        out.print(f"{text.CELLS_MEANING} {text.VERDICT_MEANING}", markup=False, highlight=False)
    conclusions = _conclusions(page)
    if conclusions:
        out.print(f"\n{_CLAIMS}", markup=False, highlight=False)
    for line in conclusions[:_MOST_CONCLUSIONS]:
        out.print(line, markup=False, highlight=False)
    if more := conclusions[_MOST_CONCLUSIONS:]:
        out.print(f"… and {len(more)} more, on the page.", markup=False, highlight=False)
    out.print()
    for warning in (text.exactness(analysis.environments(run)), text.completeness(run)):
        if warning:
            out.print(warning, style="bold red", markup=False, highlight=False)
    for label, rows in frames.items():
        headline = text.headline(rows)
        out.print(f"{label}: {headline}" if label else headline, style="bold", markup=False, highlight=False)
    out.print(f"Report: {page}", markup=False, highlight=False, soft_wrap=True)


def show_table(frame: pd.DataFrame, title: str) -> None:
    """Prints a table of texts."""
    console().print(_table(frame, title=title))


def say(message: str) -> None:
    """Prints one line."""
    console().print(message, markup=False, highlight=False, soft_wrap=True)


def console(width: int = _WIDTH) -> Console:
    """Standard output: as wide as the terminal, or as `width` characters where there is none."""
    out = Console()
    return out if out.is_terminal else Console(width=width)


def _conclusions(page: Path) -> list[str]:
    columns = ["variant", "subject", "statement", "measure", "density", "verdict"]
    path = page.with_name(tables.COMPARISONS)
    return tables.conclusions(pd.read_csv(path, usecols=columns, dtype={"variant": str}, keep_default_na=False))


def _table(frame: pd.DataFrame, title: str | None) -> Table:
    table = Table(title=title, title_style="bold", box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in frame:
        group, name = column if isinstance(column, tuple) else ("", column)
        table.add_column(f"{name}\n{group}" if group and title is None else name, justify="right")
    for _, line in frame.iterrows():
        style = "green" if line.get(("", "verdict")) == analysis.WINNING else None
        table.add_row(*(escape(cell) for cell in line), style=style)
    return table
