"""The tables of a report as frames of text: levels, dense networks, sparsest tickets, stability, claims, exports.

Each table comes with a text that explains it.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from tf_lottery.report import claims, results, text
from tf_lottery.report.findings import Findings
from tf_lottery.report.results import LABELS, TICKET
from tf_lottery.report.statistics import CONTRADICTED, NOT_SHOWN, SHOWN

LEVEL_MEASURES = {
    "test accuracy (%)": ("early_stop_test_accuracy", lambda share: f"{100 * share:.2f}"),
    "early-stop step": ("early_stop_step", lambda step: f"{step:.0f}"),
}
CELLS_MEANING = (
    "Mean [min–max] over the replicates. The early-stop step is that of the lowest validation loss; the accuracy is "
    "that on the test set at this step."
)
VERDICT_MEANING = (
    "The verdict compares each ticket with the dense network of its replicate, whatever the controls do. "
    f"“{results.WINNING}”: in every replicate the ticket reaches its lowest validation loss no later and is then at "
    f"least as accurate on the test set. “{results.LESS_ACCURATE}”, “{results.LATER}”: it is so in every replicate. "
    f"“{results.NOT_SHOWN}”: the replicates disagree, or there are fewer than three."
)
DENSE_MEANING = "At the end of training, mean [min–max] over the replicates. Settings are chosen by validation alone."

STABILITY_MEASURES = {
    "data_order_angle": ("data order: angle (°)", lambda angle: f"{angle:.1f}"),
    "data_order_distance": ("data order: distance", lambda distance: f"{distance:.2f}"),
    "pruning_angle": ("pruning: angle (°)", lambda angle: f"{angle:.1f}"),
    "pruning_distance": ("pruning: distance", lambda distance: f"{distance:.2f}"),
    "error_barrier": ("error barrier (points)", lambda share: f"{100 * share:.2f}"),
}
STABILITY_MEANING = (
    "Mean [min–max] over all samples; the less, the more stable. To data order: between copies of one network, trained "
    "from the same state in other orders of the data. To pruning: between the dense network and the pruned one, in one "
    "order of the data, on the weights that are kept. Distances are Euclidean; angles are between the weights at the "
    "end, seen from 0. The error barrier is the highest test error on the line between two copies less the mean of its "
    "ends. Level 0 is the dense network, from step k on. The ratio is random mask / ticket, of the means."
)
SPARSEST_MEANING = (
    "The sparsest tickets of each variant. Test accuracy in percent at the end of training, mean [min–max] over the "
    "replicates. Angles in degrees and barriers in percentage points are means: of the ticket, and in brackets of the "
    "random mask; see Stability."
)
_SPARSEST_MEASURES = ("data_order_angle", "pruning_angle", "error_barrier")
_RANDOM_MASK = "random_mask"

SYMBOLS = {SHOWN: "✓", CONTRADICTED: "✗", NOT_SHOWN: "○"}
SYMBOLS_MEANING = (
    f"{SYMBOLS[SHOWN]} shown, {SYMBOLS[CONTRADICTED]} contradicted, {SYMBOLS[NOT_SHOWN]} not shown, each with the mean "
    "difference: in percentage points, steps or degrees, or as a factor."
)
CLAIMS_MEANING = (
    "Differences are within replicates, in favour of the claim. “shown” and “contradicted” need three replicates and "
    "p < 0.05 in a paired t-test or, where there is a margin, a 95% confidence interval on one side of it (p is that "
    "of no difference); d_z is the mean difference in standard deviations. Differences of distances are ratios, their "
    "mean the geometric one. “That of …” is the first variant of the same network and data that is as sparse, and the "
    "first that shares the dense network. Many comparisons are made, and p-values are not corrected for their number: "
    "of twenty claims with nothing in them, about one is shown or contradicted by chance."
)
STATEMENT = "the …"


def levels(frame: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the levels of one variant, one row per level.

    Args:
        frame: The rows of one variant, see `results.rows`.

    Returns:
        A frame whose columns are (group, name): level, density and verdict in a group without a name, then a group for
        each of `LEVEL_MEASURES` with "mean [min–max]" of the tickets and of each control.
    """
    summary, verdicts = results.spread(frame), results.verdicts(frame)
    branches = [branch for branch in LABELS if branch in summary.index.levels[0]]
    lines = []
    for level in sorted(frame.level.unique()):
        line = {("", "level"): str(level), ("", "density"): f"{summary['density']['mean'][TICKET, level]:.1%}"}
        line[("", "verdict")] = verdicts.get(level, "dense")
        for group, (measure, show) in LEVEL_MEASURES.items():
            for branch in branches:
                line[(group, LABELS[branch])] = _level_cell(summary, branch, level, measure, show)
        lines.append(line)
    return pd.DataFrame([list(line.values()) for line in lines], columns=pd.MultiIndex.from_tuples(lines[0]))


