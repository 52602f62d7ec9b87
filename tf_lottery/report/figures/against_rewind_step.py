"""Accuracy and stability of tickets against the step k that they are rewound to."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tf_lottery.report.analysis import LABELS, TICKET
from tf_lottery.report.figures import look

_PRUNING = {"markerfacecolor": "white", "linewidth": 0.9}


def accuracy(frame: pd.DataFrame, steps: pd.DataFrame, level: int) -> Figure:
    """Test accuracy at the end of training, of one level; bands from min to max.

    The axis fits what is trained after pruning: rewound to T, nothing is, and such tickets would flatten all others.

    Args:
        frame: `Findings.trainings`.
        steps: From `analysis.rewind_steps`.
        level: Which.
    """
    figure, axis = look.figure("Test accuracy by rewind step")
    for branch in ("random_mask", "reinit", TICKET):
        rows = frame[(frame.branch == branch) & (frame.level == level)]
        _draw(axis, steps, rows, 100 * rows.test_accuracy, look.BRANCHES[branch], LABELS[branch])
    dense = frame[(frame.level == 0) & frame.variant.isin(steps.index)].test_accuracy.mean()
    axis.axhline(100 * dense, label="dense", **look.DENSE)
    axis.set(ylabel="%")
    is_trained = (frame.level == level) & frame.variant.isin(steps.index[steps.k < steps.total])
    accuracies = 100 * frame[is_trained | (frame.level == 0)].test_accuracy
    margin = 0.1 * (accuracies.max() - accuracies.min())
    if is_trained.any() and margin > 0:
        axis.set_ylim(accuracies.min() - margin, accuracies.max() + margin)
    return _finished(figure, axis, steps)


def stability(samples: pd.DataFrame, steps: pd.DataFrame, level: int, measure: str, unit: str) -> Figure:
    """Return one measure of stability, `"angle"` or `"distance"`, of one level, to data order and to pruning.

    Args:
        samples: `Findings.samples`.
        steps: From `analysis.rewind_steps`.
        level: Which.
        measure: Which.
        unit: For the axis.
    """
    figure, axis = look.figure(f"Stability by rewind step: {measure}")
    for kind, changes in (("data_order", {}), ("pruning", _PRUNING)):
        for branch in (TICKET, "random_mask"):
            chosen = (samples.branch == branch) & (samples.measure == f"{kind}_{measure}") & (samples.level == level)
            named = f"{LABELS[branch]}, to {kind.replace('_', ' ')}"
            style = {**look.BRANCHES[branch], **changes}
            _draw(axis, steps, samples[chosen], samples[chosen].value, style, named)
    axis.set(ylabel=unit)
    axis.set_ylim(bottom=0)
    return _finished(figure, axis, steps)


def _draw(
    axis: Axes, steps: pd.DataFrame, rows: pd.DataFrame, values: pd.Series, style: look.Style, label: str
) -> None:
    spread = values.groupby(rows.variant.map(steps["k"])).agg(["mean", "min", "max"])
    if not spread.empty:
        look.curve(axis, spread.index, spread, style, label)


def _finished(figure: Figure, axis: Axes, steps: pd.DataFrame) -> Figure:
    """With an axis that is linear up to the first step after 0 and logarithmic from there."""
    found = steps.drop_duplicates("k").sort_values("k")
    after_zero = found.k[found.k > 0]
    axis.set_xscale("symlog", linthresh=after_zero.min(), linscale=0.5)
    axis.set_xticks(found.k, labels=[f"{row.k}\n{100 * row.k / row.total:.3g}%" for row in found.itertuples()])
    axis.set_xlim(-0.2 * after_zero.min() if (found.k == 0).any() else None, 1.2 * after_zero.max())
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set(xlabel="rewind step k, and its share of training")
    axis.legend(frameon=False, fontsize="small")
    return figure
