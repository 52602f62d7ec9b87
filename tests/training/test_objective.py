import numpy as np
import pytest
import tensorflow as tf
import tiny

from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, prunable, state
from tf_lottery.training.learning_rate import LearningRate
from tf_lottery.training.objective import CROSS_ENTROPY, Objective, cross_entropy

LOGITS = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])
MORE = np.array([[1.0, 1.0, 0.0], [0.5, 0.0, 2.0]])
Y = np.array([0, 2], np.int32)


def log_shares(logits):
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def tensor(array, dtype=tf.float32):
    return tf.constant(array, dtype)


def test_cross_entropy_equals_numpy():
    expected = [1.0 * -log_shares(LOGITS)[0, 0], -log_shares(LOGITS)[1, 2]]
    np.testing.assert_allclose(CROSS_ENTROPY.losses(tensor(Y, tf.int32), tensor(LOGITS)), expected, rtol=1e-6)


def test_label_smoothing_spreads_a_share_of_the_label_over_all_classes():
    labels = 0.9 * np.eye(3)[Y] + 0.1 / 3
    expected = -(labels * log_shares(LOGITS)).sum(axis=1)
    losses = Objective(label_smoothing=0.1).losses(tensor(Y, tf.int32), tensor(LOGITS))
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_auxiliary_logits_count_with_their_weight():
    parts = [CROSS_ENTROPY.losses(tensor(Y, tf.int32), tensor(logits)).numpy() for logits in (LOGITS, MORE)]
    losses = Objective(auxiliary_weight=0.3).losses(tensor(Y, tf.int32), [tensor(LOGITS), tensor(MORE)])
    np.testing.assert_allclose(losses, parts[0] + 0.3 * parts[1], rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses_are_float32_whatever_the_logits_are(smoothing):
    half = Objective(label_smoothing=smoothing).losses(tensor(Y, tf.int32), tensor(LOGITS, tf.float16))
    assert half.dtype == tf.float32
    full = Objective(label_smoothing=smoothing).losses(tensor(Y, tf.int32), tensor(LOGITS))
    np.testing.assert_allclose(half, full, rtol=1e-6)  # these logits are exact in float16
    assert cross_entropy(tensor(Y, tf.int32), tensor(LOGITS, tf.bfloat16)).dtype == tf.float32


def test_weight_decay_is_the_kernel_regularizer_of_half_its_size():
    """It adds weight_decay * w to the gradient of kernels only."""

    def built(regularizer):
        return keras.Sequential(
            [
                keras.Input((6, 6, 1)),
                keras.layers.Conv2D(2, 3, kernel_regularizer=regularizer),
                keras.layers.BatchNormalization(),
                keras.layers.Flatten(),
                keras.layers.Dense(3, kernel_regularizer=regularizer, bias_initializer="ones"),
            ]
        )

    regularizers = keras.regularizers.L2(0.05), None, None
    objectives = CROSS_ENTROPY, CROSS_ENTROPY, Objective(weight_decay=0.1)
    regularized, plain, decayed = models = [conversion.make_prunable(built(each)) for each in regularizers]
    weights = state.weights(plain)
    for model, objective in zip(models, objectives, strict=True):
        state.set_weights(weights, model)
        kernels = list(prunable.prunable_weights(model).values())
        optimizer = keras.optimizers.SGD(LearningRate(0.5))
        tiny.trainer(model, optimizer, objective=objective, decayed=kernels).train(0, 1, shuffle_seed=0)
    for name, array in state.weights(decayed).items():
        np.testing.assert_allclose(array, state.weights(regularized)[name], rtol=0, atol=1e-6)
        decay = 0.5 * 0.1 * weights[name] if name.endswith("kernel") else 0
        np.testing.assert_allclose(array, state.weights(plain)[name] - decay, rtol=0, atol=1e-6)
