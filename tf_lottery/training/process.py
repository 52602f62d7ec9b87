"""Settings of a whole process that decide whether it trains repeatably."""

import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.errors import ConfigError


def configure(threads: int, *, deterministic_ops: bool, one_device: bool = True) -> None:
    """Make this process train repeatably: thread counts, deterministic ops, restorable randomness.

    Call it before TensorFlow runs its first op. The number of threads changes results in the last bits, so it belongs
    to the experiment, not to the machine.

    Args:
        threads: How many an op may use.
        deterministic_ops: Whether to ask TensorFlow for them. Not with XLA, which they exclude; on one CPU device it
            repeats itself without.
        one_device: Whether one device trains, so that one op at a time is enough; several wait for each other.

    Raises:
        ConfigError: TensorFlow has already started with other thread counts.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1 if one_device else 0)
    except RuntimeError as error:
        raise ConfigError(f"TensorFlow already runs in this process; {threads} threads cannot be set now.") from error
    if deterministic_ops:
        tf.config.experimental.enable_op_determinism()
    keras_compat.make_randomness_restorable()


def device_kind() -> str:
    """Of the device that trains: `"CPU"`, `"GPU"` or `"TPU"`. Starts nothing, so `configure` may follow."""
    kinds = {device.device_type for device in tf.config.list_physical_devices()}
    return next((kind for kind in ("TPU", "GPU") if kind in kinds), "CPU")


def start() -> None:
    """Have TensorFlow look for devices, and say what it has to say of those that it misses, now rather than later."""
    tf.config.list_logical_devices()
