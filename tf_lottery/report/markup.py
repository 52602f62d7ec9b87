"""Elements of the page in HTML, and tables in Markdown. All text is escaped, so it cannot break the document."""

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tf_lottery import escapes
from tf_lottery.report.figures.catalogue import Drawn
from tf_lottery.report.tables import STATEMENT, SYMBOLS

# The CSS classes of columns that hold words (other columns hold numbers), and of cells with a verdict.
_COLUMN_CLASSES = {"variant": "words", "measure": "words", "claim": "words long", STATEMENT: "words long"}
_VERDICT_CLASSES = {symbol: verdict.replace(" ", "-") for verdict, symbol in SYMBOLS.items()}


def escaped(text: str) -> str:
    """Return text as HTML that shows it, and nothing else."""
    return html.escape(escapes.shown(text))


def paragraph(sentences: str, kind: str = "") -> str:
    """Return a paragraph.

    Args:
        sentences: Its text.
        kind: Its CSS class. Defaults to none.
    """
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{escaped(sentences)}</p>"


def warning(sentence: str) -> str:
    """Return a highlighted paragraph, or `""` for an empty sentence."""
    return paragraph(sentence, "warning") if sentence else ""


def points(sentences: Sequence[str], kind: str) -> str:
    """Return a list of the CSS class `kind`, or `""` for no sentences."""
    items = "".join(f"<li>{escaped(sentence)}</li>\n" for sentence in sentences)
    return f'<ul class="{kind}">\n{items}</ul>' if items else ""


def details(summary: str, content: str) -> str:
    """Return content that is folded away below its summary; `content` is HTML."""
    return f"<details><summary>{escaped(summary)}</summary>\n{content}\n</details>"


def link(name: str) -> str:
    """Return a link to a file beside the page."""
    return f'<a href="{escaped(name)}">{escaped(name)}</a>'


def source(*names: str) -> str:
    """Return a paragraph that links the files with the numbers of the element above."""
    return f'<p class="source">Numbers: {", ".join(map(link, names))}</p>'


def figures(drawn: Mapping[str, Drawn]) -> str:
    """Return figures side by side, with the images embedded."""
    return "\n".join(['<div class="figures">', *(_figure(name, one) for name, one in drawn.items()), "</div>"])


def table(frame: pd.DataFrame, *sources: str, row_classes: Sequence[str] = (), verdicts: bool = False) -> str:
    """Return a table.

    Args:
        frame: Its cells, all text. The columns may be (group, name).
        sources: The files beside the page that hold its numbers.
        row_classes: A CSS class for each row. Defaults to none.
        verdicts: Whether cells that begin with the symbol of a verdict get its CSS class. Defaults to False.
    """
    lines, names = [], frame.columns.get_level_values(-1)
    for place, line in enumerate(frame.itertuples(index=False)):
        attribute = f' class="{row_classes[place]}"' if row_classes else ""
        classes = [_class(name, cell if verdicts else "") for name, cell in zip(names, line, strict=True)]
        cells = "".join(f"<td{kind}>{escaped(cell)}</td>" for kind, cell in zip(classes, line, strict=True))
        lines.append(f"<tr{attribute}>{cells}</tr>\n")
    headers = "".join(f'<th scope="col"{_class(name, "")}>{escaped(name)}</th>' for name in names)
    head = f"<thead>{_groups(frame)}<tr>{headers}</tr></thead>"
    content = f"<table>\n{head}\n<tbody>\n{''.join(lines)}</tbody></table>"
    return f'<div class="scroll">{content}</div>\n{source(*sources)}'


def definitions(content: Mapping[str, Any]) -> str:
    """Return names and values as the content of a `<dl>`."""
    return "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(str(value))}</dd>" for name, value in content.items())


def markdown_table(frame: pd.DataFrame) -> str:
    """Return a table in Markdown.

    Args:
        frame: Its cells, all text. The columns may be (group, name), which are joined.
    """
    names = [" ".join(part for part in name if part) if isinstance(name, tuple) else name for name in frame]
    lines = [names, ["---"] * len(names), *frame.itertuples(index=False)]
    return "".join(
        "| " + " | ".join(escapes.shown(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def _figure(name: str, drawn: Drawn) -> str:
    image = f"data:image/png;base64,{base64.b64encode(drawn.image).decode()}"
    words = f"Figure: {name.replace('_', ' ')}. Its numbers are in {drawn.source}."
    caption = f"<figcaption>{escaped(drawn.caption)} Numbers: {link(drawn.source)}</figcaption>"
    return f'<figure><img src="{image}" alt="{escaped(words)}">{caption}</figure>'


def _groups(frame: pd.DataFrame) -> str:
    """Return the header row of the groups of columns, or `""` without groups."""
    if frame.columns.nlevels == 1:
        return ""
    groups = frame.columns.get_level_values(0)
    spans = "".join(
        f'<th scope="colgroup" colspan="{(groups == group).sum()}"><span>{escaped(group)}</span></th>'
        for group in groups.unique()
    )
    return f'<tr class="groups">{spans}</tr>\n'


def _class(column: str, cell: str) -> str:
    kind = _COLUMN_CLASSES.get(column) or _VERDICT_CLASSES.get(cell[:1])
    return f' class="{kind}"' if kind else ""
