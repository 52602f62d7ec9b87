"""Settings of a whole process that make its results repeatable."""

import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.errors import ConfigError


def configure(threads: int, *, deterministic_ops: bool, one_device: bool = True) -> None:
    """Make the results of this process repeatable: thread counts, deterministic ops, restorable randomness.

    Call it before TensorFlow runs its first op. The number of threads changes results in the last bits, so it belongs
    to the experiment, not to the machine.

    Args:
        threads: Number of threads that an op may use.
        deterministic_ops: Whether to turn on TensorFlow's op determinism. It does not work with XLA, which is
            repeatable without it on one CPU device.
        one_device: Whether one device trains, so that running one op at a time is enough; several devices wait for each
            other. Defaults to True.

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
    """Return the kind of the device that trains, `"CPU"`, `"GPU"` or `"TPU"`; `configure` can still be called."""
    kinds = {device.device_type for device in tf.config.list_physical_devices()}
    return next((kind for kind in ("TPU", "GPU") if kind in kinds), "CPU")


def start() -> None:
    """Start TensorFlow, so that its warnings about missing devices come now rather than later."""
    tf.config.list_logical_devices()
