"""What commands print for people: the report of a run, tables of runs and of their units, single lines."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import rich.box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tf_lottery import escapes
from tf_lottery.experiment.storage import Run
from tf_lottery.report import findings, results, tables, text
from tf_lottery.report.overview import Overview, UnitStatus

_WIDTH = 160  # characters, where there is no terminal
_UNLIMITED = 10_000
_WIDE_TABLE = 1000  # so that each row of a table of runs is one line, where there is no terminal
_MOST_CONCLUSIONS = 16
_CLAIMS = "Claims, compared in pairs over replicates; p-values are not corrected for their number:"
_TIME_LEFT = "the training time of the remaining steps, one after another, at the median pace so far"
_STATES = "A training run under way shows the step of its newest checkpoint; without one, it counts as waiting."
_NOT_VERIFIED = "Not verified: the report, which can be built again, and timing.json, on which nothing depends."


class _Terminal(Console):
    """A console on which no text can control the terminal: tables and lines show escape codes as text."""

    def render_str(self, text: str, **settings: Any) -> Text:
        return super().render_str(escapes.shown(text, lines=True), **settings)


def console(width: int = _WIDTH, *, quiet: bool = False, stderr: bool = False) -> Console:
    """Return a console for standard output.

    Args:
        width: Its width in characters where there is no terminal. Defaults to 160.
        quiet: Whether it prints nothing. Defaults to False.
        stderr: Whether it prints to standard error instead. Defaults to False.
    """
    out = _Terminal(quiet=quiet, stderr=stderr)
    return out if out.is_terminal else _Terminal(width=width, quiet=quiet, stderr=stderr)


def say(message: str) -> None:
    """Print one line."""
    console().print(escapes.shown(message), markup=False, highlight=False, soft_wrap=True)


def show_table(frame: pd.DataFrame, title: str) -> None:
    """Print a table of text under a title."""
    console().print(_table(frame, title=title))


def show_report(run: Run, page: Path) -> None:
    """Print the results of a run: tables of levels, conclusions, warnings, headlines, and the path of the page.

    Args:
        run: The run.
        page: The path of its page, see `page.write`. The claims are read from the table beside it.
    """
    frame = results.rows(run)
    frames = results.pruned(results.by_variant(frame))
    out = console()

    def line(message: str, style: str | None = None) -> None:
        out.print(message, style=style, markup=False, highlight=False)

    line(text.description(run.config))
    if run.config.variants:
        out.print(_table(tables.dense_networks(frame), title="Dense networks"))
        line(tables.DENSE_MEANING)
    for label, rows in frames.items():
        if label:
            line(f"\n{label}", style="bold")
        for table in _level_tables(tables.levels(rows), out):
            out.print(table)
    if frames:
        line(f"{tables.CELLS_MEANING} {tables.VERDICT_MEANING}")
    _show_conclusions(page, line)
    out.print()
    for warning in (text.exactness(results.environments(run)), text.completeness(run)):
        if warning:
            line(warning, style="bold red")
    for label, rows in frames.items():
        headline = text.headline(rows)
        line(f"{label}: {headline}" if label else headline, style="bold")
    out.print(f"Report: {page}", markup=False, highlight=False, soft_wrap=True)


def show_runs(runs: Sequence[Overview], faults: Sequence[str]) -> None:
    """Print a table of runs, one row each, and the damage to them.

    Args:
        runs: The status of each run.
        faults: Descriptions of the runs that cannot be loaded.
    """
    table = _empty_table(left=("run", "experiment", "state"), right=("training runs", "optimizer steps", "time left"))
    for run in runs:
        what = text.subject(run.run.config)
        _add(table, str(run.run.path), what, run.state, _units(run), _steps(run), _time_left(run))
    if runs:
        console(_WIDE_TABLE).print(table)
        say(f"Time left is {_TIME_LEFT}.")
    for fault in [*faults, *(fault for run in runs for fault in run.faults)]:
        say(fault)


def show_run(run: Overview) -> None:
    """Print the units of a run, one row each, and its status."""
    has_variants = bool(run.run.config.variants)
    left = ("replicate", *(("variant",) * has_variants), "level", "control", "state")
    table = _empty_table(left=left, right=("density", "test accuracy", "seconds"))
    for status in run.units:
        _add(table, *_cells(status, has_variants=has_variants))
    say(f"{run.run.path}: {text.description(run.run.config)}")
    console(_WIDE_TABLE).print(table)
    for fault in run.faults:
        say(fault)
    say(_STATES)
    say(f"{_units(run)} training runs finished, optimizer steps: {_steps(run)}; {run.state}.")
    say(f"Time left: {_time_left(run)} ({_TIME_LEFT}).")


def show_files(faults: Sequence[tuple[Path, str]]) -> None:
    """Print the damaged files of a run, or that all are intact.

    Args:
        faults: The files and their damage, see `overview.verify`.
    """
    damaged = [fault for _, fault in faults if fault]
    for fault in damaged:
        say(fault)
    say(_NOT_VERIFIED)
    if not damaged:
        say(f"{len(faults)} files, all intact.")


def _level_tables(levels: pd.DataFrame, out: Console) -> list[Table]:
    """Return the levels in one table if that fits the console, otherwise in one table for each measure."""
    whole = _table(levels, title=None)
    unlimited = out.options.update(max_width=_UNLIMITED)
    if out.measure(whole, options=unlimited).maximum <= out.width:
        return [whole]
    return [_table(levels[["", group]], title=group) for group in tables.LEVEL_MEASURES]


def _show_conclusions(page: Path, line: Callable[[str], None]) -> None:
    columns = ["variant", "subject", "statement", "measure", "density", "verdict"]
    path = page.with_name(findings.COMPARISONS)
    comparisons = pd.read_csv(path, usecols=columns, dtype={"variant": str}, keep_default_na=False)
    conclusions = tables.conclusions(comparisons)
    if conclusions:
        line(f"\n{_CLAIMS}")
    for conclusion in conclusions[:_MOST_CONCLUSIONS]:
        line(conclusion)
    if more := conclusions[_MOST_CONCLUSIONS:]:
        line(f"… and {len(more)} more, on the page.")


def _table(frame: pd.DataFrame, title: str | None) -> Table:
    table = Table(title=title, title_style="bold", box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in frame:
        group, name = column if isinstance(column, tuple) else ("", column)
        table.add_column(f"{name}\n{group}" if group and title is None else name, justify="right")
    for _, row in frame.iterrows():
        style = "green" if row.get(("", "verdict")) == results.WINNING else None
        table.add_row(*map(_cell, row), style=style)
    return table


def _empty_table(*, left: Sequence[str], right: Sequence[str]) -> Table:
    """Return a table without rows, whose columns are named and aligned to the left, then to the right."""
    table = Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in left:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right")
    return table


def _add(table: Table, *cells: str) -> None:
    table.add_row(*map(_cell, cells))


def _cell(text: str) -> str:
    return escape(escapes.shown(text))


def _cells(status: UnitStatus, *, has_variants: bool) -> list[str]:
    """Return the row of a unit in the table of `show_run`."""
    unit, metrics = status.unit, status.metrics
    reached = [f"{metrics['density']:.1%}", f"{metrics['early_stop_test_accuracy']:.2%}"] if metrics else ["", ""]
    seconds = "" if status.seconds is None else f"{status.seconds:.1f}"
    shuffle_seed = f"shuffle seed {unit.shuffle_seed}" if unit.shuffle_seed else ""
    branch = ", ".join(part for part in (unit.control, shuffle_seed) if part)
    variant = [unit.variant] * has_variants
    return [str(unit.replicate), *variant, str(unit.level), branch, status.state, *reached, seconds]


def _units(run: Overview) -> str:
    return f"{run.done}/{len(run.units)}"


def _steps(run: Overview) -> str:
    return "unknown" if run.steps is None else f"{run.steps[0]:,}/{run.steps[1]:,}"


def _time_left(run: Overview) -> str:
    seconds = run.seconds_left
    return "unknown" if seconds is None else text.duration(seconds)
