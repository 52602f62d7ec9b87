import numpy as np
import pytest

from tf_lottery.core.level import criterion_named, next_masks
from tf_lottery.errors import ExhaustedError, PruningError

INITIAL = {"a": np.array([1.0, 1.0]), "b": np.array([1.0, 1.0]), "bias": np.array([0.0])}
TRAINED = {"a": np.array([4.0, -1.0]), "b": np.array([2.0, -3.0]), "bias": np.array([9.0])}
ONES = {"a": np.ones(2, bool), "b": np.ones(2, bool)}


def after(trained=TRAINED, masks=ONES, **changes):
    settings = {"criterion": "magnitude", "fraction": 0.25, "scope": "global", "rng": np.random.default_rng(0)}
    return next_masks(INITIAL, trained, masks, **settings | changes)


def test_only_what_has_a_mask_is_scored_and_pruned():
    assert {name: mask.tolist() for name, mask in after().items()} == {"a": [True, False], "b": [True, True]}


def test_a_function_may_be_the_criterion():
    def increase(initial, trained, rng):
        assert set(initial) == set(trained) == {"a", "b"}
        return {name: weight - initial[name] for name, weight in trained.items()}

    assert {name: mask.tolist() for name, mask in after(criterion=increase).items()} == {"a": [1, 1], "b": [1, 0]}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_named(value):
    with pytest.raises(PruningError, match="'b' holds NaN or infinite weights: training diverged"):
        after({**TRAINED, "b": np.array([1.0, value])})


@pytest.mark.parametrize("scores", [{"a": np.ones(2)}, {"a": np.ones(2), "b": np.ones(3)}])
def test_scores_that_do_not_fit_are_named(scores):
    with pytest.raises(PruningError, match=r"must score each of \['a', 'b'\] in its shape. Wrong: b"):
        after(criterion=lambda initial, trained, rng: scores)


def test_a_layer_is_never_left_empty():
    with pytest.raises(ExhaustedError, match="would remove all of 'b'"):
        after(TRAINED | {"b": np.array([0.1, 0.1])}, fraction=0.5)


def test_an_unknown_criterion_lists_the_known_ones():
    with pytest.raises(PruningError, match=r"must be one of magnitude, small_final, .*, or a function"):
        criterion_named("l1")
