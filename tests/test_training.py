import numpy as np
import pytest
import tensorflow as tf
import tiny

from tf_lottery import layers, model_masks, state, training
from tf_lottery.core import order
from tf_lottery.keras_api import keras
from tf_lottery.training import LearningRate, segments


def test_segments_end_at_the_multiples_and_at_the_snapshot():
    assert list(segments(0, 10, 4, also=3)) == [(0, 3), (3, 4), (4, 8), (8, 10)]
    assert list(segments(5, 8, 4)) == [(5, 8)]
    assert list(segments(0, 8, 4, also=8)) == [(0, 4), (4, 8)]
    assert list(segments(4, 4, 4)) == [(4, 4)]


@pytest.mark.parametrize(
    ("schedule", "step", "rate"),
    [
        (LearningRate(0.4), 10**6, 0.4),
        (LearningRate(0.4, drops=(10, 20)), 9, 0.4),
        (LearningRate(0.4, drops=(10, 20)), 10, 0.04),
        (LearningRate(0.4, drops=(10, 20), drop_factor=0.5), 25, 0.1),
        (LearningRate(0.4, warmup=8), 0, 0.0),
        (LearningRate(0.4, warmup=8), 2, 0.1),
        (LearningRate(0.4, drops=(10,), warmup=20), 10, 0.02),
    ],
)
def test_the_learning_rate_is_a_function_of_the_step(schedule, step, rate):
    assert float(schedule(step)) == pytest.approx(rate)
    assert float(LearningRate.from_config(schedule.get_config())(step)) == pytest.approx(rate)


def test_one_sgd_step_equals_numpy():
    model = layers.make_prunable(
        keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    )
    model_masks.set_masks(model, masks := tiny.half_masks(model))
    before = state.weights(model)
    tiny.trainer(model, keras.optimizers.SGD(LearningRate(0.1))).train(2, 3, order_seed=5)

    rows = order.batches(5, 16, 6, 2, 3)[0]
    x, y = tiny.X[rows].reshape(6, -1).astype(np.float64), tiny.Y[rows]
    logits = x @ before["dense/kernel"] + before["dense/bias"]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    shares[np.arange(6), y] -= 1
    kernel = (before["dense/kernel"] - 0.1 * x.T @ shares / 6) * masks["dense/kernel"]
    after = state.weights(model)
    np.testing.assert_allclose(after["dense/kernel"], kernel, rtol=0, atol=1e-6)
    np.testing.assert_allclose(after["dense/bias"], before["dense/bias"] - 0.1 * shares.mean(axis=0), rtol=0, atol=1e-6)


def test_evaluation_equals_numpy():
    trainer = tiny.trainer(layers.make_prunable(tiny.dense()))
    test = tiny.DATASET.test
    logits = trainer.model.predict(test.x, verbose=0).astype(np.float64)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(test)), test.y]
    measured = trainer.evaluate("test")
    assert measured["accuracy"] == (logits.argmax(axis=1) == test.y).mean()
    assert measured["loss"] == pytest.approx(losses.mean(), rel=1e-6)


def test_evaluation_covers_a_last_part_of_another_size(monkeypatch):
    monkeypatch.setattr(training, "_EVALUATION_BATCH", 3)
    model = layers.make_prunable(tiny.dense())
    in_parts = tiny.trainer(model).evaluate("test")
    monkeypatch.setattr(training, "_EVALUATION_BATCH", 1000)
    assert in_parts == pytest.approx(tiny.trainer(model).evaluate("test"))


def test_history_has_a_row_an_evaluation_and_early_stopping_is_its_first_minimum():
    outcome = tiny.trainer(layers.make_prunable(tiny.dense()), steps=10).train(0, 10, order_seed=0, snapshot_at=3)
    assert [row["step"] for row in outcome.history] == [4, 8, 10]
    losses = [row["validation_loss"] for row in outcome.history]
    assert outcome.early_stop_loss == min(losses)
    assert outcome.early_stop_step == [4, 8, 10][losses.index(min(losses))]
    assert all(np.isfinite(row["train_loss"]) for row in outcome.history)


def test_early_stop_weights_give_the_lowest_validation_loss():
    trainer = tiny.trainer(layers.make_prunable(tiny.dense()), keras.optimizers.SGD(LearningRate(5.0)))
    outcome = trainer.train(0, 12, order_seed=0)
    state.set_weights(outcome.early_stop_weights, trainer.model)
    assert trainer.evaluate("validation")["loss"] == pytest.approx(outcome.early_stop_loss)


def test_evaluation_may_be_rarer_than_the_end_of_training():
    trainer = tiny.trainer(layers.make_prunable(tiny.dense()), evaluate_every=10**12)
    assert [row["step"] for row in trainer.train(0, 12, order_seed=0).history] == [12]


def test_progress_adds_up_to_the_steps_trained():
    seen = []
    tiny.trainer(layers.make_prunable(tiny.dense())).train(1, 12, order_seed=0, snapshot_at=2, on_segment=seen.append)
    assert sum(seen) == 11


@pytest.mark.parametrize("jit_compile", [False, True])
def test_levels_of_any_length_share_one_trace(jit_compile):
    trainer = tiny.trainer(layers.make_prunable(tiny.dense()), jit_compile=jit_compile)
    for start in (0, 3, 7):
        trainer.train(start, 12, order_seed=start, snapshot_at=start + 1)
        model_masks.set_masks(trainer.model, tiny.half_masks(trainer.model, seed=start))
    assert trainer._run.experimental_get_tracing_count() == 1
    assert trainer._measure.experimental_get_tracing_count() == 1


def test_a_reset_optimizer_is_a_new_one_at_the_given_step():
    trainer = tiny.trainer(layers.make_prunable(tiny.dense()))
    new = state.capture(trainer.model, trainer.optimizer)["optimizer"]
    trainer.train(0, 5, order_seed=0)
    trainer.reset_optimizer(step=3)
    after = state.capture(trainer.model, trainer.optimizer)["optimizer"]
    assert int(trainer.optimizer.iterations) == 3
    assert all(np.array_equal(after[name], new[name]) for name in new if new[name].shape)


@pytest.mark.parametrize("name", training.OPTIMIZERS)
def test_every_optimizer_trains(name):
    model = layers.make_prunable(tiny.dense())
    before = state.weights(model)
    tiny.trainer(model, training.OPTIMIZERS[name](LearningRate(0.1), 0.9)).train(0, 4, order_seed=0)
    assert not np.array_equal(before["dense/kernel"], state.weights(model)["dense/kernel"])


def test_a_process_that_has_started_cannot_be_configured_otherwise():
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1
    tf.constant(1.0)
    with pytest.raises(training.ConfigError, match="already runs in this process; 7 threads cannot be set"):
        training.configure_process(threads=7, jit_compile=True)
