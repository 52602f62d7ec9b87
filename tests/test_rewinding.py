"""The transition from level to level: the start points of levels and controls, and the held learning rate."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import tiny
from tiers import slow

from tf_lottery import keras_compat, rewinding
from tf_lottery.core import masks as masks_lib, schedules
from tf_lottery.core.controls import CONTROLS
from tf_lottery.core.start_points import DENSE, REWINDS, StartPoint
from tf_lottery.errors import ExhaustedError, PruningError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, prunable, state
from tf_lottery.rewinding import HoldableRate, Transition

WEIGHTS, RATE, FINE_TUNING = (Transition(schedules.constant(0.2), rewind=mode) for mode in REWINDS)
RESET = dataclasses.replace(WEIGHTS, reset_optimizer=True)


@pytest.mark.parametrize(
    ("transition", "level", "control", "start"),
    [
        (WEIGHTS, 2, "", StartPoint("rewind", "rewind")),
        (RESET, 2, "", StartPoint("rewind", "new")),
        (RATE, 2, "", StartPoint("final", "new")),
        (FINE_TUNING, 2, "", StartPoint("final", "final")),
        (WEIGHTS, 2, "random_mask", StartPoint("rewind", "rewind")),
        (RESET, 2, "random_mask", StartPoint("rewind", "new")),
        (FINE_TUNING, 2, "random_mask", StartPoint("rewind", "rewind")),
        (WEIGHTS, 2, "reinit", StartPoint("new", "new", at_zero=True)),
        (FINE_TUNING, 2, "reinit_signs", StartPoint("new", "new", at_zero=True)),
        (WEIGHTS, 2, "reshuffle", StartPoint("rewind", "new")),
        (RATE, 2, "constant_signs", StartPoint("rewind", "new")),
        (FINE_TUNING, 0, "", StartPoint("rewind", "rewind")),  # the dense network once more, on data in another order
        (RESET, 0, "", StartPoint("rewind", "new")),
    ],
)
def test_the_start_point_of_a_level_or_a_control(transition, level, control, start):
    assert transition.start_point(level, control) == start


@pytest.fixture(scope="module")
def trained():
    """A prunable model, its optimizer, and its states after 2 and after 5 steps."""
    model = conversion.make_prunable(tiny.convolutional())
    model.compile(keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy")
    optimizer = keras_compat.build_optimizers(model)[""]
    states = {}
    for moment, steps in (("rewind", 2), ("final", 3)):
        for _ in range(steps):
            model.train_on_batch(tiny.X, tiny.Y)
        states[moment] = state.capture(model, optimizer)
    return model, optimizer, states


def half(weights, masks):
    return {name: np.where(masks[name], array, 0) if name in masks else array for name, array in weights.items()}


@pytest.mark.parametrize(
    ("start", "weights", "is_new", "step"),
    [
        (REWINDS["weights"], "rewind", False, 2),
        (REWINDS["learning_rate"], "final", True, 2),
        (REWINDS["none"], "final", False, 5),
        (CONTROLS["reshuffle"], "rewind", True, 2),
        (DENSE, "new", True, 0),
    ],
)
def test_a_level_begins_with_the_weights_the_optimizer_and_the_step_of_its_start_point(
    trained, start, weights, is_new, step
):
    model, optimizer, states = trained
    new = {name: np.ones_like(array) for name, array in states["rewind"]["weights"].items()}
    masks = tiny.half_masks(model)
    written = rewinding.begin(model, optimizer, masks, start, read=states.__getitem__, new=new)
    expected = half(new if weights == "new" else states[weights]["weights"], masks)
    assert all(np.array_equal(written[name], expected[name]) for name in expected)
    assert all(np.array_equal(array, expected[name]) for name, array in state.weights(model).items())
    slots = [variable.numpy() for variable in keras_compat.optimizer_variables(optimizer) if len(variable.shape)]
    assert is_new == (not any(map(np.any, slots)))
    assert keras_compat.batches_trained(optimizer) == step


def test_only_the_states_that_a_start_point_names_are_read(trained):
    model, optimizer, states = trained
    read = []
    masks = tiny.half_masks(model)
    rewinding.begin(model, optimizer, masks, REWINDS["none"], read=lambda name: read.append(name) or states[name])
    assert read == ["final"]


def test_layerwise_pruning_that_would_empty_a_layer_is_refused_with_level_and_layer():
    masks = {"big": np.ones(100, bool), "small": np.ones(2, bool)}
    shares = rewinding.fraction_schedule(0.2, rates=["small=0.6"], weight_names=masks)
    assert shares(1) == {"big": Fraction("0.2"), "small": Fraction("0.6")}
    transition = rewinding.Transition(shares, scope="layerwise")
    transition.check(masks, levels=1)
    with pytest.raises(PruningError, match="Level 2 would remove all of 'small': ask for fewer levels"):
        transition.check(masks, levels=2)


@pytest.mark.parametrize(
    ("network", "emptied_at"),
    [("MobileNetV2", 6), slow("MobileNetV3Small", 7), slow("DenseNet121", 4), slow("NASNetMobile", 5)],
)
def test_the_default_minimum_lets_global_pruning_go_on_in_standard_networks(network, emptied_at):
    settings = {"alpha": 0.35} if network == "MobileNetV2" else {}
    keras.utils.set_random_seed(0)
    made = getattr(keras.applications, network)(input_shape=(32, 32, 3), weights=None, classes=10, **settings)
    weights = {name: weight.numpy() for name, weight in prunable.prunable_weights(made).items()}
    masks = masks_lib.ones({name: weight.shape for name, weight in weights.items()})
    default, without = Transition(schedules.constant(0.2)), Transition(schedules.constant(0.2), min_density=0)
    default.check(masks, levels=15)
    for level in range(1, 16):
        arrays = {"initial": weights, "trained": weights, "masks": masks, "seed": 0}
        after = default.next_masks(level, **arrays)
        if level < emptied_at:
            other = without.next_masks(level, **arrays)
            assert all(np.array_equal(after[name], other[name]) for name in masks)
            assert not default.report_minimum(masks, after)
        elif level == emptied_at:
            assert "a single weight, the minimum, is left of" in default.report_minimum(masks, after)
            with pytest.raises(ExhaustedError, match="would remove all of"):
                without.next_masks(level, **arrays)
        kept = masks_lib.kept(masks)
        assert masks_lib.kept(after) == kept - round(Fraction(1, 5) * kept)
        assert all(mask.any() and not (mask & ~masks[name]).any() for name, mask in after.items())
        masks = after


def test_only_the_default_minimum_of_global_pruning_is_reported():
    before, after = {"w": np.ones(2, bool)}, {"w": np.array([True, False])}

    def report(**settings):
        return rewinding.Transition(lambda level: 0.5, **settings).report_minimum(before, after)

    assert report().startswith("a single weight, the minimum, is left of 'w'.")
    assert report(min_density=0.5) == report(scope="layerwise") == ""


def decay():
    return keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)


def test_a_rate_follows_its_schedule_until_it_is_held():
    rate = HoldableRate(decay())
    assert [float(rate(step)) for step in (0, 1, 2, 3)] == [1.0, 0.5, 0.25, 0.125]
    rate.hold(2)
    assert [float(rate(step)) for step in (0, 1, 2, 3, 10**6)] == [1.0, 0.5, 0.25, 0.25, 0.25]


def test_a_held_rate_stays_held():
    rate = HoldableRate(decay(), last_step=1)
    rate.hold(5)
    assert float(rate(9)) == 0.5


@pytest.mark.parametrize("last_step", [None, 3])
def test_a_held_rate_can_be_restored_from_its_config(last_step):
    optimizer = keras.optimizers.SGD(HoldableRate(decay(), last_step))
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert float(again._learning_rate(9)) == (0.125 if last_step else 0.5**9)
