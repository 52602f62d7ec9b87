"""Impossible arguments are refused where they are given."""

import re
from fractions import Fraction

import numpy as np
import pytest

from tf_lottery.callbacks.lottery_ticket import LotteryTicket
from tf_lottery.errors import ConfigError, PruningError

ONES = np.ones(100, bool)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"fraction": 25},
            PruningError,
            r"share of the kept weights to remove. For 25 percent write 0.25. Received: .*25",
        ),
        ({"fraction": 1.0}, PruningError, r"`fraction` must be in \[0, 1\)"),
        ({"fraction": -0.1}, PruningError, r"`fraction` must be in \[0, 1\)"),
        ({"levels": -1}, ConfigError, r"`levels` must be a whole number, at least 0. Received: levels=-1"),
        ({"levels": 2.5}, ConfigError, r"`levels` must be a whole number"),
        ({"epochs_per_level": 0}, ConfigError, r"`epochs_per_level` must be a whole number, at least 1"),
        ({"seed": "x"}, ConfigError, r"`seed` must be a whole number"),
        ({"scope": "local"}, ConfigError, r"`scope` must be one of global, layerwise. Received: scope='local'"),
        ({"rewind": "lr"}, ConfigError, r"`rewind` must be one of weights, learning_rate, none. Received: rewind='lr'"),
        ({"criterion": "biggest"}, PruningError, r"`criterion` must be one of magnitude, .*random, or a function of"),
        ({"rewind_to": "5 epochs"}, ConfigError, r'written "500it" \(optimizer steps\), "2ep" \(epochs\), or as'),
        ({"rewind_to": "3ep"}, ConfigError, r"be before the end of a level of 3 epochs. Received: rewind_to='3ep'"),
        ({"rates": {"dense": 0.1}}, ConfigError, r'`rates` .* needs scope="layerwise" and a fraction that is a number'),
        ({"rates": {"dense": 10}, "scope": "layerwise"}, PruningError, r"`fraction` must be in"),
        ({"rates": ["("], "scope": "layerwise"}, PruningError, r'A rate is written "regex=share"'),
        ({"rates": {"(": 0.1}, "scope": "layerwise"}, PruningError, r"The regex '\(' cannot be read"),
        ({"min_density": 0.1, "scope": "layerwise"}, ConfigError, r'`min_density` .* scope="global"'),
        ({"reset_optimizer": "no"}, ConfigError, r"`reset_optimizer` must be True or False. Received: 'no'"),
        ({"directory": 5}, ConfigError, r"`directory` must be the path of a directory, or None. Received: directory=5"),
        ({"min_density": 5}, ConfigError, r"`min_density` is a share in \[0, 1\)"),
        ({"criterion": ["magnitude"]}, ConfigError, r"`criterion` is a name or a function"),
        ({"min_density": 1}, ConfigError, r"`min_density` is a share in \[0, 1\)"),
        ({"min_density": 0, "scope": "layerwise"}, ConfigError, r'`min_density` .* scope="global"'),
    ],
)
def test_an_impossible_argument_is_refused_with_advice(arguments, error, message):
    with pytest.raises(error, match=message):
        LotteryTicket(**{"levels": 2, "epochs_per_level": 3, **arguments})


@pytest.mark.parametrize("rates", [{"^dense_1/": 0.1}, {re.compile("^dense_1/"): "0.1"}, ["^dense_1/=0.1"]])
def test_rates_may_be_written_in_three_ways(rates):
    settings = LotteryTicket(1, epochs_per_level=1, scope="layerwise", rates=rates).settings
    share = settings.transition({"dense/kernel": ONES, "dense_1/kernel": ONES}).fraction_at(1)
    assert share == {"dense/kernel": Fraction(1, 5), "dense_1/kernel": Fraction(1, 10)}


def test_the_settings_of_a_directory_hold_the_fraction_of_each_level():
    settings = LotteryTicket(3, lambda level: Fraction(1, 1 + level), epochs_per_level=1).settings
    assert settings.as_json({"w": ONES}, settings.transition("w"))["fractions"] == ["1/2", "1/3", "1/4"]


def test_a_function_is_asked_for_each_fraction_once_so_that_what_is_checked_is_what_is_used():
    asked, shares = [], {}

    def changing(level):
        asked.append(level)
        shares["w"] = 0.1 * level
        return shares  # the same dict each time

    transition = LotteryTicket(3, changing, scope="layerwise", epochs_per_level=1).settings.transition("w")
    assert [transition.fraction_at(level)["w"] for level in (3, 1, 2, 1)] == [0.1 * 3, 0.1, 0.2, 0.1]
    assert asked == [1, 2, 3]
