"""Pieces of a page as HTML; whatever text they are given, it cannot break the page."""

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tf_lottery.report.figures.catalogue import Drawn
from tf_lottery.report.tables import SYMBOLS, WORDS

_CLASSES = {symbol: verdict.replace(" ", "-") for verdict, symbol in SYMBOLS.items()}


def paragraph(sentences: str, kind: str = "") -> str:
    """Return a paragraph, of a class if there is one."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{html.escape(sentences)}</p>"


def warning(sentence: str) -> str:
    """Return a paragraph that stands out; nothing for `""`."""
    return paragraph(sentence, "warning") if sentence else ""


def points(sentences: Sequence[str], kind: str) -> str:
    """Return a list, of a class; nothing for none."""
    items = "".join(f"<li>{html.escape(sentence)}</li>\n" for sentence in sentences)
    return f'<ul class="{kind}">\n{items}</ul>' if items else ""


def details(summary: str, content: str) -> str:
    """What is seen on demand."""
    return f"<details><summary>{html.escape(summary)}</summary>\n{content}\n</details>"


def link(name: str) -> str:
    """To a file beside the page."""
    return f'<a href="{html.escape(name)}">{html.escape(name)}</a>'


def source(*names: str) -> str:
    """Return which files beside the page hold the numbers of what stands above."""
    return f'<p class="source">Numbers: {", ".join(map(link, names))}</p>'


def figures(drawn: Mapping[str, Drawn]) -> str:
    """Images beside each other, in the page itself."""
    return "\n".join(['<div class="figures">', *(_figure(name, one) for name, one in drawn.items()), "</div>"])


def table(frame: pd.DataFrame, *sources: str, rows: Sequence[str] = (), verdicts: bool = False) -> str:
    """Return a table of text; columns may have a group each, as (group, column).

    Args:
        frame: Its cells.
        sources: The files beside the page that hold its numbers.
        rows: A class for each row.
        verdicts: Whether a cell that begins with the symbol of a verdict has the class of that.
    """
    lines, last = [], frame.columns.get_level_values(-1)
    for place, line in enumerate(frame.itertuples(index=False)):
        attribute = f' class="{rows[place]}"' if rows else ""
        kinds = [_kind(name, cell if verdicts else "") for name, cell in zip(last, line, strict=True)]
        cells = "".join(f"<td{kind}>{html.escape(cell)}</td>" for kind, cell in zip(kinds, line, strict=True))
        lines.append(f"<tr{attribute}>{cells}</tr>\n")
    names = "".join(f'<th scope="col"{_kind(name, "")}>{html.escape(name)}</th>' for name in last)
    head = f"<thead>{_groups(frame)}<tr>{names}</tr></thead>"
    content = f"<table>\n{head}\n<tbody>\n{''.join(lines)}</tbody></table>"
    return f'<div class="scroll">{content}</div>\n{source(*sources)}'


def definitions(content: Mapping[str, Any]) -> str:
    """Names and values, for a `<dl>`."""
    return "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>" for name, value in content.items())


def _figure(name: str, drawn: Drawn) -> str:
    image = f"data:image/png;base64,{base64.b64encode(drawn.image).decode()}"
    words = f"Figure: {name.replace('_', ' ')}. Its numbers are in {drawn.source}."
    caption = f"<figcaption>{html.escape(drawn.caption)} Numbers: {link(drawn.source)}</figcaption>"
    return f'<figure><img src="{image}" alt="{html.escape(words)}">{caption}</figure>'


def _groups(frame: pd.DataFrame) -> str:
    if frame.columns.nlevels == 1:
        return ""
    groups = frame.columns.get_level_values(0)
    spans = "".join(
        f'<th scope="colgroup" colspan="{(groups == group).sum()}"><span>{html.escape(group)}</span></th>'
        for group in groups.unique()
    )
    return f'<tr class="groups">{spans}</tr>\n'


def _kind(column: str, cell: str) -> str:
    kind = WORDS.get(column) or _CLASSES.get(cell[:1])
    return f' class="{kind}"' if kind else ""
