from fractions import Fraction

import pytest

from tf_lottery.core.steps import to_steps
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
