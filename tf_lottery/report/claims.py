"""The claims of a run: every comparison of the papers that its results support, with a verdict.

All comparisons are paired within replicates; see `statistics`. A positive difference always supports the claim, whether
more is better (accuracy) or less (steps, distance, angle, barrier).
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tf_lottery.core.controls import CONTROLS
from tf_lottery.core.stability import ALL
from tf_lottery.experiment import config as config_lib
from tf_lottery.experiment.config import Experiment
from tf_lottery.report import results, statistics
from tf_lottery.report.results import LABELS, TICKET
from tf_lottery.report.statistics import Comparison

LOG_RATIO = "log ratio"
STABLE = 0.02  # error barriers below 2% count as none in Frankle et al. 2020 (arXiv 1912.05671)
COLUMNS = (
    *("claim", "variant", "level", "density", "subject", "statement", "measure", "unit", "value", "reference", "ratio"),
    *("n", "mean", "low", "high", "interval_low", "interval_high", "p", "effect", "verdict"),
)


@dataclass(frozen=True)
class Measure:
    """A quantity to compare.

    Attributes:
        unit: The unit of its differences.
        sign: 1 if more is better, -1 if less is better. Defaults to 1.
        scale: Factor from the stored values to `unit`. Defaults to 1.
        is_ratio: Whether the differences are those of logarithms. Defaults to False.
    """

    unit: str
    sign: int = 1
    scale: float = 1.0
    is_ratio: bool = False


STABILITY = {
    "data_order_angle": Measure("degrees", sign=-1),
    "data_order_distance": Measure(LOG_RATIO, sign=-1, is_ratio=True),
    "pruning_angle": Measure("degrees", sign=-1),
    "pruning_distance": Measure(LOG_RATIO, sign=-1, is_ratio=True),
}
MEASURES = {
    "test_accuracy": Measure("percentage points", scale=100),
    "early_stop_step": Measure("steps", sign=-1),
    **STABILITY,
    "error_barrier": Measure("percentage points", sign=-1, scale=100),
}


@dataclass(frozen=True)
class _Question:
    """A claim to test: the values of its subject against references, both indexed by replicate."""

    statement: str
    measure: str
    values: pd.Series
    references: pd.Series
    decide: Callable[[Comparison], str] = statistics.greater
    subject: str = TICKET


def comparisons(
    frame: pd.DataFrame,
    stability_rows: pd.DataFrame,
    barriers: pd.DataFrame,
    members: Mapping[str, Experiment],
) -> pd.DataFrame:
    """Make every comparison that the results support.

    The claims about each ticket are:

    - It is no less accurate than the dense network, within `statistics.MATCHING`.
    - It is more accurate than each control.
    - It reaches its lowest validation loss earlier than the dense network. This is tested only if its weights are
      rewound: otherwise it starts from trained weights.
    - It is more stable than the random mask.
    - It is more accurate and more stable than an equally sparse ticket of an earlier variant: the first with the same
      dense network, and the first with the same network and dataset.
    - It has an error barrier below `STABLE`; this is also tested for the random mask and the dense network.

    Accuracies are those at the end of training. The samples of one replicate count as their mean.

    Args:
        frame: The results, see `results.rows`.
        stability_rows: The frame of `experiment.run_stability.rows`; may be empty.
        barriers: The frame of `experiment.run_stability.barriers`; may be empty.
        members: The experiments of `experiment.config_lib.members`.

    Returns:
        A frame with one row per comparison and these columns:

        - claim (a sentence), variant, level, density (0-1); subject and statement (the two parts of the claim).
        - measure (a key of `MEASURES`) and unit.
        - value and reference: means over the replicates that have both, of the subject and of its rival; distances
          themselves, not logarithms. ratio: reference / value, for stability only.
        - n (replicates), then statistics of the differences in `unit`: mean, low and high (least and greatest),
          interval_low and interval_high (95% confidence interval of the mean), p (two-sided paired t-test, not
          corrected for the number of comparisons), effect (d_z). The unit "log ratio" is the natural logarithm of
          reference / value.
        - verdict (`"shown"`, `"contradicted"` or `"not shown"`).
    """
    frames = results.by_variant(frame)
    found = []
    for label, rows in frames.items():
        densities = rows[rows.branch == TICKET].groupby("level").density.mean()
        for level, density in densities.items():
            ticket, random_mask = (_samples(stability_rows, label, level, control) for control in ("", "random_mask"))
            questions = [
                *(_accuracy(rows, level) if level else ()),
                *(_variants(frames, stability_rows, label, level, members) if level else ()),
                *(_speed(rows, level) if level and members[label].prune.rewind == "weights" else ()),
                *_stability(ticket, random_mask, f"“{LABELS['random_mask']}”"),
                *_barriers(_at(barriers, label, level), level),
            ]
            place = {"variant": label, "level": level, "density": density}
            found += [_row(place, question) for question in questions]
    return pd.DataFrame(found, columns=[*COLUMNS])


def _accuracy(rows: pd.DataFrame, level: int) -> Iterator[_Question]:
    ticket, dense = _values(rows, TICKET, level), _values(rows, TICKET, 0)
    margin = 100 * statistics.MATCHING
    yield _Question(
        f"is no less accurate than the dense network (margin: {margin:g} percentage points)",
        "test_accuracy",
        ticket,
        dense,
        lambda comparison: statistics.no_worse(comparison, margin),
    )
    for control in CONTROLS:
        if not (rivals := _values(rows, control, level)).empty:
            yield _Question(f"is more accurate than “{LABELS[control]}”", "test_accuracy", ticket, rivals)


def _variants(
    frames: Mapping[str, pd.DataFrame],
    stability_rows: pd.DataFrame,
    label: str,
    level: int,
    members: Mapping[str, Experiment],
) -> Iterator[_Question]:
    for other, at in _rivals(frames, label, level, members).items():
        accuracies = _values(frames[label], TICKET, level), _values(frames[other], TICKET, at)
        yield _Question(f"is more accurate than that of {other}", "test_accuracy", *accuracies)
        samples = _samples(stability_rows, label, level), _samples(stability_rows, other, at)
        yield from _stability(*samples, f"that of {other}")


def _rivals(
    frames: Mapping[str, pd.DataFrame], label: str, level: int, members: Mapping[str, Experiment]
) -> dict[str, int]:
    """Find the earlier variants to compare a ticket with, each with its level that keeps as many weights.

    There are at most two: the first with the same dense network, and the first that solves the same task.
    """
    kept = _kept(frames[label])[level]
    as_sparse = {}
    for other in itertools.takewhile(lambda other: other != label, frames):
        if _task(members[other]) != _task(members[label]):
            continue
        differences = (_kept(frames[other]).drop(0, errors="ignore") - kept).abs()
        if not differences.empty and differences.min() <= results.EQUALLY_SPARSE * kept:
            as_sparse[other] = differences.idxmin()
    dense = config_lib.dense_network_key(members[label])
    same_dense = [other for other in as_sparse if config_lib.dense_network_key(members[other]) == dense]
    return {other: as_sparse[other] for other in [*same_dense[:1], *[*as_sparse][:1]]}


def _task(member: Experiment) -> tuple[object, ...]:
    """Return the network and the data of a variant: tickets that differ in these are not compared."""
    return member.model.name, member.data.name, member.data.image_size, member.data.synthetic


def _speed(rows: pd.DataFrame, level: int) -> Iterator[_Question]:
    steps = (_values(rows, TICKET, at, "early_stop_step") for at in (level, 0))
    yield _Question("reaches its lowest validation loss earlier than the dense network", "early_stop_step", *steps)


def _stability(rows: pd.DataFrame, others: pd.DataFrame, rival: str) -> Iterator[_Question]:
    for name in STABILITY:
        kind, _, measure = name.rpartition("_")
        samples = [each[each.kind == kind] for each in (rows, others) if not each.empty]
        if len(samples) == 2 and not any(each.empty for each in samples):
            statement = f"is more stable to {kind.replace('_', ' ')} than {rival} ({measure})"
            yield _Question(statement, name, *(_means(each, measure) for each in samples))


def _barriers(rows: pd.DataFrame, level: int) -> Iterator[_Question]:
    statement = f"has an error barrier below {100 * STABLE:g} percentage points between data orders"
    for control, samples in () if rows.empty else rows.groupby("control"):
        barrier = _means(samples, "error_barrier")
        subject = LABELS[control or TICKET] if level else "dense network"
        yield _Question(statement, "error_barrier", barrier, pd.Series(STABLE, barrier.index), subject=subject)


def _row(place: Mapping[str, Any], question: _Question) -> dict[str, Any]:
    """Test a claim and return its row, see `comparisons`."""
    measure = MEASURES[question.measure]
    common = question.values.index.intersection(question.references.index)
    value, reference = (
        measure.scale * series.loc[common].astype(float) for series in (question.values, question.references)
    )
    means = {"value": value.mean(skipna=False), "reference": reference.mean(skipna=False)}
    with np.errstate(divide="ignore", invalid="ignore"):  # distances can be 0
        ratio = np.divide(means["reference"], means["value"]) if question.measure in STABILITY else np.nan
        pair = [np.log(series) if measure.is_ratio else series for series in (value, reference)]
    found = statistics.compare(*(pair if measure.sign > 0 else reversed(pair)))
    at = f" at {place['density']:.1%}" if place["level"] else ""
    return {
        **place,
        "claim": f"The {question.subject}{at} {question.statement}.",
        "subject": question.subject,
        "statement": question.statement,
        "measure": question.measure,
        "unit": measure.unit,
        **means,
        "ratio": ratio,
        **{name: getattr(found, name) for name in ("n", "mean", "low", "high", "p", "effect")},
        "interval_low": found.interval[0],
        "interval_high": found.interval[1],
        "verdict": question.decide(found),
    }


def _values(rows: pd.DataFrame, branch: str, level: int, measure: str = "test_accuracy") -> pd.Series:
    return rows[(rows.branch == branch) & (rows.level == level)].set_index("replicate")[measure]


def _kept(rows: pd.DataFrame) -> pd.Series:
    return rows[rows.branch == TICKET].groupby("level").kept.mean()


def _samples(rows: pd.DataFrame, variant: str, level: int, control: str = "") -> pd.DataFrame:
    """Select the samples of stability that are over all weights together."""
    found = _at(rows, variant, level)
    return found if found.empty else found[(found.weight == ALL) & (found.control == control)]


def _at(rows: pd.DataFrame, variant: str, level: int) -> pd.DataFrame:
    return rows if rows.empty else rows[(rows.variant == variant) & (rows.level == level)]


def _means(samples: pd.DataFrame, measure: str) -> pd.Series:
    """Average the samples of each replicate: they share networks, so they are not independent."""
    return samples.groupby("replicate")[measure].agg(lambda values: values.mean(skipna=False))
