"""Law 8 inside a training: stopped at any step and gone on with from its state, it ends with the same bytes.

And each part of that state is needed: without it, this would be seen.
"""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tiny
from tiers import always, slow

from tf_lottery import keras_compat
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks, naming, ticket
from tf_lottery.masking.ticket import Ticket
from tf_lottery.training.learning_rate import LearningRate
from tf_lottery.training.progress import NO_PAUSES, Pauses

K, T = 5, 12
RATE = LearningRate(0.1, drops=(7,), warmup=3)


class StopError(Exception):
    """As a kill would: nothing of the process is left."""


class Stopping(Pauses):
    """Pauses at every step; keeps the state at one of them and ends."""

    def __init__(self, trainer, at):
        self.trainer, self.at = trainer, at

    def most_steps(self, step):
        return 1

    def on_pause(self, progress):
        if progress.step == self.at:
            self.kept = ticket.pack(self.trainer.checkpoint(progress))
            raise StopError


def sgd():
    return keras.optimizers.SGD(RATE, momentum=0.9, nesterov=True)


def averaging():
    return keras.optimizers.SGD(RATE, momentum=0.9, use_ema=True, ema_momentum=0.5)


def scaling():
    """A loss scale that grows every other step."""
    return keras.mixed_precision.LossScaleOptimizer(sgd(), initial_scale=4.0, dynamic_growth_steps=2)


def adam():
    return keras.optimizers.Adam(RATE)


def trainer(optimizer, seed=1):
    """BatchNorm, Dropout, masks, and an augmentation that shows which draws it was given."""
    keras.utils.set_random_seed(seed)
    keras_compat.make_randomness_restorable()
    model = conversion.make_prunable(tiny.convolutional())
    model_masks.set_masks(model, tiny.half_masks(model))
    return tiny.trainer(
        model, optimizer(), augment=lambda x, draws: x + tf.cast(draws % 5, tf.float32)[:, None, None, None]
    )


def train(trainer, start, pauses=NO_PAUSES):
    return trainer.train(start, T, 1, 2, snapshots_at=[K], pauses=pauses)


def everything(trainer, progress):
    """All that a training leaves, as bytes by name."""
    groups = {**trainer.capture(), "masks": model_masks.get_masks(trainer.model)}
    groups |= {f"snapshot {K} {group}": arrays for group, arrays in progress.snapshots[K].items()}
    groups["early stop"] = progress.early_stop_weights
    left = {(group, name): array.tobytes() for group, arrays in groups.items() for name, array in arrays.items()}
    return left | {"early stop": (progress.early_stop_step, progress.early_stop_loss), "history": progress.history}


@pytest.fixture(
    scope="module",
    params=always(averaging, among=(averaging, scaling, adam)),
    ids=lambda make: make.__name__,
)
def whole(request):
    made = trainer(request.param)
    return request.param, everything(made, train(made, 0))


def state_at(optimizer, step):
    made = trainer(optimizer)
    pauses = Stopping(made, step)
    with pytest.raises(StopError):
        train(made, 0, pauses)
    return pauses.kept


def gone_on_with(optimizer, kept):
    """Goes on in a new trainer, in which nothing is as it was."""
    made = trainer(optimizer, seed=9)
    train(made, 3)
    return everything(made, train(made, made.resume(kept)))


@pytest.mark.parametrize("step", [slow(1), K, slow(K + 1), T - 1])
def test_stopped_at_any_step_a_training_ends_with_the_same_bytes(whole, step):
    optimizer, expected = whole
    assert gone_on_with(optimizer, ticket.unpack(state_at(optimizer, step))) == expected


@pytest.mark.parametrize("most", [1, 3])
def test_where_a_training_pauses_changes_no_bit(whole, most):
    optimizer, expected = whole
    pauses = Pauses()
    pauses.most_steps = lambda step: most
    made = trainer(optimizer)
    assert everything(made, train(made, 0, pauses)) == expected


def parts_of(kept):
    """Every part of a state, each as a function of a state that loses it: what a new process has stands there then."""
    new = trainer(scaling, seed=9)
    start = new.capture()

    def without(group, name):
        arrays = {**kept.weights[group], name: start[group][name]}
        if name in kept.masks:
            arrays[name] = np.where(kept.masks[name], arrays[name], np.zeros((), arrays[name].dtype))
        return dataclasses.replace(kept, weights={**kept.weights, group: arrays})

    def told(**changes):
        return dataclasses.replace(kept, metadata={**kept.metadata, **changes})

    def group_without(group):
        return dataclasses.replace(
            kept, weights={name: arrays for name, arrays in kept.weights.items() if not name.startswith(group)}
        )

    parts = {
        f"{group} {name}": without(group, name)
        for group in ("weights", "optimizer")
        for name in kept.weights[group]
        if kept.weights[group][name].tobytes() != start[group][name].tobytes()
    }
    ones = {name: np.ones_like(mask) for name, mask in kept.masks.items()}
    return parts | {
        "masks": Ticket(ones, kept.weights, kept.metadata),
        "data position": told(step=kept.metadata["step"] - 1),
        "losses": told(losses=(0.0).hex()),
        "counted": told(counted=0),
        "history": told(history=kept.metadata["history"][1:]),
        "lowest loss": told(early_stop_loss=float("inf").hex()),
        "its step": told(early_stop_step=0),
        "its weights": group_without("early_stop"),
        "snapshot": group_without(f"snapshot {K}"),
    }


@pytest.fixture(scope="module")
def rising():
    """A training whose loss rises after its first evaluation, so that the early stop is in the past when it stops."""
    made = trainer(scaling)
    expected = everything(made, train(made, 0))
    kept = ticket.unpack(state_at(scaling, 7))
    return expected, kept, parts_of(kept)


@pytest.mark.nightly
def test_each_part_of_the_state_is_needed(rising):
    expected, kept, parts = rising
    assert gone_on_with(scaling, kept) == expected
    unseen = [name for name, state in parts.items() if is_unseen(state, expected)]
    assert not unseen


def is_unseen(state, expected):
    try:
        return gone_on_with(scaling, state) == expected
    except (KeyError, ZeroDivisionError):
        return False  # without its snapshot a training has none


def test_the_parts_are_all_that_a_training_changes(rising):
    _, kept, parts = rising
    model = trainer(scaling).model
    random_states = [
        name for name, variable in naming.named_variables(model).items() if keras_compat.is_random_state(variable)
    ]
    assert len(random_states) == 1
    needed = ["batch_normalization/moving_mean", "batch_normalization/moving_variance", "output/kernel", *random_states]
    assert {f"weights {name}" for name in needed} <= set(parts)
    # Step counters of both optimizers, momenta of all trained weights, and the loss scale with its own counter.
    momenta = len(model.trainable_variables)
    assert sum(name.startswith("optimizer ") for name in parts) >= momenta + 2
    assert len(kept.weights["optimizer"]) >= momenta + 2
