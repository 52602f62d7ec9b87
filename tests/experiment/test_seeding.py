import dataclasses

import fakes

from tf_lottery.core import seeds
from tf_lottery.experiment import seeding
from tf_lottery.experiment.storage import Unit

CONFIG = fakes.experiment()
FRESH = dataclasses.replace(CONFIG, shuffle="fresh")
CONTROLS = {"random_mask", "treatment"}
PURPOSES = {"initialisation", "dropout", "shuffle", "augmentation", "criterion", *CONTROLS}


def changed(first, second, config=CONFIG):
    """The purposes whose seeds two trainings do not share."""
    one, other = (seeding.of_unit(config, unit) for unit in (first, second))
    assert set(one) == set(other) == PURPOSES
    return {purpose for purpose in one if one[purpose] != other[purpose]}


def test_every_purpose_has_a_seed_of_its_own_derived_from_the_one_of_the_experiment():
    made = seeding.of_unit(CONFIG, Unit(2, 3))
    assert len(set(made.values())) == len(PURPOSES)
    assert made["dropout"] == seeds.derive(CONFIG.seed, "replicate", 2, "dropout")
    other = seeding.of_unit(dataclasses.replace(CONFIG, seed=1), Unit(2, 3))
    assert not set(made.values()) & set(other.values())


def test_replicates_share_nothing():
    assert changed(Unit(1, 1), Unit(2, 1)) == PURPOSES


def test_levels_repeat_the_dense_training_and_draw_masks_anew():
    assert changed(Unit(1, 0), Unit(1, 1)) == changed(Unit(1, 1), Unit(1, 2)) == {"criterion", *CONTROLS}


def test_a_fresh_data_order_is_one_of_order_and_augmentation_at_each_level_and_none_of_the_dense_network():
    assert changed(Unit(1, 1), Unit(1, 2), FRESH) == {"shuffle", "augmentation", "criterion", *CONTROLS}
    assert seeding.of_unit(FRESH, Unit(1, 0)) == seeding.of_unit(CONFIG, Unit(1, 0))


def test_controls_differ_from_their_ticket_in_what_they_control():
    assert changed(Unit(1, 2), Unit(1, 2, "random_mask")) == set()
    assert changed(Unit(1, 2), Unit(1, 2, "reinit")) == {"initialisation"}


def test_a_further_data_order_is_one_of_order_and_augmentation_the_same_at_all_levels():
    for config in (CONFIG, FRESH):
        assert changed(Unit(1, 0), Unit(1, 0, shuffle_seed=1), config) == {"shuffle", "augmentation"}
        assert changed(Unit(1, 2, shuffle_seed=1), Unit(1, 2, shuffle_seed=2), config) == {"shuffle", "augmentation"}
        assert changed(Unit(1, 0, shuffle_seed=1), Unit(1, 2, shuffle_seed=1), config) == {"criterion", *CONTROLS}


def test_variants_share_all_seeds():
    assert changed(Unit(1, 2), Unit(1, 2, variant="k=60")) == set()


def test_every_reinitialisation_is_another():
    made = {
        seeding.of_unit(CONFIG, Unit(replicate, level, "reinit"))["initialisation"]
        for replicate in range(1, 6)
        for level in range(1, 6)
    }
    assert len(made) == 25
