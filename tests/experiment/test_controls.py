import numpy as np

from tf_lottery.experiment import controls

MASKS = {"a": np.arange(100) < 20, "b": np.arange(50).reshape(5, 10) % 2 == 0}


def test_a_random_mask_has_the_counts_of_each_layer_and_other_places():
    made = controls.random_mask(MASKS, seed=0, replicate=1, level=3)
    assert {name: int(mask.sum()) for name, mask in made.items()} == {"a": 20, "b": 25}
    assert not np.array_equal(made["a"], MASKS["a"])


def test_random_masks_repeat_and_differ_between_replicates_and_levels():
    def draw(replicate, level):
        return controls.random_mask(MASKS, 0, replicate, level)["a"].tolist()

    assert draw(1, 3) == draw(1, 3)
    assert draw(1, 3) != draw(2, 3)
    assert draw(1, 3) != draw(1, 4)


def test_every_reinitialisation_is_another():
    assert len({controls.reinit_seed(0, replicate, level) for replicate in range(5) for level in range(5)}) == 25
