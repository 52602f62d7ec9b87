from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from tf_lottery.core import pruning, schedules
from tf_lottery.errors import PruningError


def kept_after(schedule, levels, size):
    for level in range(1, levels + 1):
        size -= pruning.number_to_remove(size, schedule(level))
    return size


def test_a_constant_schedule_removes_the_same_share_at_every_level():
    assert [schedules.constant(0.2)(level) for level in (1, 7)] == [Fraction(1, 5)] * 2
    assert kept_after(schedules.constant(0.2), 3, 1000) == 512


def test_rates_replace_the_share_of_the_weights_they_name_and_the_last_one_counts():
    shares = schedules.with_rates(0.2, ["dense=0.3", "^dense/=0.1"], ["dense/kernel", "dense_1/kernel", "out/kernel"])(
        1
    )
    assert shares == {
        "dense/kernel": Fraction(1, 10),
        "dense_1/kernel": Fraction(3, 10),
        "out/kernel": Fraction(1, 5),
    }


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        ("output", r'written "regex=share"'),
        ("(=0.1", r"The regex '\(' cannot be read"),
        ("a{99999999999999999999}=0.1", r"The regex .* cannot be read: the repetition number is too large"),
        ("(" * 5000 + ")" * 5000 + "=0.1", r"The regex .* cannot be read: maximum recursion depth exceeded"),
        ("output=1e-1000000000", r"must be in \[0, 1\)"),
        ("output=20", r"For 20 percent|must be in \[0, 1\)"),
        ("nothing=0.1", r"names no prunable weight. Known: a/kernel"),
    ],
)
def test_a_rate_that_cannot_be_used_is_refused(rate, message):
    with pytest.raises(PruningError, match=message):
        schedules.with_rates(0.2, [rate], ["a/kernel"])


@given(st.integers(1, 20), st.integers(1, 99))
def test_equal_shares_end_at_the_target_density(levels, percent):
    size = 10**9
    kept = kept_after(schedules.to_target_density(percent / 100, levels), levels, size)
    assert abs(kept / size - percent / 100) < 1e-8


def test_one_shot_removes_everything_at_level_1():
    schedule = schedules.one_shot(0.3)
    assert [schedule(level) for level in (1, 2, 3)] == [Fraction(7, 10), 0, 0]


@pytest.mark.parametrize("density", [0, -0.1, 1.5, "x"])
def test_an_impossible_density_is_refused(density):
    with pytest.raises(PruningError, match=r"`density` must be in \(0, 1\]. Received: density="):
        schedules.one_shot(density)


def test_a_target_needs_at_least_one_level():
    with pytest.raises(PruningError, match=r"`levels` must be at least 1. Received: levels=0"):
        schedules.to_target_density(0.5, 0)
