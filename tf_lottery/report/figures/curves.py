"""The curves of a report: results against density, against the rewind step, along lines, and overlaps of masks.

Lines are means; bands run from the least to the greatest value.
"""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from tf_lottery.report import results
from tf_lottery.report.figures import style
from tf_lottery.report.results import LABELS, TICKET

MOST_WITH_CONTROLS = 4  # with more variants, only their tickets are drawn, so that curves can be told apart
_CONTROLS = {"random_mask": "--", "reinit": "-."}
_PRUNING = {"markerfacecolor": "white", "linewidth": 0.9}
_DENSE_ALONG_LINES = {"color": "black", "linestyle": ":"}


def accuracy_at_early_stopping(frame: pd.DataFrame) -> Figure:
    """Draw test accuracy at the step of the lowest validation loss against density, for one variant."""
    return _by_density(frame, "early_stop_test_accuracy", title="Test accuracy at early stopping", unit="%", scale=100)


def accuracy_at_the_end(frame: pd.DataFrame) -> Figure:
    """Draw test accuracy at the end of training against density, for one variant."""
    return _by_density(frame, "test_accuracy", title="Test accuracy at the end of training", unit="%", scale=100)


def early_stopping(frame: pd.DataFrame) -> Figure:
    """Draw the step of the lowest validation loss against density, for one variant: how fast a network learns."""
    return _by_density(frame, "early_stop_step", title="Step of the lowest validation loss", unit="optimizer step")


def density_by_layer(frame: pd.DataFrame) -> Figure:
    """Draw the density of each prunable weight against the level, for one variant: means over the replicates.

    If there are too many weights for a legend, their colours run from the input to the output.
    """
    figure, axis = style.figure("Density by layer")
    tickets = frame[frame.branch == TICKET].groupby("level").mean(numeric_only=True)
    columns = [column for column in tickets if column.startswith("density:") and tickets[column].notna().any()]
    if few := len(columns) <= len(style.MARKERS):
        for column, line_style in style.line_styles(columns).items():
            axis.plot(
                tickets.index, 100 * tickets[column], label=style.name(column.removeprefix("density:")), **line_style
            )
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
    """Draw test accuracy at the end of training against density, for all variants.

    The controls are drawn too, unless there are more than `MOST_WITH_CONTROLS` variants.

    Args:
        frames: The rows of each variant by label, see `results.by_variant`.
    """
    figure, axis = style.figure("Test accuracy at the end of training")
    for label, line_style in style.line_styles(frames).items():
        summary = results.spread(frames[label])
        across, spread = _by_level(summary, TICKET, "test_accuracy", scale=100)
        style.curve(axis, across, spread, line_style, label=label)
        for control, dashes in _CONTROLS.items() if len(frames) <= MOST_WITH_CONTROLS else ():
            if control in summary.index.levels[0]:
                thin = {"color": line_style["color"], "linestyle": dashes, "linewidth": 0.8}
                across, spread = _by_level(summary, control, "test_accuracy", scale=100)
                style.curve(axis, across, spread, thin, label=f"{label}, {LABELS[control]}", band=False)
    together = pd.concat(frames.values())
    dense = 100 * together[together.level == 0].groupby("variant", sort=False).test_accuracy.mean()
    for number, accuracy in enumerate(dense.unique()):  # variants with the same training share their dense networks
        axis.axhline(accuracy, label="" if number else "dense", **style.DENSE)
    axis.set(ylabel="%")
    style.density_axis(axis, 100 * together.groupby(["variant", "level"]).density.mean())
    style.legend(figure, axis)
    return figure


def stability_by_density(samples: pd.DataFrame, densities: pd.Series, *, measure: str, unit: str) -> Figure:
    """Draw a measure of stability against density: tickets and random masks, in panels for data order and pruning.

    Args:
        samples: The samples, see `Findings.samples`.
        densities: The densities (0-1), indexed by variant and level.
        measure: `"angle"` or `"distance"`.
        unit: The label of the axis.
    """
    figure, axes = style.grid(2)
    line_styles = style.line_styles(samples.variant.unique())
    pruned = samples[samples.level > 0]
    for axis, kind in zip(axes, ("data_order", "pruning"), strict=True):
        chosen = pruned[pruned.measure == f"{kind}_{measure}"]
        for (variant, branch), rows in chosen.groupby(["variant", "branch"], sort=False):
            if branch != TICKET and len(line_styles) > MOST_WITH_CONTROLS:
                continue
            spread = rows.groupby("level").value.agg(["mean", "min", "max"])
            dashes = {"linestyle": style.BRANCHES[branch]["linestyle"]}
            line_style = style.BRANCHES[branch] if not variant else {**line_styles[variant], **dashes}
            across = 100 * densities[variant].reindex(spread.index)
            style.curve(axis, across, spread, line_style, label=f"{variant} {LABELS[branch]}".strip())
        axis.set(title=f"to {kind.replace('_', ' ')}")
        axis.set_ylim(bottom=0)
        style.density_axis(axis, 100 * densities.loc[[*zip(pruned.variant, pruned.level, strict=True)]])
    axes[0].set(ylabel=unit)
    style.legend_below(figure, axes[0])
    figure.suptitle(f"Stability: {measure}")
    return figure


