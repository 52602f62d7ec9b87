import numpy as np
import pytest
import tensorflow as tf
import tiny

from tf_lottery import keras_compat
from tf_lottery.core import seeds
from tf_lottery.feeds import resident
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks, state
from tf_lottery.training.learning_rate import LearningRate
from tf_lottery.training.progress import Pauses
from tf_lottery.training.trainer import stops


def test_training_stops_at_the_multiples_and_at_the_snapshot():
    assert stops(0, 10, 4, also=[3, 5]) == [3, 4, 5, 8, 10]
    assert stops(5, 8, 4) == [8]
    assert stops(0, 8, 4, also=[8]) == [4, 8]
    assert stops(4, 4, 4) == [4]


def test_one_sgd_step_equals_numpy():
    model = conversion.make_prunable(
        keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    )
    model_masks.set_masks(model, masks := tiny.half_masks(model))
    before = state.weights(model)
    tiny.trainer(model, keras.optimizers.SGD(LearningRate(0.1))).train(2, 3, shuffle_seed=5)

    rows = seeds.batches(5, 16, 6, 2, 3)[0]
    x, y = tiny.X[rows].reshape(6, -1).astype(np.float64), tiny.Y[rows]
    logits = x @ before["dense/kernel"] + before["dense/bias"]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    shares[np.arange(6), y] -= 1
    kernel = (before["dense/kernel"] - 0.1 * x.T @ shares / 6) * masks["dense/kernel"]
    after = state.weights(model)
    np.testing.assert_allclose(after["dense/kernel"], kernel, rtol=0, atol=1e-6)
    np.testing.assert_allclose(after["dense/bias"], before["dense/bias"] - 0.1 * shares.mean(axis=0), rtol=0, atol=1e-6)


def test_evaluation_equals_numpy():
    trainer = tiny.trainer(conversion.make_prunable(tiny.dense()))
    test = tiny.DATASET.test
    logits = trainer.model.predict(test.x, verbose=0).astype(np.float64)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(test)), test.y]
    measured = trainer.evaluate("test")
    assert measured["accuracy"] == (logits.argmax(axis=1) == test.y).mean()
    assert measured["loss"] == pytest.approx(losses.mean(), rel=1e-6)


def test_evaluation_covers_a_last_part_of_another_size(monkeypatch):
    monkeypatch.setattr(resident, "_EVALUATION_BATCH", 3)
    model = conversion.make_prunable(tiny.dense())
    in_parts = tiny.trainer(model).evaluate("test")
    monkeypatch.setattr(resident, "_EVALUATION_BATCH", 1000)
    assert in_parts == pytest.approx(tiny.trainer(model).evaluate("test"))


def test_history_has_a_row_for_each_evaluation_and_early_stopping_is_its_first_minimum():
    outcome = tiny.trainer(conversion.make_prunable(tiny.dense()), steps=10).train(
        0, 10, shuffle_seed=0, snapshots_at=[3]
    )
    assert [row["step"] for row in outcome.history] == [4, 8, 10]
    losses = [row["validation_loss"] for row in outcome.history]
    assert outcome.early_stop_loss == min(losses)
    assert outcome.early_stop_step == [4, 8, 10][losses.index(min(losses))]
    assert all(np.isfinite(row["train_loss"]) for row in outcome.history)


def test_early_stop_weights_give_the_lowest_validation_loss():
    trainer = tiny.trainer(conversion.make_prunable(tiny.dense()), keras.optimizers.SGD(LearningRate(5.0)))
    outcome = trainer.train(0, 12, shuffle_seed=0)
    state.set_weights(outcome.early_stop_weights, trainer.model)
    assert trainer.evaluate("validation")["loss"] == pytest.approx(outcome.early_stop_loss)


def test_evaluation_may_be_rarer_than_the_end_of_training():
    trainer = tiny.trainer(conversion.make_prunable(tiny.dense()), evaluate_every=10**12)
    assert [row["step"] for row in trainer.train(0, 12, shuffle_seed=0).history] == [12]


class Seen(Pauses):
    """Records the steps at which training pauses; allows a number of steps between pauses."""

    def __init__(self, most=100):
        self.steps, self.most = [], most

    def most_steps(self, step):
        return self.most

    def on_pause(self, progress):
        self.steps.append(progress.step)


def test_training_pauses_at_its_stops_and_at_the_steps_asked_for():
    trainer, every, each = tiny.trainer(conversion.make_prunable(tiny.dense())), Seen(), Seen(most=1)
    trainer.train(1, 12, shuffle_seed=0, snapshots_at=[2], pauses=every)
    assert {2, 4, 8, 12} <= set(every.steps)
    assert every.steps == sorted(set(every.steps))
    trainer.train(1, 12, shuffle_seed=0, snapshots_at=[2], pauses=each)
    assert each.steps == list(range(2, 13))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_levels_of_any_length_share_one_trace(jit_compile):
    trainer = tiny.trainer(conversion.make_prunable(tiny.dense()), jit_compile=jit_compile)
    for start in (0, 3, 7):
        trainer.train(start, 12, shuffle_seed=start, snapshots_at=[start + 1])
        model_masks.set_masks(trainer.model, tiny.half_masks(trainer.model, seed=start))
    assert trainer._run.experimental_get_tracing_count() == 1
    assert trainer._measure.experimental_get_tracing_count() == 1


