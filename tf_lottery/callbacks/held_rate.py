"""A learning rate that stops where training stopped, for fine-tuning."""

from typing import Any

import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.keras_compat import keras


@keras.saving.register_keras_serializable(package="tf_lottery")
class HeldRate(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule up to a step, from then on its value at that step.

    Args:
        schedule: The schedule to follow.
        last_step: The step whose rate is held; None, the default, until `hold` is called.
    """

    def __init__(self, schedule: Any, last_step: int | None = None):
        self.schedule = schedule
        self._last_step = tf.Variable(tf.int64.max if last_step is None else last_step, dtype=tf.int64, trainable=False)

    def hold(self, last_step: int) -> None:
        """From now on the rate is that of `last_step`, if it was not held before."""
        self._last_step.assign(min(last_step, int(self._last_step.numpy())))

    def __call__(self, step: Any) -> Any:
        return self.schedule(tf.minimum(tf.cast(step, tf.int64), self._last_step))

    def get_config(self) -> dict[str, Any]:
        last_step = int(self._last_step.numpy())
        held = None if last_step == tf.int64.max else last_step
        return {"schedule": keras.optimizers.schedules.serialize(self.schedule), "last_step": held}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "HeldRate":
        return cls(keras.optimizers.schedules.deserialize(config["schedule"]), config["last_step"])


def make_holdable(model: Any) -> HeldRate | None:
    """Put a HeldRate in place of the schedule of a model's optimizer; None if its rate is no schedule.

    Call it from a running `fit`, before its first step.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    schedule = optimizer._learning_rate
    if isinstance(schedule, HeldRate):
        return schedule
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return None
    optimizer.learning_rate = held = HeldRate(schedule)
    keras_compat.retrace_training(model)
    return held
