"""The layers that compaction knows, and the role that a call of each plays. All other layers are opaque."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tf_lottery import keras_compat
from tf_lottery.export.compaction.roles import (
    Mixing,
    Opaque,
    Passing,
    Role,
    activated,
    channel_count,
    why_activation_keeps_all,
)
from tf_lottery.keras_compat import Call, Layer, Tensor, Variable, keras

# For each weight the axis of the input channels ("in") and that of the output channels ("out").
Axes = dict[str, dict[str, int]]


class KnownLayer(NamedTuple):
    """The knowledge that compaction has of a class of layers.

    Attributes:
        role: Returns the role of a call.
        axes: The axes along which its weights have channels.
        size: The setting that has the number of output channels; None if there is none.
    """

    role: Callable[[Call], Role]
    axes: Axes
    size: str | None


def role_of(call: Call) -> Role:
    """Return the role that `call` plays for channels."""
    if keras_compat.is_layer_graph(call.layer):
        return Opaque("is a model of its own, whose inputs and outputs stay as they are")
    if (known := KNOWN_LAYERS.get(type(call.layer))) is None:
        return Opaque(f"is of a class that compaction does not know ({type(call.layer).__name__})")
    if unknown := set(weights(call.layer)) - set(known.axes):
        return Opaque(f"has weights that compaction does not know ({', '.join(sorted(unknown))})")
    if not call.is_plain:
        return Opaque("is called with more than tensors (`training=True`, a mask of time steps)")
    if any(channel_count(tensor) is None for tensor in call.inputs + call.outputs):
        return Opaque("has an unknown number of channels")
    if (size := getattr(call.layer, "kernel_size", None)) and len(size) != len(call.inputs[0].shape) - 2:
        return Opaque("has more axes than it convolves")
    if getattr(call.layer, "data_format", None) == "channels_first":
        return Opaque("has the channels first")
    return known.role(call)


def has_sizes(layer: Layer) -> bool:
    """Return whether something in `layer` depends on the number of channels, so that all its calls must agree on it."""
    known = KNOWN_LAYERS.get(type(layer))
    return known is None or bool(known.axes or known.size)


def weights(layer: Layer) -> dict[str, Variable]:
    """Return the weights of `layer` by name, without the random state that dropout has."""
    variables = keras_compat.own_variables(layer)
    named = zip(keras_compat.names_in(layer, variables), variables, strict=True)
    return {name: variable for name, variable in named if not keras_compat.is_random_state(variable)}


def _weight(layer: Layer, name: str, default: float = 0.0) -> np.ndarray:
    """Return a weight as an array, or `default` if the layer has none of this name."""
    variable = weights(layer).get(name)
    return np.asarray(default) if variable is None else np.asarray(variable.numpy())


# Layers that mix channels.


def _mixing(call: Call, kernel: np.ndarray, inside: np.ndarray, border: np.ndarray) -> Mixing:
    kernel = kernel.reshape(math.prod(kernel.shape[:-2]), *kernel.shape[-2:])  # not -1: there may be no channels
    bias = np.broadcast_to(_weight(call.layer, "bias"), kernel.shape[2:]).astype(np.float64)
    return Mixing(kernel, bias, inside, border, call.layer.activation, why_activation_keeps_all(call.layer))


def _dense(call: Call) -> Role:
    """Treat a dense layer as a convolution with a single tap, which meets every cell."""
    return _mixing(call, _weight(call.layer, "kernel"), np.ones(1, bool), np.zeros(1, bool))


def _convolution(call: Call) -> Role:
    if call.layer.groups > 1:
        return Opaque("is a convolution in groups")
    return _mixing(call, _weight(call.layer, "kernel"), *_taps_of(call))


def _transposed(call: Call) -> Role:
    """Swap the last axes of a transposed convolution's kernel, which has the units before the channels."""
    kernel = np.swapaxes(_weight(call.layer, "kernel"), -1, -2)
    count = kernel.size // (kernel.shape[-1] * kernel.shape[-2])
    # The number of taps that meet a cell differs between places, so no tap is always inside.
    return _mixing(call, kernel, np.zeros(count, bool), np.ones(count, bool))


def _taps_of(call: Call) -> tuple[np.ndarray, np.ndarray]:
    layer, shape = call.layer, call.inputs[0].shape[1:-1]
    settings = (layer.kernel_size, layer.strides, layer.dilation_rate)
    kernel, strides, dilations = ((size,) * len(shape) if isinstance(size, int) else size for size in settings)
    return taps(shape, kernel, strides=strides, dilations=dilations, padding=layer.padding)


