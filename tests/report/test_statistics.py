import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import assume, given, strategies as st

from tf_lottery.errors import ConfigError, LotteryError
from tf_lottery.report import statistics

DIFFERENCES = st.lists(st.floats(-1, 1).map(lambda value: round(value, 6)), min_size=2, max_size=12)
T_975 = {1: 12.7062047, 2: 4.30265273, 4: 2.77644511}  # quantiles of Student's t by degrees of freedom, from a table


def comparison(*differences):
    """Compare branches with these differences in replicates 1, 2, …"""
    first = pd.Series(differences, range(1, len(differences) + 1), dtype=float)
    return statistics.compare(first, 0 * first.where(np.isfinite(first), 0))


def test_three_replicates_by_hand():
    found = comparison(1.0, 2.0, 6.0)  # mean 3, squares of deviations 4 + 1 + 9 = 14, variance 7
    assert (found.n, found.mean, found.low, found.high) == (3, 3.0, 1.0, 6.0)
    assert found.effect == pytest.approx(3 / math.sqrt(7))
    half = T_975[2] * math.sqrt(7 / 3)
    assert found.interval == pytest.approx((3 - half, 3 + half))
    t = 3 / math.sqrt(7 / 3)  # with two degrees of freedom the distribution has this closed form
    assert found.p == pytest.approx(1 - t / math.sqrt(2 + t**2))


@pytest.mark.parametrize("differences", [(0.25, 0.75), (0.5, 0.25, 0.125, 0.25, 1.0)])
def test_the_interval_is_as_wide_as_the_table_of_t_says(differences):
    half = T_975[len(differences) - 1] * np.std(differences, ddof=1) / math.sqrt(len(differences))
    assert np.ptp(comparison(*differences).interval) / 2 == pytest.approx(half)


@given(DIFFERENCES, st.integers(0, 100))
def test_scipy_agrees(differences, seed):
    assume(np.ptp(differences) > 1e-3)
    second = pd.Series(np.random.default_rng(seed).random(len(differences)))
    first = second + differences
    found, expected = statistics.compare(first, second), scipy.stats.ttest_rel(first, second)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6)
    assert found.effect * math.sqrt(found.n) == pytest.approx(expected.statistic, rel=1e-6, abs=1e-9)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-6, abs=1e-9)


@given(DIFFERENCES)
def test_the_other_way_round_only_signs_change(differences):
    one, other = comparison(*differences), comparison(*(-value for value in differences))
    assert (one.mean, one.low, one.high) == (-other.mean, -other.high, -other.low)
    assert (one.p, one.effect) == pytest.approx((other.p, -other.effect), nan_ok=True)
    assert one.interval == pytest.approx(tuple(-end for end in reversed(other.interval)), nan_ok=True)
    opposite = {"shown": "contradicted", "contradicted": "shown", "not shown": "not shown"}
    assert statistics.greater(one) == opposite[statistics.greater(other)]


@given(DIFFERENCES)
def test_the_mean_is_between_the_extremes_and_inside_the_interval(differences):
    found = comparison(*differences)
    assert found.low <= found.mean <= found.high
    assert found.low == found.high or found.interval[0] <= found.mean <= found.interval[1]


def test_only_replicates_that_both_have_count_whatever_their_order():
    first, second = pd.Series({1: 0.5, 2: 0.75, 4: 1.0}), pd.Series({3: 9.0, 2: 0.25, 1: 0.25})
    found = statistics.compare(first, second)
    assert (found.n, found.low, found.high) == (2, 0.25, 0.5)


def test_one_replicate_has_a_difference_but_no_spread_and_none_has_nothing():
    nan = pytest.approx(math.nan, nan_ok=True)
    one, none = comparison(0.5), statistics.compare(pd.Series({1: 1.0}), pd.Series({2: 1.0}))
    assert (one.n, one.mean, one.low, one.high) == (1, 0.5, 0.5, 0.5)
    assert (none.n, none.mean, none.low, none.high) == (0, nan, nan, nan)
    for found in (one, none):
        assert (found.p, found.effect, *found.interval) == (nan, nan, nan, nan)


