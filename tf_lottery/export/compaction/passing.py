"""Layers that pass on each channel by itself."""

import math
from collections.abc import Callable

import numpy as np

from tf_lottery.export.compaction import activations, layer_weights
from tf_lottery.export.compaction.mixing import taps
from tf_lottery.export.compaction.roles import Opaque, Passing, Role
from tf_lottery.keras_compat import Call, Tensor, keras


def _identity(tensor: Tensor) -> tuple[np.ndarray, np.ndarray]:
    every = np.arange(tensor.shape[-1])
    return every, every


def depthwise(call: Call) -> Role:
    """Return each channel is convolved by itself, into one or more: they go together."""
    kernel = layer_weights.array(call.layer, "kernel")
    inside, border = taps(call)
    kernel = kernel.reshape(math.prod(kernel.shape[:-2]), kernel.shape[-2] * kernel.shape[-1])
    bias = layer_weights.array(call.layer, "bias").astype(np.float64)
    source = np.arange(kernel.shape[1]) // call.layer.depth_multiplier

    def constants(given: list[np.ndarray]) -> np.ndarray:
        value = given[0][source]
        varies = np.where(np.isnan(value), (kernel != 0).any(0), (value != 0) & (kernel[border] != 0).any(0))
        sums = np.nan_to_num(value) * kernel[inside].astype(np.float64).sum(0) + bias
        return activations.of_constants(call.layer.activation, np.where(varies, np.nan, sums))

    return Passing([(source, np.arange(len(source)))], constants, activations.whole(call.layer))


def norm(call: Call) -> Role:
    """BatchNorm as it is in inference; a `gamma` of 0 makes a constant of what lives."""
    layer, last = call.layer, len(call.inputs[0].shape) - 1
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)  # legacy Keras has a list
    if axes not in ([-1], [last]):
        return Opaque("normalises along an axis other than the last one")
    names = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}
    arrays = (layer_weights.array(layer, name, default) for name, default in names.items())
    gamma, beta, mean, variance = (array.astype(np.float64) for array in arrays)
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(variance + layer.epsilon)
    if not np.isfinite(scale).all():
        return Opaque("divides by the root of a variance that is not positive")

    def constants(given: list[np.ndarray]) -> np.ndarray:
        return np.where(scale == 0, beta, (given[0] - mean) * scale + beta)

    return Passing([_identity(call.inputs[0])], constants)


def slopes(call: Call) -> Role:
    """PReLU: a slope for each channel, or for each pixel, too, so that what is negative stays no constant."""
    alpha = layer_weights.array(call.layer, "alpha").astype(np.float64)
    if alpha.shape[-1] != call.inputs[0].shape[-1]:
        return Opaque("has slopes that channels share")
    alpha = alpha.reshape(-1, alpha.shape[-1])
    same = (alpha == alpha[0]).all(0)

    def constants(given: list[np.ndarray]) -> np.ndarray:
        value = given[0]
        return np.where(value >= 0, value, np.where(same, alpha[0] * value, np.nan))

    return Passing([_identity(call.inputs[0])], constants)


def unitwise(call: Call) -> Role:
    """Return an activation that is a layer."""
    whole = activations.whole(call.layer) if isinstance(call.layer, keras.layers.Activation) else None
    return Passing(
        [_identity(call.inputs[0])], lambda given: activations.of_constants(call.layer.call, given[0]), whole
    )


def unchanged(call: Call) -> Role:
    """Constants pass: pooling leaves padded cells out, what is random or cut away is so for all values alike."""
    return Passing([_identity(call.inputs[0])], lambda given: given[0])


def zeros_around(call: Call) -> Role:
    """Among zeros only a 0 is still the same everywhere."""
    return Passing([_identity(call.inputs[0])], lambda given: np.where(given[0] == 0, 0, np.nan))


def rescaling(call: Call) -> Role:
    """Return a factor and an offset, if they are the same for all channels."""
    if np.ndim(call.layer.scale) or np.ndim(call.layer.offset):
        return Opaque("rescales each channel in its own way")
    return Passing(
        [_identity(call.inputs[0])], lambda given: given[0] * float(call.layer.scale) + float(call.layer.offset)
    )


def flatten(call: Call) -> Role:
    """Return each channel becomes one for every pixel, the pixels in order: a channel goes only with all of those."""
    before, after = (tensor.shape[-1] for tensor in call.inputs + call.outputs)
    source = np.arange(after) % before
    return Passing([(source, np.arange(after))], lambda given: given[0][source])


def reshape(call: Call) -> Role:
    """Where the last axis stays as it is, so does every channel."""
    if call.inputs[0].shape[-1] == call.outputs[0].shape[-1]:
        return unchanged(call)
    return Opaque("changes the number of channels")


def elementwise(combine: Callable[[np.ndarray], np.ndarray]) -> Callable[[Call], Role]:
    """Of all inputs as one array, along its first axis, to what comes out."""

    def make(call: Call) -> Role:
        if len({(len(tensor.shape), tensor.shape[-1]) for tensor in call.inputs}) > 1:
            return Opaque("stretches what has fewer channels or axes")
        return Passing([_identity(tensor) for tensor in call.inputs], lambda given: combine(np.stack(given)))

    return make


def all_equal(given: np.ndarray) -> np.ndarray:
    """Return a constant where all have the same."""
    return np.where((given == given[0]).all(0), given[0], np.nan)


def concatenate(call: Call) -> Role:
    """Channels one after the other; along another axis, channels of several tensors become one."""
    if call.layer.axis not in (-1, len(call.outputs[0].shape) - 1):
        return elementwise(all_equal)(call)
    counts = [tensor.shape[-1] for tensor in call.inputs]
    starts = np.cumsum([0, *counts[:-1]])
    links = [(np.arange(count), start + np.arange(count)) for start, count in zip(starts, counts, strict=True)]
    return Passing(links, np.concatenate)
