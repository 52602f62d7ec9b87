import dataclasses

import fakes

from tf_lottery.core import seeds
from tf_lottery.experiment import plan
from tf_lottery.experiment.config import Prune, Stability
from tf_lottery.experiment.plan import Plan
from tf_lottery.experiment.storage import Unit

SWEEP = fakes.experiment(
    replicates=1,
    prune=Prune(levels=1),
    controls=(),
    variants={
        "k=0": {"prune.rewind_to": "0it"},
        "k=5": {"prune.rewind_to": "5it"},
        "low": {"train.learning_rate": 0.0001},
        "k=9": {"prune.rewind_to": "9it"},
    },
)


def test_the_plan_is_every_ticket_then_every_control():
    units = plan.units(fakes.experiment(replicates=2, prune=Prune(levels=1), controls=("reinit",)))
    assert units == [Unit(1, 0), Unit(2, 0), Unit(1, 1), Unit(2, 1), Unit(1, 1, "reinit"), Unit(2, 1, "reinit")]


def test_a_unit_needs_the_ticket_of_the_level_before():
    needs = plan.needs(fakes.experiment())
    assert needs[Unit(2, 0)] is None
    assert needs[Unit(2, 2)] == needs[Unit(2, 2, "reinit")] == Unit(2, 1)


def test_the_dense_network_and_tickets_and_random_masks_of_chosen_levels_have_further_shuffle_seeds():
    config = fakes.experiment(replicates=1, stability=Stability(levels=(2, 7), shuffle_seeds=2))
    further = [unit for unit in plan.units(config) if unit.shuffle_seed]
    of_level_2 = [Unit(1, 2, control, shuffle_seed=order) for control in ("", "random_mask") for order in (1, 2)]
    assert sorted(further) == sorted([Unit(1, 0, shuffle_seed=1), Unit(1, 0, shuffle_seed=2), *of_level_2])
    assert plan.needs(config)[Unit(1, 2, "random_mask", shuffle_seed=2)] == Unit(1, 2, "random_mask")
    assert not any(unit.shuffle_seed for unit in plan.units(fakes.experiment()))


def test_variants_with_the_same_dense_network_need_it_from_one_another():
    needs = plan.needs(SWEEP)
    dense = {unit.variant: unit for unit in needs if unit.level == 0}
    assert [needs[dense[label]] for label in ("k=0", "k=5", "low", "k=9")] == [None, dense["k=0"], None, dense["k=5"]]
    assert needs[Unit(1, 1, variant="k=9")] == dense["k=9"]


def test_a_plan_counts_the_steps_of_each_unit():
    lengths = Plan({"": (100, 30)})
    units = [Unit(1, 0), Unit(1, 2), Unit(1, 2, "random_mask"), Unit(1, 2, "reinit"), Unit(1, 0, shuffle_seed=1)]
    assert [lengths.length(unit) for unit in units] == [100, 70, 70, 100, 70]


def test_the_width_is_the_largest_number_of_units_with_equally_long_chains():
    def width(units, **changes):
        needs = plan.needs(fakes.experiment(**{"prune": Prune(levels=2), "controls": (), **changes}))
        return plan.width(plan.units_to_train([unit for unit in needs if units(unit)], needs))

    every = lambda unit: True  # noqa: E731
    assert width(every, replicates=1) == 1  # each level waits for the one before
    assert width(every, replicates=3) == 3
    assert width(every, replicates=2, controls=("random_mask", "reinit")) == 6
    assert width(lambda unit: unit.replicate == 2, replicates=3) == 1
    assert width(lambda unit: unit.control, replicates=1, controls=("random_mask", "reinit")) == 4  # tickets are there
    assert width(lambda unit: False) == 0