@pytest.mark.parametrize("value", [0.1, -0.1, 0, 1e-300])
def test_from_equal_differences_nothing_is_claimed(value):
    found = comparison(value, value, value)  # 0.1 + 0.1 + 0.1 is not 3 * 0.1
    assert (found.mean, found.low, found.high) == (value, value, value)
    assert np.isnan([found.p, found.effect, *found.interval]).all()
    assert statistics.greater(found) == statistics.no_worse(found) == "not shown"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_diverged_value_is_not_left_out(value):
    for found in (comparison(0.5, 0.75, 0.5, value), comparison(0.5, 0.5, value), comparison(value, value, value)):
        assert found.n > 2
        assert np.isnan([found.mean, found.low, found.high, found.p, found.effect, *found.interval]).all()
        assert statistics.greater(found) == statistics.no_worse(found, 1) == "not shown"


def test_several_values_of_one_replicate_are_refused():
    once, twice = pd.Series({1: 0.5, 2: 0.5}), pd.Series([0.5, 0.25, 0.5], index=[1, 2, 2])
    for first, second in [(once, twice), (twice, once)]:
        with pytest.raises(
            LotteryError, match=r"one value per replicate: pass the mean .* Received several values for: 2$"
        ):
            statistics.compare(first, second)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ((0.01, 0.02, 0.03, 0.02), "shown"),
        ((-0.01, -0.02, -0.03, -0.02), "contradicted"),
        ((0.01, 0.02, -0.03, 0.02), "not shown"),
        ((0.01, 0.02, 0.06), "not shown"),  # all above 0, but p is 0.12
        ((0.01, 0.01), "not shown"),  # never from fewer than three
        ((-0.01, -0.01), "not shown"),
        ((0.01, 0.01, 0.01), "not shown"),  # nothing says how they vary
        ((0.0, 0.0, 0.0), "not shown"),
    ],
)
def test_greater_needs_three_replicates_and_p_below_5_percent(differences, verdict):
    assert statistics.greater(comparison(*differences)) == verdict


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ((-0.001, 0.0, -0.001, 0.0, 0.001), "shown"),  # worse in the mean, and shown to be so by little only
        ((0.01, 0.02, 0.03, 0.02), "shown"),
        ((-0.003, -0.002, 0.001), "not shown"),
        ((-0.01, -0.02, 0.03), "not shown"),
        ((-0.01, -0.011, -0.01), "contradicted"),
        ((-0.001, -0.001), "not shown"),  # never from fewer than three
        ((-0.1, -0.1), "not shown"),
        ((0.0, 0.0, 0.0), "not shown"),  # nothing says how they vary
    ],
)
def test_as_good_is_shown_when_the_whole_interval_is_above_the_margin(differences, verdict):
    assert statistics.no_worse(comparison(*differences)) == verdict


def test_the_margin_is_in_the_unit_of_what_is_compared():
    found = comparison(-0.3, -0.4, -0.5)
    assert [statistics.no_worse(found, margin) for margin in (0.1, 0.4, 0.7)] == ["contradicted", "not shown", "shown"]


@given(DIFFERENCES)
def test_greater_is_no_worse_by_more_than_nothing(differences):
    found = comparison(*differences)
    assume(abs(found.p - 0.05) > 1e-9)
    assume(found.mean != 0)
    assert statistics.greater(found) == statistics.no_worse(found, 0)


@given(DIFFERENCES, st.floats(0, 1), st.floats(0, 1))
def test_a_greater_margin_never_takes_a_claim_back(differences, margin, more):
    order = ["contradicted", "not shown", "shown"]
    strict, lenient = (statistics.no_worse(comparison(*differences), value) for value in (margin, margin + more))
    assert order.index(strict) <= order.index(lenient)


@pytest.mark.parametrize("margin", [-0.002, math.nan])
def test_a_negative_margin_is_refused(margin):
    with pytest.raises(ConfigError, match=f"must be at least 0. Received: margin={margin}"):
        statistics.no_worse(comparison(0.1, 0.2, 0.3), margin)
