"""Tables for people, of text alone: stability and claims."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from tf_lottery.report import claims
from tf_lottery.report.analysis import LABELS, TICKET
from tf_lottery.report.findings import Findings
from tf_lottery.report.statistics import CONTRADICTED, NOT_SHOWN, SHOWN

STATEMENT = "the …"
WORDS = {"variant": "words", "measure": "words", "claim": "words long", STATEMENT: "words long"}  # not of numbers
SYMBOLS = {SHOWN: "✓", CONTRADICTED: "✗", NOT_SHOWN: "○"}
STABILITY_MEANING = (
    "Mean [min–max] over all samples; the less, the more stable. To data order: between copies of one network, trained "
    "from the same state in other orders of the data. To pruning: between the dense network and the pruned one, in one "
    "order of the data, on the weights that are kept. Distances are Euclidean; angles are between the weights at the "
    "end, seen from 0. The error barrier is the highest test error on the line between two copies less the mean of its "
    "ends. Level 0 is the dense network, from step k on. The ratio is random mask / ticket, of the means."
)
CLAIMS_MEANING = (
    "Differences are within replicates, in favour of the claim. “shown” and “contradicted” need three replicates and "
    "p < 0.05 in a paired t-test or, where there is a margin, a 95% confidence interval on one side of it (p is that "
    "of no difference); d_z is the mean difference in standard deviations. Differences of distances are ratios, their "
    "mean the geometric one. “That of …” is the first variant of the same network and data that is as sparse, and the "
    "first that shares the dense network. Many comparisons are made, and p-values are not corrected for their number: "
    "of twenty claims with nothing in them, about one is shown or contradicted by chance."
)
SYMBOLS_MEANING = (
    f"{SYMBOLS[SHOWN]} shown, {SYMBOLS[CONTRADICTED]} contradicted, {SYMBOLS[NOT_SHOWN]} not shown, each with the mean "
    "difference: in percentage points, steps or degrees, or as a factor."
)
MEASURES = {
    "data_order_angle": ("data order: angle (°)", lambda angle: f"{angle:.1f}"),
    "data_order_distance": ("data order: distance", lambda distance: f"{distance:.2f}"),
    "pruning_angle": ("pruning: angle (°)", lambda angle: f"{angle:.1f}"),
    "pruning_distance": ("pruning: distance", lambda distance: f"{distance:.2f}"),
    "error_barrier": ("error barrier (points)", lambda share: f"{100 * share:.2f}"),
}
RANDOM = "random_mask"


def stability(findings: Findings) -> pd.DataFrame:
    """Return one row a variant, level and measure: ticket beside random mask, their ratio, and how many samples there are.

    Empty where nothing was measured; without the column variant where there are none.
    """
    lines = []
    for variant, trainings in findings.by_variant.items():
        densities = trainings.groupby("level").density.mean()
        of_variant = findings.samples[findings.samples.variant == variant]
        for level, measured in of_variant.groupby("level"):
            place = {"variant": variant} if variant else {}
            place |= {"level": str(level), "density": or_dash(densities.get(level, math.nan), "{:.1%}".format)}
            for name, (words, show) in MEASURES.items():
                samples = measured[measured.measure == name]
                if not samples.empty:
                    lines.append(place | {"measure": words} | _beside_random(samples, show))
    return pd.DataFrame(lines)


def claims_by_level(findings: Findings) -> pd.DataFrame:
    """Return one row a variant and statement, one column a level: the verdict as a symbol, with the mean difference.

    Accuracy comes first in each variant. Without the column variant where there are none. A level's column has its
    density in its name, if that is the same in all variants.
    """
    rows = _in_order(findings.comparisons, "variant")
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
    """Return one row a claim: what is compared, the difference with its confidence interval and spread, n, p, d_z.

    Without the column variant where there are none.
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
            "p": or_dash(row.p, lambda p: f"{p:.3f}" if p >= 0.0005 else "<0.001"),
            "d_z": or_dash(row.effect, lambda effect: f"{effect:.1f}"),
        }
        for row in _rows(comparisons)
    )


