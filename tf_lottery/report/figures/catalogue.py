"""Which figures a report has, and what is said below them. Those whose data are not there are not drawn."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from tf_lottery.experiment import variants
from tf_lottery.report import analysis, claims, overlaps
from tf_lottery.report.analysis import TICKET
from tf_lottery.report.figures import against_density, against_rewind_step, along_lines, look, of_masks
from tf_lottery.report.findings import LINES, OVERLAPS, STABILITY, TICKETS, Findings

_UNITS = {"angle": "degrees", "distance": "L2 distance"}
_MEANT = (
    "To data order: copies of one network, trained from the same state in other orders of the data. To pruning: the "
    "dense network and the pruned one, trained in one order, on the weights that are kept. The less, the more stable."
)
_OF_A_VARIANT = {
    "accuracy_at_early_stopping": (
        against_density.accuracy_at_early_stopping,
        "Lines are means, bands run from the lowest to the highest replicate. The controls: “random mask” keeps as "
        "many weights in each layer, chosen at random; “reinit” keeps the ticket's weights, newly initialised.",
    ),
    "accuracy_at_the_end": (
        against_density.accuracy_at_the_end,
        "The same when training has gone on to its last step.",
    ),
    "early_stopping": (
        against_density.early_stopping,
        "Lower is faster. The validation set alone decides where this step is; where it is the last one, the loss was "
        "still falling when training ended.",
    ),
    "density_by_layer": (against_density.density_by_layer, "How much of each weight the tickets keep."),
}
_OVERLAPS = {
    overlaps.REPLICATES: ("with other replicates", "the same ticket of another replicate"),
    overlaps.VARIANTS: ("with other variants", "the ticket of another variant in the same replicate"),
    overlaps.DENSE_END: (
        "with the largest weights of the dense network",
        "as many weights in each layer, those that were largest at the end of dense training (what pruning once keeps)",
    ),
    overlaps.DENSE_START: (
        "with the largest weights at step k",
        "as many weights in each layer, those that were largest at step k",
    ),
}


@dataclass(frozen=True)
class Drawn:
    """A figure.

    Attributes:
        image: As PNG.
        caption: What is said below it.
        source: The file beside the page that holds its numbers.
    """

    image: bytes
    caption: str
    source: str


def of_variant(frame: pd.DataFrame) -> dict[str, Drawn]:
    """Return the figures that each variant has of its own, or a run without variants; by name."""
    return {name: _drawn(caption, TICKETS, draw, frame) for name, (draw, caption) in _OF_A_VARIANT.items()}


def of_run(findings: Findings) -> dict[str, Drawn]:
    """Return the figures of a whole run, by name: variants beside each other, stability, lines, overlaps."""
    figures = (_of_variants, _against_rewind_step, _of_stability, _of_lines, _of_overlaps)
    return {name: drawn for make in figures for name, drawn in make(findings)}


def _of_variants(findings: Findings) -> Iterator[tuple[str, Drawn]]:
    frames = findings.by_variant
    if len(frames) > 1 and findings.trainings.level.any():
        few = len(frames) <= against_density.MOST_WITH_CONTROLS
        controls = " Thin lines: random masks and reinitialised tickets, dashed and dash-dotted." if few else ""
        caption = f"Tickets of all variants: means, with bands from min to max of {_replicates(findings)}.{controls}"
        yield "accuracy_of_variants", _drawn(caption, TICKETS, against_density.accuracy_of_variants, frames)


def _against_rewind_step(findings: Findings) -> Iterator[tuple[str, Drawn]]:
    frame, steps = findings.trainings, analysis.rewind_steps(findings.config, findings.trainings)
    if steps.empty:
        return
    samples = findings.samples[findings.samples.variant.isin(steps.index) & (findings.samples.level > 0)]
    deepest = frame[(frame.branch == TICKET) & frame.variant.isin(steps.index)].groupby("variant")["level"].max().min()
    level = deepest if samples.empty else samples.level.max()
    density = frame[(frame.level == level) & frame.variant.isin(steps.index)].density.mean()
    at = f"Networks with {density:.1%} of the weights (level {level}), rewound to step k ({', '.join(steps.index)})"
    caption = f"{at}: means, with bands from min to max of {_replicates(findings)}."
    if (steps.k == steps.total).any():
        caption += " Rewound to the end, where nothing is trained after pruning, they may lie below the axis."
    yield "accuracy_against_k", _drawn(caption, TICKETS, against_rewind_step.accuracy, frame, steps, level)
    for measure, unit in _UNITS.items() if claims.STABILITY.keys() & {*samples.measure} else ():
        caption = f"{at}: means, with bands from min to max of all samples ({_replicates(findings)}). {_MEANT}"
        drawn = _drawn(caption, STABILITY, against_rewind_step.stability, samples, steps, level, measure, unit)
        yield f"{measure}_against_k", drawn


def _of_stability(findings: Findings) -> Iterator[tuple[str, Drawn]]:
    samples = findings.samples[(findings.samples.level > 0) & findings.samples.measure.isin(claims.STABILITY)]
    if samples.groupby("variant")["level"].nunique().max() > 1:
        for measure, unit in _UNITS.items():
            caption = f"Means, with bands from min to max of all samples ({_replicates(findings)}). {_MEANT}"
            densities = _densities(findings)
            drawn = _drawn(caption, STABILITY, against_density.stability, samples, densities, measure, unit)
            yield f"{measure}_against_density", drawn


def _of_lines(findings: Findings) -> Iterator[tuple[str, Drawn]]:
    if findings.lines.empty:
        return
    fresh = {member.stability.fresh_statistics for member in variants.members(findings.config).values()}
    captions: dict[tuple[bool, ...], str] = {
        (True,): "BatchNorm statistics, where there are any, were computed anew at each point.",
        (False,): "BatchNorm statistics, where there are any, were interpolated like weights.",
    }
    statistics = captions.get(
        (*fresh,), "BatchNorm statistics were computed anew at each point in some variants, interpolated in others."
    )
    caption = (
        "Test error on the straight line between two copies of a network, trained from the same state in different "
        f"orders of the data: means, with bands from min to max of all lines ({_replicates(findings)}). {statistics}"
    )
    yield "error_along_lines", _drawn(caption, LINES, along_lines.error, findings.lines, _densities(findings))


def _of_overlaps(findings: Findings) -> Iterator[tuple[str, Drawn]]:
    """Without variants all in one figure; else a figure for each kind."""
    rows, means = findings.overlaps, f"means, with bands from min to max ({_replicates(findings)})"
    meaning = (
        f"Weights kept by both / weights kept by either: {means}. Chance: random masks with as many in each layer."
    )
    if not rows.empty and not findings.config.variants:
        curves = rows.kind.map({kind: words for kind, (words, _) in _OVERLAPS.items()})
        yield "overlap", _drawn(meaning, OVERLAPS, of_masks.overlap, rows, curves, "Overlap of tickets")
        return
    for kind, (words, masks) in _OVERLAPS.items():
        chosen = rows[rows.kind == kind]
        if kind == overlaps.VARIANTS:
            chosen = chosen[chosen.variant == variants.labels(findings.config)[0]]
        curves = (chosen.variant + " and " + chosen.other) if kind == overlaps.VARIANTS else chosen.variant
        if not chosen.empty:
            caption = f"Of each ticket, with {masks}. {meaning}"
            yield f"overlap_{kind}", _drawn(caption, OVERLAPS, of_masks.overlap, chosen, curves, f"Overlap {words}")


def _drawn(caption: str, source: str, draw: Callable[..., Figure], *data: object) -> Drawn:
    return Drawn(look.png(lambda: draw(*data)), caption, source)


def _densities(findings: Findings) -> pd.Series:
    return findings.trainings.groupby(["variant", "level"]).density.mean()


def _replicates(findings: Findings) -> str:
    number = findings.trainings.replicate.nunique()
    return f"{number} replicate{'s' * (number != 1)}"
