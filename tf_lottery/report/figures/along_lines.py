"""Error on the line between two copies of a network (Frankle et al. 2020, arXiv 1912.05671)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tf_lottery.report.analysis import LABELS, TICKET
from tf_lottery.report.figures import look

_DENSE = {"color": "black", "linestyle": ":"}


def error(lines: pd.DataFrame, densities: pd.Series) -> Figure:
    """Test error along the lines, of dense network, ticket and random mask: a panel a variant, of its last level.

    Without variants, a panel a level.

    Args:
        lines: `Findings.lines`.
        densities: 0-1, by variant and level.
    """
    places = lines[["variant", "level"]].drop_duplicates()
    pruned = places[places.level > 0] if places.level.any() else places
    panels = pruned.groupby("variant", sort=False).tail(1) if pruned.variant.any() else pruned
    figure, axes = look.grid(len(panels))
    for axis, (variant, level) in zip(axes, panels.itertuples(index=False), strict=True):
        _draw(axis, lines[lines.variant == variant], level)
        axis.set_title(f"{variant}, {densities[variant, level]:.1%} kept".removeprefix(", "), fontsize="medium")
        axis.set_xticks([0, 0.5, 1], labels=["0", "½", "1"])
    look.legend_below(figure, axes[0])
    for lowest in axes[-2:]:
        lowest.set_xlabel("share of the second copy")
    figure.supylabel("test error (%)", fontsize="medium")
    return figure


def _draw(axis: Axes, lines: pd.DataFrame, level: int) -> None:
    curves = {"dense": (0, "", _DENSE)}
    if level:
        curves |= {
            LABELS[branch]: (level, control, look.BRANCHES[branch])
            for branch, control in (("random_mask", "random_mask"), (TICKET, ""))
        }
    for name, (at, control, style) in curves.items():
        rows = lines[(lines.level == at) & (lines.control == control)]
        if not rows.empty:
            spread = (100 * rows.test_error).groupby(rows.share).agg(["mean", "min", "max"])
            look.curve(axis, spread.index, spread, {**style, "marker": ""}, name)
