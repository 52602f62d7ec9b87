"""A sweep in one table: the sparsest tickets of each variant beside what they are compared with."""

import pandas as pd

from tf_lottery.report import tables, text
from tf_lottery.report.analysis import LABELS, TICKET
from tf_lottery.report.findings import Findings

MEANING = (
    "The sparsest tickets of each variant. Test accuracy in percent at the end of training, mean [min–max] over the "
    "replicates. Angles in degrees and barriers in percentage points are means: of the ticket, and in brackets of the "
    "random mask; see Stability."
)
_BRANCHES = (TICKET, tables.RANDOM)
_MEASURES = ("data_order_angle", "pruning_angle", "error_barrier")


def table(findings: Findings) -> pd.DataFrame:
    """Return one row a variant, of text alone; columns for what at least one variant has."""
    lines = [_line(findings, label, rows) for label, rows in findings.by_variant.items() if rows.level.any()]
    frame = pd.DataFrame(lines).fillna("")
    order = ["variant", "density", "dense", *LABELS.values(), *(tables.MEASURES[name][0] for name in _MEASURES)]
    return frame[[name for name in order if name in frame and frame[name].any()]]


def _line(findings: Findings, variant: str, rows: pd.DataFrame) -> dict[str, str]:
    level = rows.level.max()
    at_level = rows[rows.level == level]
    line = {
        "variant": variant,
        "density": f"{at_level.density.mean():.1%}",
        "dense": text.percent(rows[rows.level == 0].test_accuracy),
    }
    line |= {LABELS[branch]: text.percent(of_branch.test_accuracy) for branch, of_branch in at_level.groupby("branch")}
    samples = findings.samples
    samples = samples[(samples.variant == variant) & (samples.level == level)]
    for measure in _MEASURES:
        name, show = tables.MEASURES[measure]
        ticket, rivals = (samples[(samples.measure == measure) & (samples.branch == branch)] for branch in _BRANCHES)
        if not ticket.empty:
            rival = "" if rivals.empty else f" ({tables.or_dash(tables.mean_of_replicates(rivals), show)})"
            line[name] = tables.or_dash(tables.mean_of_replicates(ticket), show) + rival
    return line
