import numpy as np

from tf_lottery.core import controls

MASKS = {"a": np.arange(100) < 20, "b": np.arange(50).reshape(5, 10) % 2 == 0}


def test_a_random_mask_has_the_counts_of_each_layer_and_other_places():
    made = controls.random_mask(MASKS, seed=0)
    assert {name: int(mask.sum()) for name, mask in made.items()} == {"a": 20, "b": 25}
    assert not np.array_equal(made["a"], MASKS["a"])


def test_a_random_mask_is_a_function_of_its_seed():
    first, again, other = (controls.random_mask(MASKS, seed)["a"].tolist() for seed in (1, 1, 2))
    assert first == again != other


WEIGHTS = {"a": np.random.default_rng(0).normal(size=100), "b": -np.ones((5, 10)), "bias": np.arange(3.0)}
NEW = {"a": np.random.default_rng(1).normal(size=100), "b": np.full((5, 10), 0.5), "bias": np.zeros(3)}


def start(control, seed=0):
    return controls.start_weights(control, WEIGHTS, MASKS, seed=seed, new=NEW)


def test_reshuffled_weights_are_the_kept_ones_of_the_layer_in_other_places():
    made, kept = start("reshuffle")["a"], MASKS["a"]
    assert sorted(made[kept]) == sorted(WEIGHTS["a"][kept])
    assert not np.array_equal(made, WEIGHTS["a"])


def test_constant_weights_have_the_deviation_of_the_layer_and_signs_of_both_kinds():
    made = start("constant")["a"]
    assert np.unique(np.abs(made)) == [WEIGHTS["a"].std()]
    assert 20 < (made > 0).sum() < 80


def test_kept_signs_are_those_of_the_weights():
    for control in ("reinit_signs", "reshuffle_signs", "constant_signs"):
        made = start(control)
        assert np.array_equal(np.signbit(made["a"]), np.signbit(WEIGHTS["a"]))
        assert np.signbit(made["b"]).all()
    assert np.array_equal(np.abs(start("reinit_signs")["a"]), np.abs(NEW["a"]))


def test_variables_without_a_mask_are_those_of_the_network_that_the_control_starts_from():
    assert start("constant_signs")["bias"] is WEIGHTS["bias"]
    assert start("reinit")["bias"] is NEW["bias"]
    assert start("random_mask") == WEIGHTS


def test_start_weights_are_a_function_of_the_seed():
    first, again, other = (start("reshuffle", seed)["a"].tolist() for seed in (1, 1, 2))
    assert first == again != other
