"""Paired comparisons over replicates, and the verdicts that they support.

The networks of one replicate share an initialisation, so the comparisons are of differences within replicates. A claim
needs at least three replicates; with fewer, the verdict is "not shown".
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit  # Student's t; importing scipy.stats takes far longer

from tf_lottery.errors import ConfigError, LotteryError
from tf_lottery.report.results import MIN_REPLICATES, NOT_SHOWN

SIGNIFICANCE = 0.05
MATCHING = 0.002  # accuracies within 0.2 percentage points are "matching" in Frankle et al. 2020 (arXiv 1912.05671)

SHOWN, CONTRADICTED = "shown", "contradicted"


@dataclass(frozen=True)
class Comparison:
    """The differences first - second within replicates, in the unit of the compared values.

    `p`, `effect` and `interval` are NaN for fewer than two differences, and if all differences are equal. Accuracies
    are multiples of 1 / the number of test examples, so a few differences can be equal by chance and then tell nothing
    about their spread.

    Attributes:
        n: Number of replicates that have both values.
        mean: Mean difference; NaN without any.
        low: Least difference; NaN without any.
        high: Greatest difference; NaN without any.
        p: The p-value of the two-sided paired t-test, 0-1.
        effect: Cohen's d_z: mean / standard deviation (n - 1) of the differences.
        interval: Both ends of the 95% confidence interval of the mean difference.
    """

    n: int
    mean: float
    low: float
    high: float
    p: float
    effect: float
    interval: tuple[float, float]


def compare(first: pd.Series, second: pd.Series) -> Comparison:
    """Compare two branches, or two levels, within the same replicates.

    Args:
        first, second: Numbers indexed by replicate, one per replicate. Only replicates in both are compared. Samples of
            one replicate are not independent: pass their mean.

    Returns:
        The comparison. If a value is NaN or infinite, all numbers but `n` are NaN: training that diverged is not left
        out.

    Raises:
        LotteryError: A replicate has several values.

    >>> compare(pd.Series({1: 5.0, 2: 7.0, 3: 9.0}), pd.Series({1: 4.0, 2: 5.0, 4: 1.0})).mean
    1.5
    """
    for series in (first, second):
        if not series.index.is_unique:
            repeated = ", ".join(map(str, series.index[series.index.duplicated()].unique()))
            raise LotteryError(
                f"A comparison takes one value per replicate: pass the mean of its samples. Received several values "
                f"for: {repeated}"
            )
    common = first.index.intersection(second.index)
    differences = first.loc[common].astype(float) - second.loc[common].astype(float)
    return _summary(differences.where(np.isfinite(differences)))


def _summary(differences: pd.Series) -> Comparison:
    n, low, high = len(differences), differences.min(skipna=False), differences.max(skipna=False)
    mean = float(np.clip(differences.mean(skipna=False), low, high))  # means of equal numbers are rounded too
    deviation = math.nan if low == high else float(differences.std(skipna=False))
    effect = mean / deviation
    p = 2 * stdtr(n - 1, -abs(effect) * math.sqrt(n))
    half = stdtrit(n - 1, 1 - SIGNIFICANCE / 2) * deviation / math.sqrt(n)
    return Comparison(n, mean, float(low), float(high), float(p), effect, (float(mean - half), float(mean + half)))


def greater(comparison: Comparison) -> str:
    """Decide whether first > second.

    Returns:
        With p < 0.05, `"shown"` or, if first is smaller, `"contradicted"`; otherwise, or with fewer than three
        replicates, `"not shown"`.
    """
    if comparison.n < MIN_REPLICATES or not comparison.p < SIGNIFICANCE:
        return NOT_SHOWN
    return SHOWN if comparison.mean > 0 else CONTRADICTED


def no_worse(comparison: Comparison, margin: float = MATCHING) -> str:
    """Decide whether first is at most `margin` below second (non-inferiority), for measures where more is better.

    Args:
        comparison: The comparison of first with second.
        margin: The largest acceptable loss, at least 0, in the unit of the compared values. Defaults to 0.002, which is
            0.2 percentage points of an accuracy given as a share.

    Returns:
        `"shown"` if the whole 95% confidence interval of the mean difference is above -margin, `"contradicted"` if it
        is below, `"not shown"` if -margin is inside it or there are fewer than three replicates.

    Raises:
        ConfigError: `margin` is negative or NaN.
    """
    if not margin >= 0:
        raise ConfigError(f"`margin` is the largest acceptable loss and must be at least 0. Received: margin={margin}")
    lower, upper = comparison.interval
    if comparison.n < MIN_REPLICATES:
        return NOT_SHOWN
    if lower > -margin:
        return SHOWN
    return CONTRADICTED if upper < -margin else NOT_SHOWN
