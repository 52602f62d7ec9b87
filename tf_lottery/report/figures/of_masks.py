"""How much masks have in common, against density."""

import pandas as pd
from matplotlib.figure import Figure

from tf_lottery.report.figures import look


def overlap(rows: pd.DataFrame, curves: pd.Series, title: str) -> Figure:
    """Jaccard index against density, a curve for each label of `curves`; beside the mean of what chance gives.

    Args:
        rows: Some of `Findings.overlaps`.
        curves: The curve that each row belongs to.
        title: Of the figure.
    """
    figure, axis = look.figure(title)
    for label, style in look.of_each(curves.unique()).items():
        chosen = rows[curves == label]
        spread = chosen.groupby("level").overlap.agg(["mean", "min", "max"])
        look.curve(axis, 100 * chosen.groupby("level").density.mean(), spread, style, label)
    places = rows.groupby("level")[["density", "chance"]].mean()
    axis.plot(100 * places.density, places.chance, label="chance", **look.DENSE)
    axis.set(ylabel="overlap (Jaccard index)")
    axis.set_ylim(bottom=0)
    look.density_axis(axis, 100 * places.density)
    axis.legend(frameon=False, fontsize="small")
    return figure