def accuracy_by_rewind_step(frame: pd.DataFrame, steps: pd.DataFrame, *, level: int) -> Figure:
    """Draw test accuracy at the end of training against the rewind step k, at one level.

    The vertical axis fits the tickets that are trained after pruning. Tickets that are rewound to T are not trained,
    and their low accuracy would flatten all other curves.

    Args:
        frame: The rows of all variants, see `results.rows`.
        steps: The rewind steps, see `results.rewind_steps`.
        level: The level to draw.
    """
    figure, axis = style.figure("Test accuracy by rewind step")
    for branch in ("random_mask", "reinit", TICKET):
        rows = frame[(frame.branch == branch) & (frame.level == level)]
        _by_rewind_step(axis, steps, rows, 100 * rows.test_accuracy, style.BRANCHES[branch], label=LABELS[branch])
    dense = frame[(frame.level == 0) & frame.variant.isin(steps.index)].test_accuracy.mean()
    axis.axhline(100 * dense, label="dense", **style.DENSE)
    axis.set(ylabel="%")
    is_trained = (frame.level == level) & frame.variant.isin(steps.index[steps.k < steps.total])
    accuracies = 100 * frame[is_trained | (frame.level == 0)].test_accuracy
    margin = 0.1 * (accuracies.max() - accuracies.min())
    if is_trained.any() and margin > 0:
        axis.set_ylim(accuracies.min() - margin, accuracies.max() + margin)
    _finish_rewind_step_axis(axis, steps)
    return figure


def stability_by_rewind_step(
    samples: pd.DataFrame, steps: pd.DataFrame, *, level: int, measure: str, unit: str
) -> Figure:
    """Draw a measure of stability, to data order and to pruning, against the rewind step k, at one level.

    Args:
        samples: The samples, see `Findings.samples`.
        steps: The rewind steps, see `results.rewind_steps`.
        level: The level to draw.
        measure: `"angle"` or `"distance"`.
        unit: The label of the axis.
    """
    figure, axis = style.figure(f"Stability by rewind step: {measure}")
    for kind, changes in (("data_order", {}), ("pruning", _PRUNING)):
        for branch in (TICKET, "random_mask"):
            chosen = (samples.branch == branch) & (samples.measure == f"{kind}_{measure}") & (samples.level == level)
            label = f"{LABELS[branch]}, to {kind.replace('_', ' ')}"
            line_style = {**style.BRANCHES[branch], **changes}
            _by_rewind_step(axis, steps, samples[chosen], samples[chosen].value, line_style, label=label)
    axis.set(ylabel=unit)
    axis.set_ylim(bottom=0)
    _finish_rewind_step_axis(axis, steps)
    return figure


def error_along_lines(lines: pd.DataFrame, densities: pd.Series) -> Figure:
    """Draw test error on the line between two copies of a network (Frankle et al. 2020, arXiv 1912.05671).

    Each variant has a panel of its last level, with dense network, ticket and random mask. Without variants, each level
    has a panel.

    Args:
        lines: The points of the lines, see `Findings.lines`.
        densities: The densities (0-1), indexed by variant and level.
    """
    places = lines[["variant", "level"]].drop_duplicates()
    pruned = places[places.level > 0] if places.level.any() else places
    panels = pruned.groupby("variant", sort=False).tail(1) if pruned.variant.any() else pruned
    figure, axes = style.grid(len(panels))
    for axis, (variant, level) in zip(axes, panels.itertuples(index=False), strict=True):
        _draw_lines(axis, lines[lines.variant == variant], level)
        axis.set_title(f"{variant}, {densities[variant, level]:.1%} kept".removeprefix(", "), fontsize="medium")
        axis.set_xticks([0, 0.5, 1], labels=["0", "½", "1"])
    style.legend_below(figure, axes[0])
    for lowest in axes[-2:]:
        lowest.set_xlabel("share of the second copy")
    figure.supylabel("test error (%)", fontsize="medium")
    return figure