def conclusions(comparisons: pd.DataFrame) -> list[str]:
    """Return a line a statement that is shown, or contradicted, at some density: of which variants, at which densities."""
    lines = []
    for (subject, statement), rows in _in_order(comparisons).groupby(["subject", "statement"], sort=False):
        for verdict in (SHOWN, CONTRADICTED):
            found = [
                f"{variant} at {_densities(of_variant, verdict)}".strip()
                for variant, of_variant in rows.groupby("variant", sort=False)
                if (of_variant.verdict == verdict).any()
            ]
            if found:
                lines.append(f"{SYMBOLS[verdict]} {verdict}: the {subject} {statement}: {'; '.join(found)}")
    return lines


def _rows(frame: pd.DataFrame) -> Iterator[Any]:
    return frame.itertuples(index=False)


def _in_order(comparisons: pd.DataFrame, *first: str) -> pd.DataFrame:
    """Accuracy first, in each variant or altogether; else as they were."""
    measures = {name: place for place, name in enumerate(claims.MEASURES)}
    keys = {"measure": comparisons.measure.map(measures), "variant": pd.factorize(comparisons.variant)[0]}
    return comparisons.iloc[np.lexsort([keys[name] for name in ("measure", *first)])]


def _densities(rows: pd.DataFrame, verdict: str) -> str:
    """Those with a verdict, in percent: "80, 64–32.8, 10.7%", a range for three and more in a row."""
    parts = []
    for has_it, run in itertools.groupby(rows.itertuples(), lambda row: row.verdict == verdict):
        found = [f"{100 * row.density:.3g}" for row in run]
        if has_it:
            parts += found if len(found) < 3 else [f"{found[0]}–{found[-1]}"]
    return f"{', '.join(parts)}%"


def _beside_random(samples: pd.DataFrame, show: Callable[[float], str]) -> dict[str, str]:
    ticket, rivals = (samples[samples.branch == branch] for branch in (TICKET, RANDOM))
    ratio = mean_of_replicates(rivals) / mean_of_replicates(ticket) if mean_of_replicates(ticket) else math.nan
    return {
        LABELS[TICKET]: _spread(ticket, show),
        LABELS[RANDOM]: _spread(rivals, show),
        "ratio": or_dash(ratio, lambda ratio: f"{ratio:.1f}x"),
        "replicates": str(samples.replicate.nunique()),
        "samples": str(samples.groupby("branch").size().max()),
    }


def mean_of_replicates(samples: pd.DataFrame) -> float:
    """Of the replicates, so that one with fewer samples counts no less."""
    return samples.groupby("replicate").value.agg(lambda values: values.mean(skipna=False)).mean(skipna=False)


def _spread(samples: pd.DataFrame, show: Callable[[float], str]) -> str:
    if samples.empty:
        return ""
    numbers = (mean_of_replicates(samples), samples.value.min(skipna=False), samples.value.max(skipna=False))
    mean, low, high = (or_dash(number, show) for number in numbers)
    return f"{mean} [{low}–{high}]"


def _difference(number: float, row: Any) -> str:
    """Of logarithms, the ratio."""
    shows = {"steps": "{:+.0f}", "degrees": "{:+.1f}", "percentage points": "{:+.2f}"}
    if row.unit == claims.LOG_RATIO:
        return or_dash(number, lambda logarithm: f"{math.exp(logarithm):.2f}x")
    return or_dash(number, shows[row.unit].format)


def _value(number: float, row: Any) -> str:
    shows = {"test_accuracy": "{:.2f}%", "early_stop_step": "{:.0f}", "error_barrier": "{:.2f} points"}
    show = shows.get(row.measure, "{:.1f}°" if row.unit == "degrees" else "{:.2f}")
    return or_dash(number, show.format)


def or_dash(number: float, show: Callable[[float], str]) -> str:
    """What `show` makes of a number; a dash for NaN, and infinity as its sign."""
    if math.isinf(number):
        return "∞" if number > 0 else "-∞"
    return "–" if math.isnan(number) else show(number)
