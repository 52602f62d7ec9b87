import numpy as np

from tf_lottery.experiment import controls

MASKS = {"a": np.arange(100) < 20, "b": np.arange(50).reshape(5, 10) % 2 == 0}


def test_a_random_mask_has_the_counts_of_each_layer_and_other_places():
    made = controls.random_mask(MASKS, seed=0)
    assert {name: int(mask.sum()) for name, mask in made.items()} == {"a": 20, "b": 25}
    assert not np.array_equal(made["a"], MASKS["a"])


def test_a_random_mask_is_a_function_of_its_seed():
    first, again, other = (controls.random_mask(MASKS, seed)["a"].tolist() for seed in (1, 1, 2))
    assert first == again != other