def test_a_shared_dense_network_is_counted_once():
    needs = plan.needs(SWEEP)
    lengths = Plan({"k=0": (100, 0), "k=5": (100, 5), "low": (100, 0), "k=9": (100, 9)}, seconds_per_step=0.1, jobs=2)
    work = lengths.work(plan.units_to_train(needs, needs))
    assert {unit.variant for unit in work if not unit.level} == {"k=0", "low"}
    assert sum(work.values()) == 2 * 100 + 100 + 95 + 100 + 91
    assert lengths.seconds(work) == sum(work.values()) * 0.1 / 2
    later = [unit for unit in needs if unit.variant in ("k=5", "k=9")]  # added to the sweep when the others were done
    to_train = plan.units_to_train(later, needs)
    assert [unit.variant for unit in to_train if not unit.level] == ["k=5"]
    assert to_train[Unit(1, 1, variant="k=9")] == Unit(1, 0, variant="k=5")  # whose dense network it shares
    assert to_train[Unit(1, 0, variant="k=5")] == Unit(1, 0, variant="k=0")


CONFIG = fakes.experiment()
FRESH = dataclasses.replace(CONFIG, shuffle="fresh")
CONTROLS = {"random_mask", "control_weights"}
PURPOSES = {"initialisation", "dropout", "shuffle", "augmentation", "criterion", *CONTROLS}


def changed(first, second, config=CONFIG):
    """Return the purposes whose seeds two units do not share."""
    one, other = (plan.seeds_of(config, unit) for unit in (first, second))
    assert set(one) == set(other) == PURPOSES
    return {purpose for purpose in one if one[purpose] != other[purpose]}


def test_every_purpose_has_a_seed_of_its_own_derived_from_the_one_of_the_experiment():
    made = plan.seeds_of(CONFIG, Unit(2, 3))
    assert len(set(made.values())) == len(PURPOSES)
    assert made["dropout"] == seeds.derive(CONFIG.seed, "replicate", 2, "dropout")
    other = plan.seeds_of(dataclasses.replace(CONFIG, seed=1), Unit(2, 3))
    assert not set(made.values()) & set(other.values())


def test_replicates_share_nothing():
    assert changed(Unit(1, 1), Unit(2, 1)) == PURPOSES


def test_levels_repeat_the_dense_training_run_and_draw_masks_anew():
    assert changed(Unit(1, 0), Unit(1, 1)) == changed(Unit(1, 1), Unit(1, 2)) == {"criterion", *CONTROLS}


def test_fresh_shuffling_changes_order_and_augmentation_at_each_level_but_not_of_the_dense_network():
    assert changed(Unit(1, 1), Unit(1, 2), FRESH) == {"shuffle", "augmentation", "criterion", *CONTROLS}
    assert plan.seeds_of(FRESH, Unit(1, 0)) == plan.seeds_of(CONFIG, Unit(1, 0))


def test_controls_differ_from_their_ticket_in_what_they_control():
    assert changed(Unit(1, 2), Unit(1, 2, "random_mask")) == set()
    assert changed(Unit(1, 2), Unit(1, 2, "reinit")) == {"initialisation"}


def test_a_further_shuffle_seed_changes_order_and_augmentation_in_the_same_way_at_all_levels():
    for config in (CONFIG, FRESH):
        assert changed(Unit(1, 0), Unit(1, 0, shuffle_seed=1), config) == {"shuffle", "augmentation"}
        assert changed(Unit(1, 2, shuffle_seed=1), Unit(1, 2, shuffle_seed=2), config) == {"shuffle", "augmentation"}
        assert changed(Unit(1, 0, shuffle_seed=1), Unit(1, 2, shuffle_seed=1), config) == {"criterion", *CONTROLS}


def test_variants_share_all_seeds():
    assert changed(Unit(1, 2), Unit(1, 2, variant="k=60")) == set()


def test_every_reinitialisation_is_another():
    made = {
        plan.seeds_of(CONFIG, Unit(replicate, level, "reinit"))["initialisation"]
        for replicate in range(1, 6)
        for level in range(1, 6)
    }
    assert len(made) == 25
