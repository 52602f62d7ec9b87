import numpy as np
import pytest
import tiny

from tf_lottery.core import seeds
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, state
from tf_lottery.rewinding import HoldableRate
from tf_lottery.training import optimizers
from tf_lottery.training.learning_rate import LearningRate
from tf_lottery.training.optimizers import OPTIMIZERS, OptimizerSettings


@pytest.mark.parametrize(
    ("schedule", "step", "rate"),
    [
        (LearningRate(0.4), 10**6, 0.4),
        (LearningRate(0.4, drops=(10, 20)), 9, 0.4),
        (LearningRate(0.4, drops=(10, 20)), 10, 0.04),
        (LearningRate(0.4, drops=(10, 20), drop_factor=0.5), 25, 0.1),
        (LearningRate(0.4, drops=(10, 20), final=0.03), 25, 0.03),
        (LearningRate(0.4, warmup=8), 0, 0.0),
        (LearningRate(0.4, warmup=8), 2, 0.1),
        (LearningRate(0.4, drops=(10,), warmup=20), 10, 0.02),
        (LearningRate(0.4, drops=(2**24 + 1,)), 2**24, 0.4),  # float32 cannot hold the next number
        (HoldableRate(LearningRate(0.4, drops=(10, 20)), last_step=15), 25, 0.04),
        (HoldableRate(LearningRate(0.3, linear_until=100), last_step=99), 150, 0.003),
        (LearningRate(0.3, linear_until=100), 25, 0.225),
        (LearningRate(0.3, final=0.1, linear_until=100), 50, 0.2),
        (LearningRate(0.3, final=0.1, linear_until=100), 150, 0.1),
    ],
)
def test_the_learning_rate_is_a_function_of_the_step(schedule, step, rate):
    assert float(schedule(step)) == pytest.approx(rate, rel=1e-5)
    assert float(type(schedule).from_config(schedule.get_config())(step)) == pytest.approx(rate, rel=1e-5)


def gradient(weights, rows):
    """Return the gradient of the mean cross-entropy of a Dense layer, in float64."""
    x, y = tiny.X[rows].reshape(len(rows), -1).astype(np.float64), tiny.Y[rows]
    logits = x @ weights["dense/kernel"] + weights["dense/bias"]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    shares[np.arange(len(rows)), y] -= 1
    return x.T @ shares / len(rows)


def adam(g, slots, t, rate):
    slots["m"] = 0.9 * slots["m"] + 0.1 * g
    slots["v"] = 0.999 * slots["v"] + 0.001 * g**2
    # Keras' epsilon is the one that Kingma & Ba 2014 (section 2) write with a hat.
    return rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * slots["m"] / (np.sqrt(slots["v"]) + 1e-3)


def momentum(g, slots, t, rate):
    slots["m"] = 0.8 * slots["m"] + rate * g
    return slots["m"]


def nesterov(g, slots, t, rate):
    slots["m"] = 0.8 * slots["m"] + rate * g
    return 0.8 * slots["m"] + rate * g


def rmsprop(g, slots, t, rate):
    slots["v"] = 0.9 * slots["v"] + 0.1 * g**2
    slots["m"] = 0.8 * slots["m"] + rate * g / np.sqrt(slots["v"] + 1e-3)
    return slots["m"]


@pytest.mark.parametrize(
    ("name", "settings", "by_hand"),
    [
        ("adam", OptimizerSettings(epsilon=1e-3), adam),
        ("sgd", OptimizerSettings(momentum=0.8), momentum),
        ("sgd", OptimizerSettings(momentum=0.8, nesterov=True), nesterov),
        ("rmsprop", OptimizerSettings(momentum=0.8, epsilon=1e-3), rmsprop),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_three_steps_equal_numpy(name, settings, by_hand):
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    model = conversion.make_prunable(model)
    trainer = tiny.trainer(model, optimizers.make(name, LearningRate(0.01, drops=(2,)), settings))
    kernel, slots = state.weights(model)["dense/kernel"].astype(np.float64), {"m": 0.0, "v": 0.0}
    for step, rows in enumerate(seeds.batches(5, 16, 6, 0, 3)):
        g = gradient(state.weights(model), rows)
        kernel -= by_hand(g, slots, step + 1, rate=0.01 if step < 2 else 0.001)
        trainer.train(step, step + 1, shuffle_seed=5)
    np.testing.assert_allclose(state.weights(model)["dense/kernel"], kernel, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_averages_weights_and_scales_losses_if_asked(name):
    model = conversion.make_prunable(tiny.dense())
    before = state.weights(model)["dense/kernel"]
    optimizer = optimizers.make(name, LearningRate(0.1), OptimizerSettings(average=0.5), scale_loss=True)
    assert isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
    trainer = tiny.trainer(model, optimizer)
    trainer.train(0, 4, shuffle_seed=0)
    averages = {id(weight): average.numpy() for weight, average in trainer.averages}
    kernel = next(weight for weight in model.trainable_variables if tuple(weight.shape) == before.shape)
    assert np.isfinite(kernel.numpy()).all()
    assert len({array.tobytes() for array in (before, kernel.numpy(), averages[id(kernel)])}) == 3