def dense_networks(frame: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the validation and test accuracy of dense networks at the end of training, one row per variant.

    Args:
        frame: The rows of all variants, see `results.rows`.
    """
    dense = frame[frame.level == 0].groupby("variant", sort=False)
    return pd.DataFrame(
        {"variant": label}
        | {f"{split} accuracy (%)": text.percent(rows[f"{split}_accuracy"]) for split in ("validation", "test")}
        for label, rows in dense
    )


def sparsest_tickets(findings: Findings) -> pd.DataFrame:
    """Tabulate the sparsest tickets of a sweep beside their rivals, one row per variant.

    Columns that are empty for all variants are left out.
    """
    lines = [_sparsest(findings, label, rows) for label, rows in findings.by_variant.items() if rows.level.any()]
    frame = pd.DataFrame(lines).fillna("")
    measures = [STABILITY_MEASURES[name][0] for name in _SPARSEST_MEASURES]
    order = ["variant", "density", "dense", *LABELS.values(), *measures]
    return frame[[name for name in order if name in frame and frame[name].any()]]


def stability(findings: Findings) -> pd.DataFrame:
    """Tabulate stability, one row per variant, level and measure.

    The columns are the ticket beside the random mask, their ratio, and the numbers of replicates and samples. A run
    without variants has no column variant. The frame is empty if nothing was measured.
    """
    lines = []
    for variant, rows in findings.by_variant.items():
        densities = rows.groupby("level").density.mean()
        of_variant = findings.samples[findings.samples.variant == variant]
        for level, measured in of_variant.groupby("level"):
            density = text.number_or_dash(densities.get(level, math.nan), "{:.1%}".format)
            place = ({"variant": variant} if variant else {}) | {"level": str(level), "density": density}
            for name, (words, show) in STABILITY_MEASURES.items():
                samples = measured[measured.measure == name]
                if not samples.empty:
                    lines.append(place | {"measure": words} | _beside_random_mask(samples, show))
    return pd.DataFrame(lines)


def claims_by_level(findings: Findings) -> pd.DataFrame:
    """Tabulate the verdicts on claims, one row per variant and statement and one column per level.

    A cell holds the verdict as a symbol and the mean difference. Accuracy comes first in each variant. The column of a
    level names its density if that is the same in all variants. A run without variants has no column variant.
    """
    rows = _accuracy_first(findings.comparisons, "variant")
    rows = rows.assign(statement=rows.subject + " " + rows.statement)
    cells = rows.assign(cell=[f"{SYMBOLS[row.verdict]} {_difference(row.mean, row)}" for row in _rows(rows)])
    places = pd.MultiIndex.from_frame(rows[["variant", "statement"]].drop_duplicates())
    wide = cells.pivot(index=["variant", "statement"], columns="level", values="cell").reindex(places).fillna("")
    densities = rows.groupby("level").density.unique()
    wide.columns = [
        f"level {level} ({densities[level][0]:.1%})" if len(densities[level]) == 1 else f"level {level}"
        for level in wide
    ]
    wide = wide.reset_index().rename(columns={"statement": STATEMENT})
    return wide if findings.config.variants else wide.drop(columns="variant")


def claims_in_full(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Tabulate all numbers of the claims, one row per comparison.

    A run without variants has no column variant.

    Args:
        comparisons: The frame of `claims.comparisons`.
    """
    return pd.DataFrame(
        ({"variant": row.variant} if row.variant else {})
        | {
            "claim": row.claim,
            "verdict": f"{SYMBOLS[row.verdict]} {row.verdict}",
            "mean": _value(row.value, row),
            "compared with": _value(row.reference, row),
            "difference": _difference(row.mean, row),
            "95% interval": f"{_difference(row.interval_low, row)} to {_difference(row.interval_high, row)}",
            "min to max": f"{_difference(row.low, row)} to {_difference(row.high, row)}",
            "n": str(row.n),
            "p": text.number_or_dash(row.p, lambda p: f"{p:.3f}" if p >= 0.0005 else "<0.001"),
            "d_z": text.number_or_dash(row.effect, lambda effect: f"{effect:.1f}"),
        }
        for row in _rows(comparisons)
    )


def conclusions(comparisons: pd.DataFrame) -> list[str]:
    """List the statements that are shown or contradicted, one line each, with the variants and densities.

    Accuracy comes first.

    Args:
        comparisons: The frame of `claims.comparisons`.
    """
    lines = []
    for (subject, statement), rows in _accuracy_first(comparisons).groupby(["subject", "statement"], sort=False):
        for verdict in (SHOWN, CONTRADICTED):
            found = [
                f"{variant} at {_densities(of_variant, verdict)}".strip()
                for variant, of_variant in rows.groupby("variant", sort=False)
                if (of_variant.verdict == verdict).any()
            ]
            if found:
                lines.append(f"{SYMBOLS[verdict]} {verdict}: the {subject} {statement}: {'; '.join(found)}")
    return lines


def export_formats(frame: pd.DataFrame) -> pd.DataFrame:
    """Tabulate what a ticket costs in each export format.

    Args:
        frame: The frame of `export.comparison.compare`.
    """
    latencies = [column for column in frame if column.startswith("latency_")]
    return pd.DataFrame(
        {
            "format": frame["format"],
            "bytes": frame.bytes.map(_whole),
            "of dense": frame.share.map(lambda share: "" if pd.isna(share) else f"{share:.1%}"),
            "parameters": frame.parameters.map(_whole),
            "multiply-adds": frame.multiply_adds.map(_whole),
        }
        | {f"ms, batch {column.partition('_')[2]}": frame[column].map(_milliseconds) for column in latencies}
    )


def _level_cell(summary: pd.DataFrame, branch: str, level: int, measure: str, show: Callable[[float], str]) -> str:
    if (branch, level) not in summary.index:
        return ""
    values = summary.loc[(branch, level), measure]
    return f"{show(values['mean'])} [{show(values['min'])}–{show(values['max'])}]"


def _sparsest(findings: Findings, variant: str, rows: pd.DataFrame) -> dict[str, str]:
    """Return the row of a variant in the table of `sparsest_tickets`."""
    level = rows.level.max()
    at_level = rows[rows.level == level]
    density, dense = f"{at_level.density.mean():.1%}", text.percent(rows[rows.level == 0].test_accuracy)
    accuracies = {
        LABELS[branch]: text.percent(of_branch.test_accuracy) for branch, of_branch in at_level.groupby("branch")
    }
    samples = findings.samples
    samples = samples[(samples.variant == variant) & (samples.level == level)]
    stabilities = {}
    for measure in _SPARSEST_MEASURES:
        name, show = STABILITY_MEASURES[measure]
        ticket, random_mask = _ticket_and_random_mask(samples[samples.measure == measure])
        if not ticket.empty:
            rival = "" if random_mask.empty else f" ({text.number_or_dash(_replicate_mean(random_mask), show)})"
            stabilities[name] = text.number_or_dash(_replicate_mean(ticket), show) + rival
    return {"variant": variant, "density": density, "dense": dense, **accuracies, **stabilities}


def _beside_random_mask(samples: pd.DataFrame, show: Callable[[float], str]) -> dict[str, str]:
    ticket, random_mask = _ticket_and_random_mask(samples)
    ratio = _replicate_mean(random_mask) / _replicate_mean(ticket) if _replicate_mean(ticket) else math.nan
    return {
        LABELS[TICKET]: _sample_spread(ticket, show),
        LABELS[_RANDOM_MASK]: _sample_spread(random_mask, show),
        "ratio": text.number_or_dash(ratio, lambda ratio: f"{ratio:.1f}x"),
        "replicates": str(samples.replicate.nunique()),
        "samples": str(samples.groupby("branch").size().max()),
    }


def _ticket_and_random_mask(samples: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    return samples[samples.branch == TICKET], samples[samples.branch == _RANDOM_MASK]


def _replicate_mean(samples: pd.DataFrame) -> float:
    """Average over the replicates, so that one with fewer samples has the same weight."""
    return samples.groupby("replicate").value.agg(lambda values: values.mean(skipna=False)).mean(skipna=False)


def _sample_spread(samples: pd.DataFrame, show: Callable[[float], str]) -> str:
    if samples.empty:
        return ""
    numbers = (_replicate_mean(samples), samples.value.min(skipna=False), samples.value.max(skipna=False))
    mean, low, high = (text.number_or_dash(number, show) for number in numbers)
    return f"{mean} [{low}–{high}]"


def _rows(frame: pd.DataFrame) -> Iterator[Any]:
    return frame.itertuples(index=False)


def _accuracy_first(comparisons: pd.DataFrame, *first: str) -> pd.DataFrame:
    """Sort comparisons by measure in the order of `claims.MEASURES`, after sorting by the columns `first`, if any."""
    measures = {name: place for place, name in enumerate(claims.MEASURES)}
    keys = {"measure": comparisons.measure.map(measures), "variant": pd.factorize(comparisons.variant)[0]}
    return comparisons.iloc[np.lexsort([keys[name] for name in ("measure", *first)])]


def _densities(rows: pd.DataFrame, verdict: str) -> str:
    """List the densities with a verdict in percent, as in "80, 64–32.8, 10.7%": three or more in a row are a range."""
    parts = []
    for has_it, run in itertools.groupby(rows.itertuples(), lambda row: row.verdict == verdict):
        found = [f"{100 * row.density:.3g}" for row in run]
        if has_it:
            parts += found if len(found) < 3 else [f"{found[0]}–{found[-1]}"]
    return f"{', '.join(parts)}%"


def _difference(number: float, row: Any) -> str:
    """Return a difference in the unit of its comparison; a difference of logarithms becomes a ratio."""
    shows = {"steps": "{:+.0f}", "degrees": "{:+.1f}", "percentage points": "{:+.2f}"}
    if row.unit == claims.LOG_RATIO:
        return text.number_or_dash(number, lambda logarithm: f"{math.exp(logarithm):.2f}x")
    return text.number_or_dash(number, shows[row.unit].format)


def _value(number: float, row: Any) -> str:
    shows = {"test_accuracy": "{:.2f}%", "early_stop_step": "{:.0f}", "error_barrier": "{:.2f} points"}
    show = shows.get(row.measure, "{:.1f}°" if row.unit == "degrees" else "{:.2f}")
    return text.number_or_dash(number, show.format)


def _whole(number: float) -> str:
    return "" if pd.isna(number) else f"{number:,.0f}"


def _milliseconds(seconds: float) -> str:
    return "" if pd.isna(seconds) else f"{1000 * seconds:.3f}"