def overlap_by_density(rows: pd.DataFrame, labels: pd.Series, *, title: str) -> Figure:
    """Draw the overlap of masks (Jaccard index) against density, beside the mean overlap by chance.

    Args:
        rows: The pairs of masks to draw, from `Findings.overlaps`.
        labels: The label of the curve of each row.
        title: The title of the figure.
    """
    figure, axis = style.figure(title)
    for label, line_style in style.line_styles(labels.unique()).items():
        chosen = rows[labels == label]
        spread = chosen.groupby("level").overlap.agg(["mean", "min", "max"])
        style.curve(axis, 100 * chosen.groupby("level").density.mean(), spread, line_style, label=label)
    places = rows.groupby("level")[["density", "chance"]].mean()
    axis.plot(100 * places.density, places.chance, label="chance", **style.DENSE)
    axis.set(ylabel="overlap (Jaccard index)")
    axis.set_ylim(bottom=0)
    style.density_axis(axis, 100 * places.density)
    axis.legend(frameon=False, fontsize="small")
    return figure


def _by_density(frame: pd.DataFrame, measure: str, *, title: str, unit: str, scale: float = 1) -> Figure:
    """Draw a measure of one variant against density, a curve for each branch."""
    figure, axis = style.figure(title)
    summary = results.spread(frame)
    for branch in (name for name in style.BRANCHES if name in summary.index.levels[0]):
        across, spread = _by_level(summary, branch, measure, scale=scale)
        style.curve(axis, across, spread, style.BRANCHES[branch], label=LABELS[branch])
    axis.axhline(scale * summary[measure]["mean"][TICKET, 0], label="dense", **style.DENSE)
    axis.set(ylabel=unit)
    style.density_axis(axis, 100 * summary.loc[TICKET]["density"]["mean"])
    style.legend(figure, axis)
    return figure


def _by_level(summary: pd.DataFrame, branch: str, measure: str, *, scale: float) -> tuple[pd.Series, pd.DataFrame]:
    """Return the density of each level in percent and the measure there.

    A control begins at the dense network, as a ticket does.
    """
    dense = summary.loc[[(TICKET, 0)]]
    rows = summary.loc[[branch]] if branch == TICKET else pd.concat([dense, summary.loc[[branch]]])
    return 100 * rows["density"]["mean"], scale * rows[measure]


def _by_rewind_step(
    axis: Axes, steps: pd.DataFrame, rows: pd.DataFrame, values: pd.Series, line_style: style.LineStyle, *, label: str
) -> None:
    """Draw the values of `rows` against the rewind step of their variant."""
    spread = values.groupby(rows.variant.map(steps["k"])).agg(["mean", "min", "max"])
    if not spread.empty:
        style.curve(axis, spread.index, spread, line_style, label=label)


def _finish_rewind_step_axis(axis: Axes, steps: pd.DataFrame) -> None:
    """Make the horizontal axis linear up to the first step after 0 and logarithmic beyond it, and add the legend."""
    found = steps.drop_duplicates("k").sort_values("k")
    after_zero = found.k[found.k > 0]
    axis.set_xscale("symlog", linthresh=after_zero.min(), linscale=0.5)
    axis.set_xticks(found.k, labels=[f"{row.k}\n{100 * row.k / row.total:.3g}%" for row in found.itertuples()])
    axis.set_xlim(-0.2 * after_zero.min() if (found.k == 0).any() else None, 1.2 * after_zero.max())
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set(xlabel="rewind step k, and its share of training")
    axis.legend(frameon=False, fontsize="small")


def _draw_lines(axis: Axes, lines: pd.DataFrame, level: int) -> None:
    """Draw the mean error along lines at level 0 and, if that is another one, at `level`."""
    curves = {"dense": (0, "", _DENSE_ALONG_LINES)}
    if level:
        curves |= {
            LABELS[branch]: (level, control, style.BRANCHES[branch])
            for branch, control in (("random_mask", "random_mask"), (TICKET, ""))
        }
    for name, (at, control, line_style) in curves.items():
        rows = lines[(lines.level == at) & (lines.control == control)]
        if not rows.empty:
            spread = (100 * rows.test_error).groupby(rows.share).agg(["mean", "min", "max"])
            style.curve(axis, spread.index, spread, {**line_style, "marker": ""}, label=name)
