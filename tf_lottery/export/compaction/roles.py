"""The role that a call of a layer plays for channels, and what it makes of constants.

A call mixes channels, passes each on by itself, or is opaque. A constant is a channel that has one value whatever the
model gets: a unit without weights, and what later layers make of it.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery.keras_compat import Call, Layer, Tensor, keras

# For each input two arrays of indices of the same length: channels of the input, and the channels of the output that
# they go into.
Links = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Mixing:
    """The role of a layer in which every unit is an activation of a weighted sum of all channels.

    Attributes:
        kernel: Weights of shape (taps, channels, units); 1 tap where there is no convolution.
        bias: Biases of shape (units,), float64.
        inside: For each tap whether it always meets a cell of the input, shape (taps,), bool.
        border: For each tap whether it meets a cell at some places and the zeros around at others, shape (taps,), bool.
        activation: Maps sums to units.
        why_all_stay: Why all units have to stay; None if they need not.
    """

    kernel: np.ndarray
    bias: np.ndarray
    inside: np.ndarray
    border: np.ndarray
    activation: Callable[[Any], Any]
    why_all_stay: str | None

    @functools.cached_property
    def reads(self) -> np.ndarray:
        """Which units have a weight other than 0 from which channels, of shape (channels, units), bool."""
        return np.asarray((self.kernel != 0).any(0))

    def needs(self, constants: np.ndarray) -> np.ndarray:
        """Compute which units need which channels, because no bias can stand for them.

        Args:
            constants: The values of the channels, NaN where a channel is not constant, shape (channels,).

        Returns:
            A boolean array of shape (channels, units).
        """
        at_border = (self.kernel[self.border] != 0).any(0)
        return np.where(np.isnan(constants)[:, None], self.reads, (constants != 0)[:, None] & at_border)

    def sums(self, constants: np.ndarray) -> np.ndarray:
        """Compute what constant channels add to each unit.

        Args:
            constants: The values of the channels, shape (channels,). Those that are NaN add nothing.

        Returns:
            A float64 array of shape (units,).
        """
        added = np.zeros(self.kernel.shape[2])
        for channel in np.flatnonzero(np.nan_to_num(constants)):  # few, so that no kernel is copied as a whole
            added += constants[channel] * self.kernel[self.inside, channel].astype(np.float64).sum(0)
        return added


@dataclass(frozen=True)
class Passing:
    """The role of a layer in which each output channel depends only on the input channels that it is linked with.

    Attributes:
        links: See `Links`.
        constants: Maps the constants of each input to those of the output; NaN stands for what is not constant.
        why_all_stay: Why all channels have to stay; None if they need not. Defaults to None.
    """

    links: Links
    constants: Callable[[list[np.ndarray]], np.ndarray]
    why_all_stay: str | None = None


@dataclass(frozen=True)
class Opaque:
    """The role of a layer of which all input and output channels have to stay.

    Attributes:
        why_all_stay: Why they have to.
    """

    why_all_stay: str


Role = Mixing | Passing | Opaque

UNITWISE = (
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "swish", "mish"),
    *("tanh", "sigmoid", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "log_sigmoid", "softplus", "softsign"),
    *("exponential", "soft_shrink", "hard_shrink", "tanh_shrink", "squareplus"),
)  # activations that act on each unit by itself: not softmax and the like, nor glu
_UNITWISE = {getattr(keras.activations, name) for name in UNITWISE if hasattr(keras.activations, name)}


def why_activation_keeps_all(layer: Layer) -> str | None:
    """Return why the activation of `layer` keeps all its units; None if it acts on each unit by itself."""
    return None if layer.activation in _UNITWISE else "has an activation that may mix units"


def activated(function: Callable[[Any], Any], constants: np.ndarray) -> np.ndarray:
    """Apply an activation to constants, in float64; NaN, which stands for what is not constant, stays NaN."""
    known = ~np.isnan(constants)
    result = np.full(constants.shape, np.nan)
    result[known] = np.asarray(function(tf.constant(constants[known], tf.float64)))
    return np.where(np.isfinite(result), result, np.nan)


def channel_count(tensor: Tensor) -> int | None:
    """Return the length of the last axis; None if there is none besides the batch, or if it is unknown."""
    return tensor.shape[-1] if len(tensor.shape) > 1 else None


def constants_of(calls: list[tuple[Call, Role]]) -> dict[Tensor, np.ndarray]:
    """Compute the constants of a graph.

    Args:
        calls: All calls with their roles, in an order in which they can be made.

    Returns:
        For each tensor the values of its channels, in float64; NaN where a channel has more than one value.
    """
    constants: dict[Tensor, np.ndarray] = {}
    for call, role in calls:
        given = [constants[tensor] for tensor in call.inputs]
        for tensor in call.outputs:
            constants[tensor] = np.full(channel_count(tensor) or 0, np.nan)
        if role.why_all_stay is None:
            constants[call.outputs[0]] = _of_units(role, *given) if isinstance(role, Mixing) else role.constants(given)
    return constants


def _of_units(role: Mixing, constants: np.ndarray) -> np.ndarray:
    varies = role.needs(constants).any(0)
    return activated(role.activation, np.where(varies, np.nan, role.sums(constants) + role.bias))
