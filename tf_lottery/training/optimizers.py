"""Optimizers by name, and the learning rate as a pure function of the step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tf_lottery.keras_compat import keras


@keras.saving.register_keras_serializable(package="tf_lottery")
class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A pure function of the step, so that a level that starts at step k goes on where the dense training was.

    Args:
        base: Learning rate after the warmup and before it falls.
        drops: Steps at which the rate is multiplied by `drop_factor`.
        drop_factor: Usually 0.1.
        warmup: Steps until `base` is reached; the rate at step s is multiplied by min(1, s / warmup).
        final: The rate does not fall below this one.
        linear_until: The step at which the rate has fallen from `base` to `final` in a straight line; 0: no such line.
    """

    def __init__(
        self,
        base: float,
        drops: tuple[int, ...] = (),
        drop_factor: float = 0.1,
        warmup: int = 0,
        final: float = 0.0,
        linear_until: int = 0,
    ):
        self.base, self.drops, self.drop_factor, self.warmup = base, tuple(drops), drop_factor, warmup
        self.final, self.linear_until = final, linear_until

    def __call__(self, step: Any) -> tf.Tensor:
        count = tf.cast(step, tf.int64)
        step, rate = tf.cast(count, tf.float32), tf.constant(self.base, tf.float32)
        if self.linear_until:
            rate -= (self.base - self.final) * tf.minimum(1.0, step / self.linear_until)
        if self.drops:
            passed = tf.math.count_nonzero(count >= tf.constant(self.drops, tf.int64), dtype=tf.float32)
            rate *= tf.pow(self.drop_factor, passed)
        rate = tf.maximum(rate, self.final)
        return rate * tf.minimum(1.0, step / self.warmup) if self.warmup else rate

    def get_config(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Settings:
    """What an optimizer is made of besides its learning rate.

    Attributes:
        momentum: Of `"sgd"` and `"rmsprop"`. Keras' velocity holds steps, not gradients: when the learning rate drops,
            what it has gathered still goes on at the old rate (in PyTorch and TensorFlow 1, `"sgd"` at the new one).
        nesterov: Whether the momentum of `"sgd"` is Nesterov's.
        epsilon: Of `"adam"` and `"rmsprop"`; the latter's stands inside the root, as in TensorFlow 1.
        average: Momentum of an exponential moving average of the weights, 0-1; 0: none.
    """

    momentum: float = 0.9
    nesterov: bool = False
    epsilon: float = 1e-7
    average: float = 0.0


def _adam(rate: LearningRate, settings: Settings, averages: dict[str, Any]) -> Any:
    return keras.optimizers.Adam(rate, epsilon=settings.epsilon, **averages)


def _sgd(rate: LearningRate, settings: Settings, averages: dict[str, Any]) -> Any:
    return keras.optimizers.SGD(rate, momentum=settings.momentum, nesterov=settings.nesterov, **averages)


def _rmsprop(rate: LearningRate, settings: Settings, averages: dict[str, Any]) -> Any:
    return keras.optimizers.RMSprop(rate, momentum=settings.momentum, epsilon=settings.epsilon, **averages)


OPTIMIZERS: dict[str, Callable[[LearningRate, Settings, dict[str, Any]], Any]] = {
    "adam": _adam,
    "sgd": _sgd,
    "rmsprop": _rmsprop,
}


def make(name: str, rate: LearningRate, settings: Settings = Settings(), *, scale_loss: bool = False) -> Any:
    """Return a new optimizer, one of `OPTIMIZERS`.

    Args:
        name: Which one.
        rate: Its learning rate.
        settings: The rest.
        scale_loss: Whether it scales the loss, dynamically, as float16 needs it.
    """
    averages = {"use_ema": True, "ema_momentum": settings.average} if settings.average else {}
    optimizer = OPTIMIZERS[name](rate, settings, averages)
    return keras.mixed_precision.LossScaleOptimizer(optimizer) if scale_loss else optimizer
