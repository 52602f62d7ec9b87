"""Trains in our own loop on two logical CPUs under MirroredStrategy, and on one; writes what came of each case as JSON.

A process of its own, because logical devices must be made before TensorFlow starts.
"""

import json
import os
import sys
import traceback

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import pytest
import tensorflow as tf
import tiny

from tf_lottery import keras_compat
from tf_lottery.errors import RunError, StoppedError
from tf_lottery.feeds.resident import Resident
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks, state, ticket
from tf_lottery.training import devices
from tf_lottery.training.connectivity import Connectivity
from tf_lottery.training.devices import Replicas
from tf_lottery.training.learning_rate import LearningRate
from tf_lottery.training.objective import Objective
from tf_lottery.training.progress import NO_PAUSES, Pauses
from tf_lottery.training.topology import Topology
from tf_lottery.training.trainer import Trainer

TWO = devices.make(Topology("mirrored", 2))
ONE = devices.make(Topology())
K, T, BATCH = 3, 9, 6


def network(kind):
    layer = keras.layers
    normalize = {
        "plain": [],
        "synchronized": [layer.BatchNormalization(synchronized=True)],
        "BatchNorm": [layer.BatchNormalization()],
        "Dropout": [layer.BatchNormalization(), layer.Dropout(0.5)],
    }[kind]
    parts = [keras.Input((6, 6, 1)), layer.Conv2D(2, 3, use_bias=False), *normalize, layer.ReLU(), layer.Flatten()]
    return keras.Sequential([*parts, layer.Dense(3, name="output")])


def optimizer(averages=False):
    settings = {"use_ema": True, "ema_momentum": 0.5} if averages else {}
    return keras.optimizers.SGD(LearningRate(0.1, drops=(5,), warmup=2), momentum=0.9, nesterov=True, **settings)


def trainer(strategy, kind, make_optimizer=optimizer):
    with strategy.scope():
        keras.utils.set_random_seed(5)
        model = conversion.make_prunable(network(kind))
        replicas = strategy.num_replicas_in_sync
        feed = Resident(tiny.DATASET, batch_size=BATCH, longest=4, replicas=replicas, augment=lambda x, draws: x + 0.1)
        decayed = model_masks.masked_variables(model)
        return Trainer(
            model,
            feed,
            optimizer=make_optimizer(),
            steps=T,
            evaluate_every=4,
            objective=Objective(label_smoothing=0.1, weight_decay=0.01),
            decayed=[weight for weight, _ in decayed.values()],
        )


def pruned(trainer, seed=0):
    with trainer.strategy.scope():
        model_masks.set_masks(trainer.model, tiny.half_masks(trainer.model, seed))
    return trainer


def trained(trainer, start=0, snapshots_at=(), pauses=NO_PAUSES):
    with trainer.strategy.scope():
        outcome = trainer.train(start, T, shuffle_seed=1, snapshots_at=snapshots_at, pauses=pauses)
        trainer.replicas.check()
        return outcome, trainer.capture(), trainer.evaluate("test")


def copies(variable):
    return [copy.numpy() for copy in keras_compat.tf_variable(variable).values]


def farthest(first, second):
    return max(float(np.abs(first[name].astype(np.float64) - second[name]).max()) for name in first)


def two_replicas_train_as_one(kind, averages):
    results = []
    for strategy in (ONE, TWO):
        made = pruned(trainer(strategy, kind, lambda: optimizer(averages)))
        results.append(trained(made, snapshots_at=[K]))
    (one, one_end, one_test), (two, two_end, two_test) = results
    assert farthest(one_end["weights"], two_end["weights"]) < 1e-5
    assert farthest(one.snapshots[K]["weights"], two.snapshots[K]["weights"]) < 1e-5
    assert farthest(one_end["optimizer"], two_end["optimizer"]) < 1e-5
    assert abs(one_test["loss"] - two_test["loss"]) < 1e-5
    for row, other in zip(one.history, two.history, strict=True):
        assert max(abs(row[name] - other[name]) for name in row if name != "validation_accuracy") < 1e-5


def a_level_that_prunes_nothing_ends_with_the_bytes_of_the_dense_one(kind):
    made = trainer(TWO, kind)
    dense, end, _ = trained(made, snapshots_at=[K])
    with TWO.scope():
        state.restore(dense.snapshots[K], made.model, made.optimizer)
        made.replicas.check()
    again = trained(made, start=K)[1]
    assert all(end[group][name].tobytes() == again[group][name].tobytes() for group in end for name in end[group])


class Stopping(Pauses):
    """Pauses every `most` steps; at step `at` keeps the state and ends the training."""

    def __init__(self, trainer, most, at=None):
        self.trainer, self.most, self.at = trainer, most, at

    def most_steps(self, step):
        return self.most

    def on_pause(self, progress):
        if progress.step == self.at:
            self.kept = ticket.unpack(ticket.pack(self.trainer.checkpoint(progress)), shapes=self.trainer.shapes([K]))
            raise StoppedError


