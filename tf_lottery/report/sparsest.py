"""A sweep in one table: the sparsest tickets of each variant beside what they are compared with."""

import math

import pandas as pd

from tf_lottery.report.analysis import LABELS, TICKET
from tf_lottery.report.findings import Findings

MEANING = (
    "The sparsest tickets of each variant. Test accuracy in percent at the end of training, mean [min–max] over the "
    "replicates. Angles in degrees and barriers in percentage points are means: of the ticket, and in brackets of the "
    "random mask; see Stability."
)
_MEASURES = {
    "data_order_angle": ("data order: angle (°)", "{:.1f}", 1),
    "pruning_angle": ("pruning: angle (°)", "{:.1f}", 1),
    "error_barrier": ("error barrier (points)", "{:.1f}", 100),
}
_RIVAL = "random_mask"


def table(findings: Findings) -> pd.DataFrame:
    """One row a variant, of text alone; columns for what at least one variant has."""
    lines = [_line(findings, label, rows) for label, rows in findings.by_variant.items() if rows.level.any()]
    frame = pd.DataFrame(lines).fillna("")
    order = ["variant", "density", "dense", *LABELS.values(), *(name for name, _, _ in _MEASURES.values())]
    return frame[[name for name in order if name in frame and frame[name].any()]]


def _line(findings: Findings, variant: str, rows: pd.DataFrame) -> dict[str, str]:
    level = rows.level.max()
    at_level = rows[rows.level == level]
    line = {"variant": variant, "density": f"{at_level.density.mean():.1%}", "dense": _percent(rows[rows.level == 0])}
    line |= {LABELS[branch]: _percent(of_branch) for branch, of_branch in at_level.groupby("branch")}
    samples = findings.samples
    samples = samples[(samples.variant == variant) & (samples.level == level)]
    for measure, (name, show, unit) in _MEASURES.items():
        means = (
            samples[samples.measure == measure].groupby("branch").value.agg(lambda values: values.mean(skipna=False))
        )
        if TICKET in means:
            rival = f" ({_number(means[_RIVAL] * unit, show)})" if _RIVAL in means else ""
            line[name] = _number(means[TICKET] * unit, show) + rival
    return line


def _percent(rows: pd.DataFrame) -> str:
    percent = 100 * rows.test_accuracy
    return f"{percent.mean():.2f} [{percent.min():.2f}–{percent.max():.2f}]"


def _number(value: float, show: str) -> str:
    return "–" if math.isnan(value) else show.format(value)
