"""Layers in which every unit is an activation of a weighted sum of all channels."""

import numpy as np

from tf_lottery.export.compaction import activations, layer_weights, padding
from tf_lottery.export.compaction.roles import Mixing, Opaque, Role
from tf_lottery.keras_api import Call


def _mixing(call: Call, kernel: np.ndarray, inside: np.ndarray, border: np.ndarray) -> Mixing:
    kernel = kernel.reshape(-1, *kernel.shape[-2:])
    bias = np.broadcast_to(layer_weights.array(call.layer, "bias"), kernel.shape[2:]).astype(np.float64)
    return Mixing(kernel, bias, inside, border, call.layer.activation, activations.whole(call.layer))


def dense(call: Call) -> Role:
    return _mixing(call, layer_weights.array(call.layer, "kernel"), np.ones(1, bool), np.zeros(1, bool))


def taps(call: Call) -> tuple[np.ndarray, np.ndarray]:
    layer, rank = call.layer, len(call.inputs[0].shape) - 2
    sizes = [(size,) * rank if isinstance(size, int) else size for size in (layer.kernel_size, layer.strides)]
    dilations = layer.dilation_rate
    dilations = (dilations,) * rank if isinstance(dilations, int) else dilations
    return padding.taps(call.inputs[0].shape[1:-1], *sizes, dilations, layer.padding)


def convolution(call: Call) -> Role:
    if call.layer.groups > 1:
        return Opaque("is a convolution in groups")
    return _mixing(call, layer_weights.array(call.layer, "kernel"), *taps(call))


def transposed(call: Call) -> Role:
    kernel = np.swapaxes(layer_weights.array(call.layer, "kernel"), -1, -2)
    taps = kernel.size // (kernel.shape[-1] * kernel.shape[-2])
    return _mixing(call, kernel, np.zeros(taps, bool), np.ones(taps, bool))  # how many taps meet a cell differs
