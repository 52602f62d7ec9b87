"""Layers in which every unit is an activation of a weighted sum of all channels."""

import math

import numpy as np

from tf_lottery.export.compaction import activations, layer_weights, padding
from tf_lottery.export.compaction.roles import Mixing, Opaque, Role
from tf_lottery.keras_compat import Call


def _mixing(call: Call, kernel: np.ndarray, inside: np.ndarray, border: np.ndarray) -> Mixing:
    kernel = kernel.reshape(math.prod(kernel.shape[:-2]), *kernel.shape[-2:])  # not -1: there may be no channels
    bias = np.broadcast_to(layer_weights.array(call.layer, "bias"), kernel.shape[2:]).astype(np.float64)
    return Mixing(kernel, bias, inside, border, call.layer.activation, activations.whole(call.layer))


def dense(call: Call) -> Role:
    """Return a single tap, which meets every cell."""
    return _mixing(call, layer_weights.array(call.layer, "kernel"), np.ones(1, bool), np.zeros(1, bool))


def taps(call: Call) -> tuple[np.ndarray, np.ndarray]:
    """Return which taps of a convolution always meet a cell of what comes in, and which meet zeros at some places."""
    layer, shape = call.layer, call.inputs[0].shape[1:-1]
    settings = (layer.kernel_size, layer.strides, layer.dilation_rate)
    kernel, strides, dilation = ((size,) * len(shape) if isinstance(size, int) else size for size in settings)
    return padding.taps(shape, kernel, strides, dilation, layer.padding)


def convolution(call: Call) -> Role:
    """Return each unit sums over all channels and taps."""
    if call.layer.groups > 1:
        return Opaque("is a convolution in groups")
    return _mixing(call, layer_weights.array(call.layer, "kernel"), *taps(call))


def transposed(call: Call) -> Role:
    """Return a transposed convolution; its kernel has the units before the channels."""
    kernel = np.swapaxes(layer_weights.array(call.layer, "kernel"), -1, -2)
    count = kernel.size // (kernel.shape[-1] * kernel.shape[-2])
    return _mixing(call, kernel, np.zeros(count, bool), np.ones(count, bool))  # how many taps meet a cell differs
