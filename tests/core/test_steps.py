from fractions import Fraction

import pytest

from tf_lottery.core.steps import Timetable, to_steps
from tf_lottery.errors import ConfigError


@pytest.mark.parametrize(
    ("length", "steps_per_epoch", "steps"),
    [
        (7, 10, 7),
        ("7", 10, 7),
        ("500it", 10, 500),
        ("2ep", 10, 20),
        ("0ep", 10, 0),
        ("3ep", Fraction(5, 2), 8),
        ("4ep", Fraction(5, 2), 10),
    ],
)
def test_lengths_in_steps(length, steps_per_epoch, steps):
    assert to_steps(length, steps_per_epoch) == steps


@pytest.mark.parametrize("length", [-1, "-1it", "", "2.5ep", "it", "5 it", None, 1.0, True])
def test_what_cannot_be_read_is_refused(length):
    with pytest.raises(
        ConfigError, match=r'"500it" \(optimizer steps\), "2ep" \(epochs\), or as a number of steps. Received:'
    ):
        to_steps(length, 10)


@pytest.mark.parametrize(
    ("rewind_to", "first_epoch", "first_length"),
    [(0, 0, 10), (3, 0, 7), ("10it", 1, 10), ("1ep", 1, 10), (25, 2, 5), (29, 2, 1)],
)
def test_a_level_begins_in_the_epoch_of_step_k_with_what_was_left_of_it(rewind_to, first_epoch, first_length):
    table = Timetable.plan(10, 3, rewind_to, 1)
    assert (table.first_epoch, table.first_length) == (first_epoch, first_length)


@pytest.mark.parametrize("rewind_to", [30, "3ep", "31it"])
def test_step_k_must_lie_before_the_end_of_a_level(rewind_to):
    with pytest.raises(ConfigError, match=r"before the end of a level \(3 epochs of 10 steps = 30 steps\)"):
        Timetable.plan(10, 3, rewind_to, 1)


@pytest.mark.parametrize(("rewind_to", "steps_per_execution"), [(0, 7), (5, 5), ("1ep", 3), (4, 2), (12, 2)])
def test_executions_may_end_at_step_k(rewind_to, steps_per_execution):
    Timetable.plan(10, 3, rewind_to, steps_per_execution)


@pytest.mark.parametrize(("rewind_to", "steps_per_execution"), [(5, 2), (3, 3), (4, 4), (13, 5)])
def test_executions_that_run_past_step_k_are_refused(rewind_to, steps_per_execution):
    with pytest.raises(ConfigError, match=rf"`steps_per_execution={steps_per_execution}` runs past step k"):
        Timetable.plan(10, 3, rewind_to, steps_per_execution)


def test_epochs_are_numbered_as_in_level_0_or_counted_on():
    table = Timetable.plan(10, 5, 23, 1)
    assert [table.epochs_of(level) for level in (0, 1, 2)] == [range(5), range(2, 5), range(2, 5)]
    assert [table.epochs_of(level, continues_epochs=True) for level in (0, 1, 2)] == [
        range(5),
        range(5, 8),
        range(8, 11),
    ]
