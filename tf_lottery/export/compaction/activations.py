"""Activations that act on each unit by itself, and what they make of constants."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery.keras_compat import keras

NAMES = (
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "swish", "mish"),
    *("tanh", "sigmoid", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "log_sigmoid", "softplus", "softsign"),
    *("exponential", "soft_shrink", "hard_shrink", "tanh_shrink", "squareplus"),
)  # not softmax and its like, nor glu: they mix units
_UNITWISE = {getattr(keras.activations, name) for name in NAMES if hasattr(keras.activations, name)}


def is_unitwise(activation: Any) -> bool:
    """Return whether `activation` is known to make of each unit something that depends on no other unit."""
    return activation in _UNITWISE


def of_constants(function: Callable[[Any], Any], constants: np.ndarray) -> np.ndarray:
    """What `function` makes of constants, in float64; NaN, which stands for what is none, stays."""
    known = ~np.isnan(constants)
    result = np.full(constants.shape, np.nan)
    result[known] = np.asarray(function(tf.constant(constants[known], tf.float64)))
    return np.where(np.isfinite(result), result, np.nan)


def whole(layer: Any) -> str | None:
    """Why all units of `layer` have to stay, as far as its activation goes; None: they need not."""
    return None if is_unitwise(layer.activation) else "has an activation that may mix units"
