"""The learning rate of an experiment as a pure function of the step."""

from typing import Any

import tensorflow as tf

from tf_lottery.keras_compat import keras


@keras.saving.register_keras_serializable(package="tf_lottery")
class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that depends on the step alone, so that a level that starts at step k continues as level 0 did.

    Args:
        base: Learning rate after the warmup and before it falls.
        drops: Steps at which the rate is multiplied by `drop_factor`.
        drop_factor: Usually 0.1.
        warmup: Steps until `base` is reached; the rate at step s is multiplied by min(1, s / warmup).
        final: The rate does not fall below this one.
        linear_until: The step at which the rate has fallen linearly from `base` to `final`. Defaults to 0: it does not
            fall linearly.
    """

    def __init__(
        self,
        base: float,
        *,
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
