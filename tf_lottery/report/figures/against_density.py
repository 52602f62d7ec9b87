"""Rows in, figures out. Colours are those of Okabe and Ito, told apart also by marker and line."""

import io
from collections.abc import Callable

import matplotlib
import matplotlib.style
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from tf_lottery.report import analysis

_MARKERS = "osD^vP*X"
STYLES = {
    analysis.TICKET: {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "random_mask": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    "reinit": {"color": "#009E73", "marker": "^", "linestyle": "-."},
}


def accuracy_at_early_stopping(frame: pd.DataFrame) -> Figure:
    """Test accuracy at the step of the lowest validation loss, against density; bands from min to max."""
    return _against_density(frame, "early_stop_test_accuracy", "Test accuracy at early stopping", "%", scale=100)


def accuracy_at_the_end(frame: pd.DataFrame) -> Figure:
    """Test accuracy at the end of training, against density; bands from min to max."""
    return _against_density(frame, "test_accuracy", "Test accuracy at the end of training", "%", scale=100)


def early_stopping(frame: pd.DataFrame) -> Figure:
    """The step of the lowest validation loss against density: how fast a network learns."""
    return _against_density(frame, "early_stop_step", "Step of the lowest validation loss", "optimizer step")


def density_by_layer(frame: pd.DataFrame) -> Figure:
    """What is left of each prunable weight at each level of the tickets, mean over the replicates.

    Too many weights for a legend are told apart by a colour that goes from the input to the output.
    """
    figure, axis = _figure()
    tickets = frame[frame.branch == analysis.TICKET].groupby("level").mean(numeric_only=True)
    columns = [column for column in tickets if column.startswith("density:")]
    if few := len(columns) <= len(_MARKERS):
        for marker, column in zip(_MARKERS, columns, strict=False):
            axis.plot(tickets.index, 100 * tickets[column], marker=marker, label=column.removeprefix("density:"))
    else:
        colours = ScalarMappable(Normalize(1, len(columns)), cmap="cividis")
        for position, column in enumerate(columns, start=1):
            axis.plot(tickets.index, 100 * tickets[column], color=colours.to_rgba(position), linewidth=1)
        figure.colorbar(colours, ax=axis, label=f"the {len(columns)} weights, from input to output")
    axis.plot(tickets.index, 100 * tickets.density, color="black", linestyle=":", label="all together")
    axis.set(title="Density by layer", xlabel="level", ylabel="weights kept (%)", yscale="log")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:g}"[0] in "125" else ""))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(frameon=False, loc="best" if few else "lower left")
    return figure


def png(draw: Callable[[pd.DataFrame], Figure], frame: pd.DataFrame) -> bytes:
    """A figure as PNG; the same rows always give the same bytes, whatever `matplotlibrc` there is."""
    buffer = io.BytesIO()
    with matplotlib.style.context("default"):
        figure = draw(frame)
        figure.savefig(buffer, format="png", dpi=144, metadata={"Software": None})
    return buffer.getvalue()


def _figure() -> tuple[Figure, Axes]:
    look = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3}
    with matplotlib.rc_context(look):
        figure = Figure(figsize=(5.5, 4), layout="constrained")
        return figure, figure.subplots()


def _against_density(frame: pd.DataFrame, measure: str, title: str, unit: str, scale: float = 1) -> Figure:
    figure, axis = _figure()
    summary = analysis.spread(frame)
    dense = summary.loc[[(analysis.TICKET, 0)]]
    for branch in (name for name in STYLES if name in summary.index.levels[0]):
        curve = summary.loc[[branch]] if branch == analysis.TICKET else pd.concat([dense, summary.loc[[branch]]])
        values, densities = scale * curve[measure], 100 * curve["density"]["mean"]
        axis.plot(densities, values["mean"], markersize=4, label=analysis.LABELS[branch], **STYLES[branch])
        band = {"color": STYLES[branch]["color"], "alpha": 0.15, "linewidth": 0}
        axis.fill_between(densities, values["min"], values["max"], **band)
    axis.axhline(scale * dense[measure]["mean"].item(), color="black", linewidth=0.8, linestyle=":", label="dense")
    levels = 100 * summary.loc[analysis.TICKET]["density"]["mean"]
    ticks = levels[:: max(1, len(levels) // 6)]
    axis.set(title=title, xlabel="weights kept (%)", ylabel=unit, xscale="log")
    axis.set_xticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.invert_xaxis()
    axis.legend(frameon=False)
    return figure