def stopped_between_evaluations_a_training_ends_with_the_same_bytes(kind):
    """Also where replicas differ for a while: BatchNorm's statistics are their own until the next evaluation."""
    expected = trained(trainer(TWO, kind), snapshots_at=[K])
    made = trainer(TWO, kind)
    with TWO.scope():
        pauses = Stopping(made, 1, at=6)
        with pytest.raises(StoppedError):
            made.train(0, T, shuffle_seed=1, snapshots_at=[K], pauses=pauses)
        assert bool(pauses.kept.weights.get("replicas")) == (kind != "plain")
        for rows in pauses.kept.weights.get("replicas", {}).values():
            assert rows.shape[0] == 2
            assert (rows[0] != rows[1]).any()
        other = trainer(TWO, kind)
        other.train(2, 5, shuffle_seed=3)
        ended = trained(other, other.resume(pauses.kept), snapshots_at=[K])
    assert same_ends(ended, expected)


def where_a_training_pauses_changes_no_bit(kind):
    made = trainer(TWO, kind)
    expected = trained(made, snapshots_at=[K])
    made = trainer(TWO, kind)
    assert same_ends(trained(made, snapshots_at=[K], pauses=Stopping(made, 1)), expected)


def same_ends(first, second):
    (one, one_end, one_test), (two, two_end, two_test) = first, second
    assert one.history == two.history
    assert one_test == two_test
    pairs = [(one_end, two_end), (one.snapshots[K], two.snapshots[K])]
    pairs.append(({"": one.early_stop_weights}, {"": two.early_stop_weights}))
    return all(
        array.tobytes() == other[group][name].tobytes()
        for each, other in pairs
        for group in each
        for name, array in each[group].items()
    )


def a_line_is_that_of_one_replica(kind):
    lines = []
    for strategy in (ONE, TWO):
        made = trainer(strategy, kind)
        start, ends = made.capture(), []
        with strategy.scope():
            for shuffle_seed in (1, 2):
                state.restore(start, made.model, made.optimizer)
                made.train(0, T, shuffle_seed)
                ends.append(state.weights(made.model))
            line = Connectivity(made).along(*ends, points=3, fresh_statistics=True, seeds=(3, 4))
            lines.append([row["test_loss"] for row in line])
            made.replicas.check()
    one, two = lines
    assert two == pytest.approx(one, rel=1e-4)
    assert len({round(loss, 3) for loss in one}) == 3


def pruned_weights_are_zero_on_both_replicas(kind):
    made = pruned(trainer(TWO, kind))
    trained(made)
    for weight, mask in model_masks.masked_variables(made.model).values():
        first, second = copies(weight)
        gone = first[~mask.numpy()]
        assert first.tobytes() == second.tobytes()
        assert gone.size
        assert gone.tobytes() == bytes(gone.nbytes)


def batch_statistics_are_made_one_by_their_mean():
    with TWO.scope():
        model = network("BatchNorm")
        mean, variance = model.layers[1].non_trainable_variables
        replicas = Replicas(model.variables, averaged={"mean": mean, "variance": variance})
        for variable, values in ((mean, (1.0, 4.0)), (variance, (0.5, 0.25))):
            for copy, value in zip(keras_compat.tf_variable(variable).values, values, strict=True):
                copy.assign(tf.fill(copy.shape, value))
        replicas.unify()
        replicas.check()
    assert [np.unique(array).tolist() for array in copies(mean)] == [[2.5], [2.5]]
    assert [np.unique(array).tolist() for array in copies(variance)] == [[0.375], [0.375]]


def replicas_that_differ_are_found(change):
    made = trainer(TWO, "plain")
    masked = pruned(made)
    with TWO.scope():
        masked.replicas.check()
        weight, mask = next(iter(model_masks.masked_variables(masked.model).values()))
        copy = keras_compat.tf_variable(mask if change == "mask" else weight).values[1]
        value = copy.numpy()
        if change == "two entries":
            value.flat[0], value.flat[1] = value.flat[1], value.flat[0]
        elif change == "mask":
            value.flat[0] = not value.flat[0]
        else:
            value.flat[3] = np.nextafter(value.flat[3], np.inf)
        copy.assign(value)
        with pytest.raises(RunError, match=r"do not agree on [^,]*kernel[^,]*\. Start again"):
            masked.replicas.check()


CASES = {
    f"two_replicas_train_as_one_{kind}_{averages}": (two_replicas_train_as_one, kind, averages)
    for kind, averages in (("plain", False), ("plain", True), ("synchronized", False))
}
CASES |= {
    f"{check.__name__}_{kind}": (check, kind)
    for check, kinds in {
        a_level_that_prunes_nothing_ends_with_the_bytes_of_the_dense_one: ("plain", "BatchNorm", "Dropout"),
        a_line_is_that_of_one_replica: ("plain", "synchronized"),
        pruned_weights_are_zero_on_both_replicas: ("BatchNorm",),
        stopped_between_evaluations_a_training_ends_with_the_same_bytes: ("plain", "BatchNorm", "Dropout"),
        where_a_training_pauses_changes_no_bit: ("BatchNorm",),
        replicas_that_differ_are_found: ("last bit", "two entries", "mask"),
    }.items()
    for kind in kinds
}
CASES["batch_statistics_are_made_one_by_their_mean"] = (batch_statistics_are_made_one_by_their_mean,)


def outcome(case):
    check, *arguments = CASES[case]
    try:
        check(*arguments)
    except (Exception, pytest.fail.Exception) as error:
        return "".join(traceback.format_exception(error))[-1500:]
    return "done"


if __name__ == "__main__":
    sys.stdout.write(json.dumps({case: outcome(case) for case in CASES}))