def reset_optimizer(trainer, clock=None):
    new = state.new_optimizer_state(trainer.model, trainer.optimizer, clock)
    state.restore_optimizer(new, trainer.optimizer)


def test_a_new_optimizer_takes_its_step_from_the_given_state():
    trainer = tiny.trainer(conversion.make_prunable(tiny.dense()))
    new = state.capture(trainer.model, trainer.optimizer)["optimizer"]
    clock = trainer.train(0, 5, shuffle_seed=0, snapshots_at=[3]).snapshots[3]["optimizer"]
    reset_optimizer(trainer, clock)
    after = state.capture(trainer.model, trainer.optimizer)["optimizer"]
    assert int(trainer.optimizer.iterations) == 3
    assert all(np.array_equal(after[name], new[name]) for name in new if new[name].shape)


def test_the_averages_of_a_new_optimizer_start_at_the_weights():
    model = conversion.make_prunable(tiny.dense())
    trainer = tiny.trainer(model, keras.optimizers.SGD(LearningRate(0.1), use_ema=True, ema_momentum=0.5))
    trainer.train(0, 3, shuffle_seed=0)
    state.set_weights(state.weights(tiny.half_masked()), model)
    reset_optimizer(trainer)
    assert trainer.averages
    assert all(np.array_equal(weight.numpy(), average.numpy()) for weight, average in trainer.averages)


def test_evaluations_use_the_averages_of_the_weights_and_training_continues_from_the_weights():
    averaged = tiny.half_masked()
    weights, masks = state.weights(averaged), model_masks.get_masks(averaged)
    trainer = tiny.trainer(averaged, keras.optimizers.SGD(LearningRate(0.1), use_ema=True, ema_momentum=0.5))
    plain = conversion.make_prunable(tiny.dense())
    model_masks.set_masks(plain, masks)
    state.set_weights(weights, plain)
    raw = tiny.trainer(plain, keras.optimizers.SGD(LearningRate(0.1)), evaluate_every=1)

    # The average by hand: in Keras 3 it starts at the weights after the first step.
    expected = weights if keras_compat.LEGACY else None
    for step in range(4):
        raw.train(step, step + 1, shuffle_seed=7)
        now = state.weights(plain)
        expected = now if expected is None else {name: 0.5 * expected[name] + 0.5 * now[name] for name in now}
    reset_optimizer(trainer)
    outcome = trainer.train(0, 4, shuffle_seed=7)
    assert all(np.array_equal(state.weights(averaged)[name], array) for name, array in state.weights(plain).items())
    for name, array in expected.items():
        np.testing.assert_allclose(outcome.early_stop_weights[name], array, rtol=0, atol=1e-7)
    state.set_weights(expected, plain)
    assert outcome.history[-1]["validation_loss"] == pytest.approx(raw.evaluate("validation")["loss"], rel=1e-5)
    assert trainer.evaluate("test")["loss"] == pytest.approx(raw.evaluate("test")["loss"], rel=1e-5)
    assert trainer.evaluate("test", averaged=False) != trainer.evaluate("test")
    assert tiny.is_pruned_to_plus_zero(averaged)


def test_augmentation_sees_training_batches_and_their_draws_and_no_others():
    seen = []

    def augment(images, draws):
        seen.append(draws.dtype)
        return images + tf.cast(draws % 2, tf.float32)[:, None, None, None] * 100.0

    model = conversion.make_prunable(tiny.dense())
    trainer = tiny.trainer(model, keras.optimizers.SGD(LearningRate(0.0)), augment=augment)
    draws = seeds.draws(5, 5, 16, 6, 2, 3)[0]
    assert 0 < (draws % 2).sum() < 6
    rows = seeds.batches(5, 16, 6, 2, 3)[0]
    x = tiny.X[rows] + (draws % 2).astype(np.float32)[:, None, None, None] * 100
    logits = model.predict(x, verbose=0).astype(np.float64)
    losses = (
        logits.max(1) + np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) - logits[range(6), tiny.Y[rows]]
    )
    outcome = trainer.train(2, 3, shuffle_seed=5)
    assert outcome.history[-1]["train_loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert trainer.evaluate("test")["loss"] < losses.mean()
    assert seen


def test_the_regularizers_of_a_model_count():
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3, kernel_regularizer="l2")]
    )
    model = conversion.make_prunable(model)
    before = state.weights(model)["dense/kernel"]
    plain = conversion.make_prunable(
        keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    )
    state.set_weights(state.weights(model), plain)
    for each in (model, plain):
        tiny.trainer(each, keras.optimizers.SGD(LearningRate(0.1))).train(0, 1, shuffle_seed=0)
    difference = state.weights(plain)["dense/kernel"] - state.weights(model)["dense/kernel"]
    np.testing.assert_allclose(difference, 0.1 * 2 * 0.01 * before, rtol=0, atol=1e-7)  # Keras' "l2" is L2(0.01)


def test_measuring_seconds_per_step_does_not_change_later_training():
    model = conversion.make_prunable(tiny.convolutional())
    trainer = tiny.trainer(model)
    start = trainer.capture()
    trainer.train(0, 12, shuffle_seed=1)
    expected = state.weights(model)
    assert 0 < trainer.seconds_per_step() < 10
    state.restore(start, model, trainer.optimizer)
    trainer.train(0, 12, shuffle_seed=1)
    assert all(array.tobytes() == expected[name].tobytes() for name, array in state.weights(model).items())
