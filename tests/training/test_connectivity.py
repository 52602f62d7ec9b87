"""Lines between networks, compared with NumPy on the same weights."""

import numpy as np
import pytest
import tiny

from tf_lottery import keras_compat
from tf_lottery.core import seeds
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, naming, state
from tf_lottery.training.connectivity import Connectivity, between

SEEDS = (3, 4)


def two_ends(trainer):
    """Return the weights after training in two data orders."""
    start, ends = trainer.capture(), []
    for shuffle_seed in (1, 2):
        state.restore(start, trainer.model, trainer.optimizer)
        trainer.train(0, 12, shuffle_seed)
        ends.append(state.weights(trainer.model))
    return ends


def error_and_loss(logits, y):
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]
    return (logits.argmax(axis=1) != y).mean(), losses.mean()


def test_error_and_loss_on_the_line_equal_numpy():
    trainer = tiny.trainer(tiny.half_masked())
    first, second = two_ends(trainer)
    rows = list(Connectivity(trainer).along(first, second, points=5, fresh_statistics=True, seeds=SEEDS))
    assert [row["share"] for row in rows] == [0, 0.25, 0.5, 0.75, 1]
    test = tiny.DATASET.test
    for row in rows:
        a = {name: (1 - row["share"]) * first[name] + row["share"] * second[name] for name in first}
        hidden = test.x.reshape(len(test), -1).astype(np.float64) @ a["dense/kernel"] + a["dense/bias"]
        error, loss = error_and_loss(hidden @ a["dense_1/kernel"] + a["dense_1/bias"], test.y)
        assert row["test_error"] == pytest.approx(error, abs=1e-12)
        assert row["test_loss"] == pytest.approx(loss, rel=1e-5)


def normalised():
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.Dense(3),
        ]
    )


def test_fresh_statistics_are_means_over_training_batches(monkeypatch):
    monkeypatch.setattr("tf_lottery.training.connectivity._EXAMPLES", 18)  # three batches of 6
    trainer = tiny.trainer(conversion.make_prunable(normalised()))
    first, second = two_ends(trainer)
    first["batch_normalization/moving_mean"] += 100
    (row, _) = Connectivity(trainer).along(first, second, points=2, fresh_statistics=True, seeds=SEEDS)
    x = tiny.DATASET.train.x.reshape(16, -1).astype(np.float64)
    norm, made = {part: first[f"batch_normalization/{part}"] for part in ("gamma", "beta")}, []
    for rows in seeds.batches(SEEDS[0], 16, 6, 0, 3):
        hidden = x[rows] @ first["dense/kernel"] + first["dense/bias"]
        made.append((hidden.mean(axis=0), hidden.var(axis=0)))
    mean, variance = np.mean(made, axis=0)
    test = tiny.DATASET.test
    hidden = test.x.reshape(len(test), -1).astype(np.float64) @ first["dense/kernel"] + first["dense/bias"]
    hidden = norm["gamma"] * (hidden - mean) / np.sqrt(variance + 1e-3) + norm["beta"]
    error, loss = error_and_loss(hidden @ first["dense_1/kernel"] + first["dense_1/bias"], test.y)
    assert (row["test_error"], row["test_loss"]) == (pytest.approx(error, abs=1e-12), pytest.approx(loss, rel=1e-4))


def test_without_fresh_statistics_the_statistics_of_the_ends_are_interpolated():
    trainer = tiny.trainer(conversion.make_prunable(normalised()))
    first, second = two_ends(trainer)
    along = Connectivity(trainer).along
    rows = list(along(first, second, points=3, fresh_statistics=False, seeds=SEEDS))
    state.set_weights(between(first, second, 0.5), trainer.model)
    assert rows[1]["test_loss"] == trainer.evaluate("test")["loss"]
    assert rows != list(along(first, second, points=3, fresh_statistics=True, seeds=SEEDS))


def test_between_a_network_and_itself_nothing_changes():
    trainer = tiny.trainer(tiny.half_masked())
    end, _ = two_ends(trainer)
    rows = Connectivity(trainer).along(end, end, points=7, fresh_statistics=True, seeds=SEEDS)
    assert len({(row["test_error"], row["test_loss"]) for row in rows}) == 1


def test_skipping_points_does_not_change_the_others():
    keras.utils.set_random_seed(0)
    trainer = tiny.trainer(conversion.make_prunable(tiny.convolutional()))
    first, second = two_ends(trainer)
    along = Connectivity(trainer).along
    whole = list(along(first, second, points=5, fresh_statistics=True, seeds=SEEDS))
    for measured in range(6):
        rest = along(first, second, points=5, fresh_statistics=True, seeds=SEEDS, measured=measured)
        assert list(rest) == whole[measured:]


def test_the_line_starts_and_ends_at_exactly_the_weights_of_both_networks():
    first = {"w": np.float32([0.1, 0.3]), "seed": np.uint32([1, 2])}
    second = {"w": np.float32([0.7, -0.0]), "seed": np.uint32([3, 4])}
    assert between(first, second, 0)["w"].tobytes() == first["w"].tobytes()
    assert np.array_equal(between(first, second, 1)["w"], second["w"])
    assert between(first, second, 0.5)["seed"].tolist() == [1, 2]
    assert between(first, second, 0.5)["w"].dtype == np.float32


def test_measuring_a_line_does_not_change_later_training():
    keras.utils.set_random_seed(0)
    keras_compat.make_randomness_restorable()
    trainer = tiny.trainer(conversion.make_prunable(tiny.convolutional()))
    start = trainer.capture()
    first, second = two_ends(trainer)
    list(Connectivity(trainer).along(first, second, points=3, fresh_statistics=True, seeds=SEEDS))
    state.restore(start, trainer.model, trainer.optimizer)
    trainer.train(0, 12, 2)
    again = state.weights(trainer.model)
    assert all(again[name].tobytes() == second[name].tobytes() for name in naming.named_variables(trainer.model))


def test_the_error_of_diverged_networks_is_nan():
    trainer = tiny.trainer(tiny.half_masked())
    end, _ = two_ends(trainer)
    diverged = end | {"dense_1/bias": np.full(3, np.nan, np.float32)}
    _, *rows = Connectivity(trainer).along(end, diverged, points=3, fresh_statistics=True, seeds=SEEDS)
    assert all(np.isnan(row["test_error"]) for row in rows)
