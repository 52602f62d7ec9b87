"""What changes from level to level: accuracy, speed, stability, and the layers, against the share of weights kept."""

from typing import Any

import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tf_lottery.report import analysis
from tf_lottery.report.analysis import LABELS, TICKET
from tf_lottery.report.figures import look

MOST_WITH_CONTROLS = 4  # variants: more lines than theirs cannot be told apart
_CONTROLS = {"random_mask": "--", "reinit": "-."}


def accuracy_at_early_stopping(frame: pd.DataFrame) -> Figure:
    """Test accuracy at the step of the lowest validation loss, against density; bands from min to max."""
    return _of_a_variant(frame, "early_stop_test_accuracy", "Test accuracy at early stopping", "%", scale=100)


def accuracy_at_the_end(frame: pd.DataFrame) -> Figure:
    """Test accuracy at the end of training, against density; bands from min to max."""
    return _of_a_variant(frame, "test_accuracy", "Test accuracy at the end of training", "%", scale=100)


def early_stopping(frame: pd.DataFrame) -> Figure:
    """Return the step of the lowest validation loss against density: how fast a network learns."""
    return _of_a_variant(frame, "early_stop_step", "Step of the lowest validation loss", "optimizer step")


def density_by_layer(frame: pd.DataFrame) -> Figure:
    """What is left of each prunable weight at each level of the tickets, mean over the replicates.

    Too many weights for a legend are told apart by a colour that goes from the input to the output.
    """
    figure, axis = look.figure("Density by layer")
    tickets = frame[frame.branch == TICKET].groupby("level").mean(numeric_only=True)
    columns = [column for column in tickets if column.startswith("density:") and tickets[column].notna().any()]
    if few := len(columns) <= len(look.MARKERS):
        for column, style in look.of_each(columns).items():
            axis.plot(tickets.index, 100 * tickets[column], label=column.removeprefix("density:"), **style)
    else:
        colours: Any = ScalarMappable(Normalize(1, len(columns)), cmap="cividis")
        for position, column in enumerate(columns, start=1):
            axis.plot(tickets.index, 100 * tickets[column], color=colours.to_rgba(position), linewidth=1)
        figure.colorbar(colours, ax=axis, label=f"the {len(columns)} weights, from input to output")
    axis.plot(tickets.index, 100 * tickets.density, color="black", linestyle=":", label="all together")
    axis.set(xlabel="level", ylabel="weights kept (%)", yscale="log")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:g}"[0] in "125" else ""))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(frameon=False, loc="best" if few else "lower left")
    return figure


def accuracy_of_variants(frames: dict[str, pd.DataFrame]) -> Figure:
    """Test accuracy at the end of training, of the tickets of all variants and, where these are few, their controls."""
    figure, axis = look.figure("Test accuracy at the end of training")
    for label, style in look.of_each(frames).items():
        summary = analysis.spread(frames[label])
        look.curve(axis, *_curve(summary, TICKET, "test_accuracy", 100), style, label)
        for control, linestyle in _CONTROLS.items() if len(frames) <= MOST_WITH_CONTROLS else ():
            if control in summary.index.levels[0]:
                thin = {"color": style["color"], "linestyle": linestyle, "linewidth": 0.8}
                named = f"{label}, {LABELS[control]}"
                look.curve(axis, *_curve(summary, control, "test_accuracy", 100), thin, named, band=False)
    together = pd.concat(frames.values())
    dense = 100 * together[together.level == 0].groupby("variant", sort=False).test_accuracy.mean()
    for number, accuracy in enumerate(dense.unique()):  # variants that train alike share their dense networks
        axis.axhline(accuracy, label="" if number else "dense", **look.DENSE)
    axis.set(ylabel="%")
    look.density_axis(axis, 100 * together.groupby(["variant", "level"]).density.mean())
    look.legend(figure, axis)
    return figure


def stability(samples: pd.DataFrame, densities: pd.Series, measure: str, unit: str) -> Figure:
    """Return one measure of stability against density, to data order and to pruning, of tickets and random masks.

    Args:
        samples: `Findings.samples`.
        densities: 0-1, by variant and level.
        measure: `"angle"` or `"distance"`.
        unit: For the axis.
    """
    figure, axes = look.grid(2)
    styles = look.of_each(samples.variant.unique())
    pruned = samples[samples.level > 0]
    for axis, kind in zip(axes, ("data_order", "pruning"), strict=True):
        chosen = pruned[pruned.measure == f"{kind}_{measure}"]
        for (variant, branch), rows in chosen.groupby(["variant", "branch"], sort=False):
            if branch != TICKET and len(styles) > MOST_WITH_CONTROLS:
                continue
            spread = rows.groupby("level").value.agg(["mean", "min", "max"])
            style = look.BRANCHES[branch] if not variant else {**styles[variant], **_line(branch)}
            named = f"{variant} {LABELS[branch]}".strip()
            look.curve(axis, 100 * densities[variant].reindex(spread.index), spread, style, named)
        axis.set(title=f"to {kind.replace('_', ' ')}")
        axis.set_ylim(bottom=0)
        look.density_axis(axis, 100 * densities.loc[[*zip(pruned.variant, pruned.level, strict=True)]])
    axes[0].set(ylabel=unit)
    look.legend_below(figure, axes[0])
    figure.suptitle(f"Stability: {measure}")
    return figure


def _line(branch: str) -> dict[str, str]:
    return {"linestyle": look.BRANCHES[branch]["linestyle"]}


def _of_a_variant(frame: pd.DataFrame, measure: str, title: str, unit: str, scale: float = 1) -> Figure:
    figure, axis = look.figure(title)
    summary = analysis.spread(frame)
    for branch in (name for name in look.BRANCHES if name in summary.index.levels[0]):
        look.curve(axis, *_curve(summary, branch, measure, scale), look.BRANCHES[branch], LABELS[branch])
    axis.axhline(scale * summary[measure]["mean"][TICKET, 0], label="dense", **look.DENSE)
    axis.set(ylabel=unit)
    look.density_axis(axis, 100 * summary.loc[TICKET]["density"]["mean"])
    look.legend(figure, axis)
    return figure


def _curve(summary: pd.DataFrame, branch: str, measure: str, scale: float) -> tuple[pd.Series, pd.DataFrame]:
    """Densities in percent and the measure at each; a control begins at the dense network, as a ticket does."""
    dense = summary.loc[[(TICKET, 0)]]
    rows = summary.loc[[branch]] if branch == TICKET else pd.concat([dense, summary.loc[[branch]]])
    return 100 * rows["density"]["mean"], scale * rows[measure]
