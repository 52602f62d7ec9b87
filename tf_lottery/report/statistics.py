"""Paired comparisons over replicates, and what they allow to claim.

What is compared shares the initialisation of its replicate, so it is the differences within replicates that count. No
claim rests on fewer than three of them, and "not shown" is a result.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit  # of Student's t; scipy.stats takes far longer to import

from tf_lottery.errors import ConfigError, LotteryError
from tf_lottery.report.analysis import MIN_REPLICATES, NOT_SHOWN

SIGNIFICANCE = 0.05
MATCHING = 0.002  # as accurate within 0.2 percentage points: "matching" in Frankle et al. 2020 (arXiv 1912.05671)

SHOWN, CONTRADICTED = "shown", "contradicted"


@dataclass(frozen=True)
class Comparison:
    """The differences first - second within replicates, in the unit of what was compared.

    Attributes:
        n: How many replicates have both.
        mean, low, high: Mean, least and greatest difference; NaN for none.
        p: Of the two-sided paired t-test, 0-1.
        effect: Cohen's d_z, mean / standard deviation (n - 1) of the differences.
        interval: Both ends of the 95% confidence interval of the mean difference.

    The last three are NaN for fewer than two differences, and where all are equal: accuracies are multiples of 1 / the
    number of test examples, so that a few differences can be equal by chance, and then say nothing of their spread.
    """

    n: int
    mean: float
    low: float
    high: float
    p: float
    effect: float
    interval: tuple[float, float]


def compare(first: pd.Series, second: pd.Series) -> Comparison:
    """Compare two branches, or two levels, of the same replicates.

    Args:
        first, second: Numbers indexed by replicate, one for each. Only replicates that both have count. Several
            samples of one replicate are not independent: give their mean.

    Returns:
        The comparison. All numbers but `n` are NaN where a value is NaN or infinite: a training that diverged is not
        left out.

    Raises:
        LotteryError: a replicate has several values.

    >>> compare(pd.Series({1: 5.0, 2: 7.0, 3: 9.0}), pd.Series({1: 4.0, 2: 5.0, 4: 1.0})).mean
    1.5
    """
    for series in (first, second):
        if not series.index.is_unique:
            repeated = ", ".join(map(str, series.index[series.index.duplicated()].unique()))
            raise LotteryError(
                f"A comparison takes one value for each replicate: give the mean of its samples. Several came for "
                f"{repeated}."
            )
    common = first.index.intersection(second.index)
    differences = first.loc[common].astype(float) - second.loc[common].astype(float)
    return _summary(differences.where(np.isfinite(differences)))


def _summary(differences: pd.Series) -> Comparison:
    n, low, high = len(differences), differences.min(skipna=False), differences.max(skipna=False)
    mean = float(np.clip(differences.mean(skipna=False), low, high))  # the mean of equal numbers can round to another
    deviation = math.nan if low == high else float(differences.std(skipna=False))
    effect = mean / deviation
    p = 2 * stdtr(n - 1, -abs(effect) * math.sqrt(n))
    half = stdtrit(n - 1, 1 - SIGNIFICANCE / 2) * deviation / math.sqrt(n)
    return Comparison(n, mean, float(low), float(high), float(p), effect, (float(mean - half), float(mean + half)))


def greater(comparison: Comparison) -> str:
    """Return whether first > second: `"shown"` or `"contradicted"` (it is smaller) with p < 0.05, else `"not shown"`."""
    if comparison.n < MIN_REPLICATES or not comparison.p < SIGNIFICANCE:
        return NOT_SHOWN
    return SHOWN if comparison.mean > 0 else CONTRADICTED


def no_worse(comparison: Comparison, margin: float = MATCHING) -> str:
    """Return whether first is at most `margin` below second (non-inferiority), for what is better the greater it is.

    Args:
        comparison: Of first with second.
        margin: In the unit of what was compared; by default 0.2 percentage points of an accuracy given as a share.

    Returns:
        `"shown"` if the whole 95% confidence interval of the mean difference is above -margin, `"contradicted"` if it
        is below, `"not shown"` if -margin is inside or there are fewer than three replicates.

    Raises:
        ConfigError: a negative margin.
    """
    if not margin >= 0:
        raise ConfigError(f"`margin` says how much worse is still as good, at least 0. Received: margin={margin}")
    lower, upper = comparison.interval
    if comparison.n < MIN_REPLICATES:
        return NOT_SHOWN
    if lower > -margin:
        return SHOWN
    return CONTRADICTED if upper < -margin else NOT_SHOWN
