"""What a command says to a person: tables, the results of a run, single lines."""

from pathlib import Path

import pandas as pd
import rich.box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tf_lottery.experiment.storage import Run
from tf_lottery.report import analysis, findings, tables, text

_WIDTH = 160
_UNLIMITED = 10_000
_MOST_CONCLUSIONS = 16
_CLAIMS = "Claims, compared in pairs over replicates; p-values are not corrected for their number:"


def show(run: Run, page: Path) -> None:
    """Print what came out: the table of levels, what is shown or contradicted, the headline, and where the page is.

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
    """Print a table of texts."""
    console().print(_table(frame, title=title))


def say(message: str) -> None:
    """Print one line."""
    console().print(message, markup=False, highlight=False, soft_wrap=True)


def console(width: int = _WIDTH, *, quiet: bool = False, stderr: bool = False) -> Console:
    """Standard output: as wide as the terminal, or as `width` characters where there is none.

    Args:
        width: In characters.
        quiet: Whether it swallows all that it is given.
        stderr: Whether it is standard error instead.
    """
    out = Console(quiet=quiet, stderr=stderr)
    return out if out.is_terminal else Console(width=width, quiet=quiet, stderr=stderr)


def _conclusions(page: Path) -> list[str]:
    columns = ["variant", "subject", "statement", "measure", "density", "verdict"]
    path = page.with_name(findings.COMPARISONS)
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
