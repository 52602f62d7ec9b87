"""Which Keras this process uses, Keras 3 or legacy Keras, and its classes for annotations.

TensorFlow's own setting decides: `TF_USE_LEGACY_KERAS=1` means `tf_keras`, anything else means Keras 3. No other module
imports either of them.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from tf_lottery.errors import BackendError

LEGACY = os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True")


if LEGACY:
    import tf_keras as keras
    from tensorflow import Variable as Variable
else:
    _OTHERS = ("jax", "torch", "openvino")
    _WAY_OUT = "Set KERAS_BACKEND=tensorflow before Keras is imported."
    try:
        import keras
        from keras import Variable as Variable
    except (ModuleNotFoundError, ValueError) as error:
        is_backend = "backend" in str(error) if isinstance(error, ValueError) else error.name in _OTHERS
        if is_backend:
            raise BackendError(f"tf_lottery needs Keras on TensorFlow. Received: {error}. {_WAY_OUT}") from error
        raise
    if keras.backend.backend() != "tensorflow":
        raise BackendError(
            f"tf_lottery needs Keras on TensorFlow. Received: KERAS_BACKEND={keras.backend.backend()}. {_WAY_OUT}"
        )


Model: TypeAlias = keras.Model
Layer: TypeAlias = keras.layers.Layer
Optimizer: TypeAlias = keras.optimizers.Optimizer
Callback: TypeAlias = keras.callbacks.Callback


# Keras' own defaults. A user's `keras.json` may set others, which would change the results of a run.
_DEFAULTS = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}


def pin_settings(policy: str) -> None:
    """Set the dtype policy of this process, and all settings of `keras.json` to Keras' defaults.

    Args:
        policy: `"float32"`, `"mixed_float16"` or `"mixed_bfloat16"`.
    """
    _set(_DEFAULTS)
    keras.mixed_precision.set_global_policy(policy)


@contextlib.contextmanager
def pinned_settings(policy: str) -> Iterator[None]:
    """Build the layers that are made inside this context with the settings of a run; see `pin_settings`."""
    before, policy_before = _settings(), keras.mixed_precision.global_policy()
    pin_settings(policy)
    try:
        yield
    finally:
        _set(before)
        keras.mixed_precision.set_global_policy(policy_before)


@contextlib.contextmanager
def channels_last() -> Iterator[None]:
    """Build the layers that are made inside this context for images of shape (rows, columns, channels)."""
    before = keras.backend.image_data_format()
    keras.backend.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.backend.set_image_data_format(before)


def _settings() -> dict[str, Any]:
    """Return the settings of this process that `keras.json` can set."""
    return {name: getattr(keras.backend, name)() for name in _DEFAULTS}


def _set(settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        getattr(keras.backend, f"set_{name}")(value)


def reason() -> str:
    """Return why the process uses the Keras that it uses, for error messages."""
    if LEGACY and "tensorflow_model_optimization" in sys.modules:
        return (
            "TF_USE_LEGACY_KERAS=1 means tf_keras; importing tensorflow_model_optimization sets it, "
            "tf_lottery.masking.tfmot_bridge.import_tfmot() does not"
        )
    return "TF_USE_LEGACY_KERAS=1 means tf_keras"


def make_randomness_restorable() -> None:
    """Give the layers that are built from now on a random state that can be read and set back.

    Layers of Keras 3 always have one. Legacy Keras keeps the state of dropout inside the op, where it cannot be
    reached, unless its random generators are switched to variables.
    """
    if LEGACY:
        keras.backend.experimental.enable_tf_random_generator()
