"""The tables of a report in Markdown."""

import pandas as pd

from tf_lottery.report import analysis, sparsest, tables, text
from tf_lottery.report.findings import Findings


def document(findings: Findings) -> str:
    """Return all tables in Markdown: the levels of each variant, stability, claims."""
    parts = ["# " + text.subject(findings.config), text.description(findings.config)]
    if findings.config.variants:
        if not (found := sparsest.table(findings)).empty:
            parts += ["## Sparsest tickets", table(found), sparsest.MEANING]
        parts += ["## Dense networks", table(text.dense_networks(findings.trainings)), text.DENSE_MEANING]
    for label, rows in analysis.pruned(findings.by_variant).items():
        parts += [f"## Levels{': ' * bool(label)}{label}", text.headline(rows), table(text.table(rows))]
    parts += [text.CELLS_MEANING, text.VERDICT_MEANING]
    if not (found := tables.stability(findings)).empty:
        parts += ["## Stability", table(found), tables.STABILITY_MEANING]
    if not findings.comparisons.empty:
        parts += ["## Claims", table(tables.claims_in_full(findings.comparisons)), tables.CLAIMS_MEANING]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def table(frame: pd.DataFrame) -> str:
    """Return a frame of text as a table in Markdown; of columns with two names, both are there."""
    names = [" ".join(part for part in name if part) if isinstance(name, tuple) else name for name in frame]
    lines = [names, ["---"] * len(names), *frame.itertuples(index=False)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
