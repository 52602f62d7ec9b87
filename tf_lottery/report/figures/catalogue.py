"""The figures of a report with their captions. A figure without data is left out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from tf_lottery.experiment import config as config_lib
from tf_lottery.report import claims, overlaps, results
from tf_lottery.report.figures import curves, style
from tf_lottery.report.findings import LINES, OVERLAPS, STABILITY, TICKETS, Findings
from tf_lottery.report.results import TICKET

_UNITS = {"angle": "degrees", "distance": "L2 distance"}
_MEANING = (
    "To data order: copies of one network, trained from the same state in other orders of the data. To pruning: the "
    "dense network and the pruned one, trained in one order, on the weights that are kept. The less, the more stable."
)
_VARIANT_FIGURES = {
    "accuracy_at_early_stopping": (
        curves.accuracy_at_early_stopping,
        "Lines are means, bands run from the lowest to the highest replicate. The controls: “random mask” keeps as "
        "many weights in each layer, chosen at random; “reinit” keeps the ticket's weights, newly initialised.",
    ),
    "accuracy_at_the_end": (
        curves.accuracy_at_the_end,
        "The same when training has gone on to its last step.",
    ),
    "early_stopping": (
        curves.early_stopping,
        "Lower is faster. The validation set alone decides where this step is; where it is the last one, the loss was "
        "still falling when training ended.",
    ),
    "density_by_layer": (curves.density_by_layer, "How much of each weight the tickets keep."),
}
# By kind: the end of the title, and a description of the other mask.
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
    """A drawn figure.

    Attributes:
        image: The PNG file.
        caption: The text below it.
        source: The name of the CSV file beside the page that holds its numbers.
    """

    image: bytes
    caption: str
    source: str


def variant_figures(frame: pd.DataFrame) -> dict[str, Drawn]:
    """Draw the figures of one variant, by name.

    Args:
        frame: The rows of one variant, see `results.rows`.
    """
    return {
        name: _draw(draw, frame, caption=caption, source=TICKETS) for name, (draw, caption) in _VARIANT_FIGURES.items()
    }


def run_figures(findings: Findings) -> dict[str, Drawn]:
    """Draw the figures of a whole run, by name: comparisons of variants, stability, lines, overlaps."""
    families = (_variants, _by_rewind_step, _stability, _lines, _overlaps)
    return {name: drawn for family in families for name, drawn in family(findings)}


def _variants(findings: Findings) -> Iterator[tuple[str, Drawn]]:
    frames = findings.by_variant
    if len(frames) > 1 and findings.results.level.any():
        few = len(frames) <= curves.MOST_WITH_CONTROLS
        controls = " Thin lines: random masks and reinitialised tickets, dashed and dash-dotted." if few else ""
        caption = f"Tickets of all variants: means, with bands from min to max of {_replicates(findings)}.{controls}"
        yield "accuracy_of_variants", _draw(curves.accuracy_of_variants, frames, caption=caption, source=TICKETS)


def _by_rewind_step(findings: Findings) -> Iterator[tuple[str, Drawn]]:
    frame, steps = findings.results, results.rewind_steps(findings.config, findings.results)
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
    accuracy = _draw(curves.accuracy_by_rewind_step, frame, steps, level=level, caption=caption, source=TICKETS)
    yield "accuracy_against_k", accuracy
    for measure, unit in _UNITS.items() if claims.STABILITY.keys() & {*samples.measure} else ():
        caption = f"{at}: means, with bands from min to max of all samples ({_replicates(findings)}). {_MEANING}"
        options = {"level": level, "measure": measure, "unit": unit, "caption": caption, "source": STABILITY}
        yield f"{measure}_against_k", _draw(curves.stability_by_rewind_step, samples, steps, **options)


def _stability(findings: Findings) -> Iterator[tuple[str, Drawn]]:
    samples = findings.samples[(findings.samples.level > 0) & findings.samples.measure.isin(claims.STABILITY)]
    if samples.groupby("variant")["level"].nunique().max() > 1:
        for measure, unit in _UNITS.items():
            caption = f"Means, with bands from min to max of all samples ({_replicates(findings)}). {_MEANING}"
            options = {"measure": measure, "unit": unit, "caption": caption, "source": STABILITY}
            drawn = _draw(curves.stability_by_density, samples, _densities(findings), **options)
            yield f"{measure}_against_density", drawn


def _lines(findings: Findings) -> Iterator[tuple[str, Drawn]]:
    if findings.lines.empty:
        return
    fresh = {member.stability.fresh_statistics for member in config_lib.members(findings.config).values()}
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
    lines, densities = findings.lines, _densities(findings)
    yield "error_along_lines", _draw(curves.error_along_lines, lines, densities, caption=caption, source=LINES)


def _overlaps(findings: Findings) -> Iterator[tuple[str, Drawn]]:
    """Draw overlaps: all kinds in one figure without variants, otherwise one figure for each kind."""
    rows, means = findings.overlaps, f"means, with bands from min to max ({_replicates(findings)})"
    meaning = (
        f"Weights kept by both / weights kept by either: {means}. Chance: random masks with as many in each layer."
    )
    if not rows.empty and not findings.config.variants:
        labels = rows.kind.map({kind: words for kind, (words, _) in _OVERLAPS.items()})
        title = "Overlap of tickets"
        yield "overlap", _draw(curves.overlap_by_density, rows, labels, title=title, caption=meaning, source=OVERLAPS)
        return
    for kind, (words, masks) in _OVERLAPS.items():
        chosen = rows[rows.kind == kind]
        if kind == overlaps.VARIANTS:
            chosen = chosen[chosen.variant == config_lib.labels(findings.config)[0]]
        labels = (chosen.variant + " and " + chosen.other) if kind == overlaps.VARIANTS else chosen.variant
        if not chosen.empty:
            caption = f"Of each ticket, with {masks}. {meaning}"
            options = {"title": f"Overlap {words}", "caption": caption, "source": OVERLAPS}
            yield f"overlap_{kind}", _draw(curves.overlap_by_density, chosen, labels, **options)


def _draw(draw: Callable[..., Figure], *data: object, caption: str, source: str, **options: object) -> Drawn:
    return Drawn(style.png(lambda: draw(*data, **options)), caption, source)


def _densities(findings: Findings) -> pd.Series:
    return findings.results.groupby(["variant", "level"]).density.mean()


def _replicates(findings: Findings) -> str:
    number = findings.results.replicate.nunique()
    return f"{number} replicate{'s' * (number != 1)}"