def taps(
    shape: Sequence[int | None],
    kernel: Sequence[int],
    *,
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute which taps of a convolution meet cells of its input, and which meet the zeros around it.

    Args:
        shape: Spatial size of the input; None for a length that is unknown.
        kernel: Spatial size of the kernel.
        strides: Stride along each axis.
        dilations: Dilation of the kernel along each axis.
        padding: `"valid"`, `"same"` or `"causal"`.

    Returns:
        Two boolean arrays with one entry for each tap, in the order of the kernel: whether it always meets a cell, and
        whether it meets a cell at some places and a zero at others. The remaining taps always meet zeros.

    >>> taps([5], [3], strides=[1], dilations=[1], padding="same")
    (array([False,  True, False]), array([ True, False,  True]))
    """
    axes = zip(shape, kernel, strides, dilations, strict=True)
    inside, outside = zip(*(_taps_along(*axis, padding) for axis in axes), strict=True)
    always = functools.reduce(np.logical_and.outer, inside).ravel()
    return always, ~(always | functools.reduce(np.logical_or.outer, outside).ravel())


def _taps_along(
    length: int | None, kernel: int, stride: int, dilation: int, padding: str
) -> tuple[np.ndarray, np.ndarray]:
    """Compute which taps along one axis are always inside, and which never are."""
    if padding == "valid" or kernel == 1:
        return np.ones(kernel, bool), np.zeros(kernel, bool)
    if length is None:
        return np.zeros(kernel, bool), np.zeros(kernel, bool)
    places = -(-length // stride)
    reach = (kernel - 1) * dilation
    before = reach if padding == "causal" else max((places - 1) * stride + reach + 1 - length, 0) // 2
    cells = np.arange(places)[:, None] * stride + np.arange(kernel) * dilation - before
    inside = (cells >= 0) & (cells < length)
    return np.asarray(inside.all(0)), ~np.asarray(inside.any(0))


# Layers that pass each channel on by itself.


def _count(tensor: Tensor) -> int:
    """Return the number of channels, of which `role_of` has checked that it is known."""
    return channel_count(tensor) or 0


def _identity(tensor: Tensor) -> tuple[np.ndarray, np.ndarray]:
    every = np.arange(_count(tensor))
    return every, every


def _depthwise(call: Call) -> Role:
    """Link each channel with the `depth_multiplier` channels that a depthwise convolution makes of it."""
    kernel = _weight(call.layer, "kernel")
    inside, border = _taps_of(call)
    kernel = kernel.reshape(math.prod(kernel.shape[:-2]), kernel.shape[-2] * kernel.shape[-1])
    bias = _weight(call.layer, "bias").astype(np.float64)
    source = np.arange(kernel.shape[1]) // call.layer.depth_multiplier

    def constants(given: list[np.ndarray]) -> np.ndarray:
        value = given[0][source]
        varies = np.where(np.isnan(value), (kernel != 0).any(0), (value != 0) & (kernel[border] != 0).any(0))
        sums = np.nan_to_num(value) * kernel[inside].astype(np.float64).sum(0) + bias
        return activated(call.layer.activation, np.where(varies, np.nan, sums))

    return Passing([(source, np.arange(len(source)))], constants, why_activation_keeps_all(call.layer))


def _norm(call: Call) -> Role:
    """Treat BatchNorm as in inference: a `gamma` of 0 makes a constant of any channel."""
    layer, last = call.layer, len(call.inputs[0].shape) - 1
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)  # legacy Keras has a list
    if axes not in ([-1], [last]):
        return Opaque("normalises along an axis other than the last one")
    names = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}
    arrays = (_weight(layer, name, default) for name, default in names.items())
    gamma, beta, mean, variance = (array.astype(np.float64) for array in arrays)
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(variance + layer.epsilon)
    if not np.isfinite(scale).all():
        return Opaque("divides by the root of a variance that is not positive")

    def constants(given: list[np.ndarray]) -> np.ndarray:
        return np.where(scale == 0, beta, (given[0] - mean) * scale + beta)

    return Passing([_identity(call.inputs[0])], constants)


def _slopes(call: Call) -> Role:
    """Link the channels of PReLU; a negative constant stays one only where all pixels have the same slope."""
    alpha = _weight(call.layer, "alpha").astype(np.float64)
    if alpha.shape[-1] != _count(call.inputs[0]):
        return Opaque("has slopes that channels share")
    alpha = alpha.reshape(-1, alpha.shape[-1])
    same = (alpha == alpha[0]).all(0)

    def constants(given: list[np.ndarray]) -> np.ndarray:
        value = given[0]
        return np.where(value >= 0, value, np.where(same, alpha[0] * value, np.nan))

    return Passing([_identity(call.inputs[0])], constants)


def _unitwise(call: Call) -> Role:
    """Treat a layer that is an activation."""
    why = why_activation_keeps_all(call.layer) if isinstance(call.layer, keras.layers.Activation) else None
    return Passing([_identity(call.inputs[0])], lambda given: activated(call.layer.call, given[0]), why)


def _unchanged(call: Call) -> Role:
    """Pass constants on: pooling leaves padded cells out, and dropout and cropping treat all values alike."""
    return Passing([_identity(call.inputs[0])], lambda given: given[0])


def _zeros_around(call: Call) -> Role:
    """Pass only zeros on: any other constant differs from the zeros around it."""
    return Passing([_identity(call.inputs[0])], lambda given: np.where(given[0] == 0, 0, np.nan))


def _rescaling(call: Call) -> Role:
    if np.ndim(call.layer.scale) or np.ndim(call.layer.offset):
        return Opaque("rescales each channel in its own way")
    return Passing(
        [_identity(call.inputs[0])], lambda given: given[0] * float(call.layer.scale) + float(call.layer.offset)
    )


def _flatten(call: Call) -> Role:
    """Link each channel with one for every pixel, in the order of the pixels."""
    before, after = map(_count, call.inputs + call.outputs)
    source = np.arange(after) % before
    return Passing([(source, np.arange(after))], lambda given: given[0][source])


def _reshape(call: Call) -> Role:
    if _count(call.inputs[0]) == _count(call.outputs[0]):
        return _unchanged(call)
    return Opaque("changes the number of channels")


def _elementwise(combine: Callable[[np.ndarray], np.ndarray]) -> Callable[[Call], Role]:
    """Make the role of a layer that combines its inputs, which `combine` gets as one array along its first axis."""

    def role(call: Call) -> Role:
        if len({(len(tensor.shape), tensor.shape[-1]) for tensor in call.inputs}) > 1:
            return Opaque("stretches what has fewer channels or axes")
        return Passing([_identity(tensor) for tensor in call.inputs], lambda given: combine(np.stack(given)))

    return role


def _where_equal(given: np.ndarray) -> np.ndarray:
    return np.where((given == given[0]).all(0), given[0], np.nan)


def _concatenate(call: Call) -> Role:
    """Link channels one after the other; along another axis, channels of several inputs become one."""
    if call.layer.axis not in (-1, len(call.outputs[0].shape) - 1):
        return _elementwise(_where_equal)(call)
    counts = [_count(tensor) for tensor in call.inputs]
    starts = np.cumsum([0, *counts[:-1]])
    links = [(np.arange(count), start + np.arange(count)) for start, count in zip(starts, counts, strict=True)]
    return Passing(links, np.concatenate)


_DENSE: Axes = {"kernel": {"in": -2, "out": -1}, "bias": {"out": -1}}
_TRANSPOSED: Axes = {"kernel": {"in": -1, "out": -2}, "bias": {"out": -1}}
_DEPTHWISE: Axes = {"kernel": {"in": -2}, "bias": {"out": -1}}
_NORM: Axes = {name: {"out": -1} for name in ("gamma", "beta", "moving_mean", "moving_variance")}
_SLOPES: Axes = {"alpha": {"out": -1}}

KNOWN_LAYERS: dict[type, KnownLayer] = {}


def _add(names: str, role: Callable[[Call], Role], axes: Axes | None = None, size: str | None = None) -> None:
    for name in names.split():
        if (layer := getattr(keras.layers, name, None)) is not None:  # Keras 3 and legacy Keras each lack a few
            KNOWN_LAYERS[layer] = KnownLayer(role, axes or {}, size)


_add("InputLayer", lambda call: Opaque("is an input of the model"))
_add("Dense", _dense, _DENSE, "units")
_add("Conv1D Conv2D Conv3D", _convolution, _DENSE, "filters")
_add("Conv1DTranspose Conv2DTranspose Conv3DTranspose", _transposed, _TRANSPOSED, "filters")
_add("DepthwiseConv1D DepthwiseConv2D", _depthwise, _DEPTHWISE)
_add("BatchNormalization", _norm, _NORM)
_add("PReLU", _slopes, _SLOPES)
_add("Activation ReLU LeakyReLU ELU", _unitwise)
_add("Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D AlphaDropout", _unchanged)
_add("GaussianDropout GaussianNoise ActivityRegularization", _unchanged)
_add("MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D", _unchanged)
_add("GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D", _unchanged)
_add("GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D", _unchanged)
_add("UpSampling1D UpSampling2D UpSampling3D Cropping1D Cropping2D Cropping3D", _unchanged)
_add("ZeroPadding1D ZeroPadding2D ZeroPadding3D", _zeros_around)
_add("Rescaling", _rescaling)
_add("Flatten", _flatten)
_add("Reshape", _reshape, size="target_shape")
_add("Add", _elementwise(lambda given: given.sum(0)))
_add("Subtract", _elementwise(lambda given: given[0] - given[1]))
_add("Average", _elementwise(lambda given: given.mean(0)))
_add("Maximum", _elementwise(lambda given: given.max(0)))
_add("Minimum", _elementwise(lambda given: given.min(0)))
_add("Concatenate", _concatenate)
