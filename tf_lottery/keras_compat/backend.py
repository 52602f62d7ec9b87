"""Which Keras this process uses: Keras 3, or legacy Keras.

The choice is TensorFlow's own: `TF_USE_LEGACY_KERAS=1` means `tf_keras`, anything else Keras 3. This is the only module
that imports either.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

LEGACY = os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True")


if LEGACY:
    import tf_keras as keras
else:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ImportError(
            f"tf_lottery needs Keras on TensorFlow. Received: KERAS_BACKEND={keras.backend.backend()}. "
            "Set KERAS_BACKEND=tensorflow before Keras is imported."
        )


Model, Layer, Optimizer, Callback = (
    keras.Model,
    keras.layers.Layer,
    keras.optimizers.Optimizer,
    keras.callbacks.Callback,
)
Variable = Any  # keras.Variable on Keras 3, tf.Variable on legacy Keras


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Have the layers that are made inside compute in `"float32"`, `"mixed_float16"` or `"mixed_bfloat16"`."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def reason() -> str:
    """Why the process uses the Keras that it uses, for messages."""
    if LEGACY and "tensorflow_model_optimization" in sys.modules:
        return (
            "TF_USE_LEGACY_KERAS=1 means tf_keras; importing tensorflow_model_optimization sets it, "
            "tf_lottery.masking.tfmot_bridge.import_tfmot() does not"
        )
    return "TF_USE_LEGACY_KERAS=1 means tf_keras"


def make_randomness_restorable() -> None:
    """Give the layers that are built from now on a random state that can be read and set back.

    Keras 3 has it always. Legacy Keras keeps dropout's state inside the op, where nothing can reach it, unless its
    generators are switched to variables.
    """
    if LEGACY:
        keras.backend.experimental.enable_tf_random_generator()
