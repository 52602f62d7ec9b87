"""The style of all figures: colours, lines, axes, legends, and PNG output.

Colours are from the palette of Okabe and Ito, and curves also differ in marker and line.
"""

import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tf_lottery import escapes
from tf_lottery.report.results import TICKET

LineStyle = Mapping[str, Any]
LineStyles = dict[str, dict[str, Any]]

MARKERS = "osD^vP*X"
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
# A control that keeps signs has the colour of the same control without them.
BRANCHES: LineStyles = {
    TICKET: {"color": BLUE, "marker": "o", "linestyle": "-"},
    "random_mask": {"color": VERMILION, "marker": "s", "linestyle": "--"},
    "reinit": {"color": GREEN, "marker": "^", "linestyle": "-."},
    "reinit_signs": {"color": GREEN, "marker": "v", "linestyle": ":"},
    "reshuffle": {"color": PURPLE, "marker": "D", "linestyle": "-."},
    "reshuffle_signs": {"color": PURPLE, "marker": "P", "linestyle": ":"},
    "constant": {"color": ORANGE, "marker": "X", "linestyle": "-."},
    "constant_signs": {"color": ORANGE, "marker": "*", "linestyle": ":"},
}
DENSE: dict[str, Any] = {"color": "black", "linestyle": ":", "linewidth": 0.8}
_LONGEST_NAME = 60
_MOST_INSIDE = 7  # names in a legend inside the panel
_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)


def line_styles(labels: Iterable[str]) -> LineStyles:
    """Return a colour and a marker for each label; the pairs repeat after 24 labels."""
    return {
        label: {"color": _COLOURS[place % len(_COLOURS)], "marker": MARKERS[place % len(MARKERS)], "linestyle": "-"}
        for place, label in enumerate(labels)
    }


def name(text: str) -> str:
    r"""Return a name as a figure can show it: short, without characters to obey, and not as a formula.

    >>> name("dense_$x$/kernel")
    'dense_\\$x\\$/kernel'
    """
    text = escapes.shown(text)
    text = text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"
    return text.replace("$", r"\$")


def png(draw: Callable[[], Figure]) -> bytes:
    """Draw a figure and return it as PNG.

    The same data always give the same bytes, whatever `matplotlibrc` says.
    """
    buffer = io.BytesIO()
    with matplotlib.style.context("default"):
        draw().savefig(buffer, format="png", dpi=144, metadata={"Software": None})
    return buffer.getvalue()


def figure(title: str) -> tuple[Figure, Axes]:
    """Return a figure of one panel, and the panel."""
    made, panels = grid(1)
    panels[0].set_title(title)
    return made, panels[0]


def grid(panels: int) -> tuple[Figure, list[Axes]]:
    """Return a figure of several panels that share their axes, two in a row, and the panels."""
    settings: Any = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3}
    rows, columns = -(-panels // 2), min(panels, 2)
    with matplotlib.rc_context(settings):
        made = Figure(figsize=(5.5, 4 if rows == 1 else 0.8 + 2.1 * rows), layout="constrained")
        axes = [*np.ravel(made.subplots(rows, columns, sharex=True, sharey=True))]
    for spare in axes[panels:]:
        spare.remove()
    for lowest in axes[panels - columns : panels]:
        lowest.tick_params(labelbottom=True)
    return made, axes[:panels]


def curve(
    axis: Axes, across: pd.Series, spread: pd.DataFrame, line_style: LineStyle, *, label: str, band: bool = True
) -> None:
    """Draw means as a line over a band from the least to the greatest value.

    Args:
        axis: The panel to draw in.
        across: The horizontal coordinates.
        spread: The values there, with the columns mean, min and max.
        line_style: The style of the line; the band has the same colour.
        label: The name in the legend.
        band: Whether to draw the band. Defaults to True.
    """
    axis.plot(across, spread["mean"], label=label, **{"markersize": 4, **line_style})
    if band:
        axis.fill_between(across, spread["min"], spread["max"], color=line_style["color"], alpha=0.15, linewidth=0)


def legend(figure: Figure, axis: Axes) -> None:
    """Add a legend inside the panel, or below it if there are too many names."""
    if len(axis.get_legend_handles_labels()[1]) > _MOST_INSIDE:
        legend_below(figure, axis)
    else:
        axis.legend(frameon=False, fontsize="small")


def legend_below(figure: Figure, axis: Axes) -> None:
    """Add one legend below all panels, with the names of the curves in `axis`."""
    handles_and_names = axis.get_legend_handles_labels()
    figure.legend(*handles_and_names, loc="outside lower center", ncols=3, frameon=False, fontsize="small")


def density_axis(axis: Axes, densities: Iterable[float]) -> None:
    """Make the horizontal axis one of weights kept: logarithmic, falling from left to right.

    Args:
        axis: The panel.
        densities: The densities drawn, in percent; some of them become ticks.
    """
    levels = sorted({round(density, 2) for density in densities}, reverse=True)
    ticks = levels[:: max(1, len(levels) // 6)]
    axis.set(xlabel="weights kept (%)", xscale="log")
    axis.set_xticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    if not axis.xaxis_inverted():
        axis.invert_xaxis()
