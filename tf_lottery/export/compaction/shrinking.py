"""Layers with fewer channels: their settings and weights."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_lottery import keras_compat
from tf_lottery.errors import ExportError
from tf_lottery.export.compaction import known_layers
from tf_lottery.export.compaction.graph_analysis import Analysis, Reader
from tf_lottery.export.compaction.roles import Opaque
from tf_lottery.keras_compat import Call, Layer


@dataclass(frozen=True)
class SmallerLayer:
    """What a layer becomes.

    Attributes:
        settings: The entries of its config that change.
        weights: All its weights by name, in their new shapes.
    """

    settings: dict[str, Any]
    weights: dict[str, np.ndarray]

    def make(self, layer: Layer) -> Layer:
        """Return a layer like `layer` but smaller, not built."""
        return type(layer).from_config(keras_compat.config_of(layer) | self.settings)

    def fill(self, layer: Layer) -> None:
        """Assign the weights to a layer that is built."""
        for name, variable in known_layers.weights(layer).items():
            variable.assign(self.weights[name])


def smaller_layers(analysis: Analysis) -> dict[int, SmallerLayer]:
    """Return what the layers of a graph that change become, by the id of the layer."""
    readers = {id(reader.layer): reader for reader in analysis.readers}
    smaller = {}
    for call, role in analysis.calls:
        if isinstance(role, Opaque) or id(call.layer) in smaller or not known_layers.has_sizes(call.layer):
            continue
        if not all(analysis.kept(tensor).all() for tensor in call.inputs[:1] + call.outputs):
            smaller[id(call.layer)] = _smaller(call, analysis, readers.get(id(call.layer)))
    return smaller


def _smaller(call: Call, analysis: Analysis, reader: Reader | None) -> SmallerLayer:
    known = known_layers.KNOWN_LAYERS[type(call.layer)]
    kept = {"in": analysis.kept(call.inputs[0]), "out": analysis.kept(call.outputs[0])}
    settings = {} if known.size is None else {known.size: _size(known.size, call, int(kept["out"].sum()))}
    arrays = {name: np.array(variable.numpy()) for name, variable in known_layers.weights(call.layer).items()}
    if reader is not None and (sums := _folded(reader, kept["in"]))[kept["out"]].any():
        settings["use_bias"] = True
        arrays["bias"] = _like_kernel(reader.role.bias + sums, arrays["kernel"], call.layer)
    if reader is not None:
        _silence(analysis.spare[call.outputs[0]], arrays, known.axes)
    for name, axes in known.axes.items():
        for side, axis in axes.items() if name in arrays else ():
            arrays[name] = np.compress(kept[side], arrays[name], axis)
    return SmallerLayer(settings, arrays)


def _silence(spare: np.ndarray, arrays: dict[str, np.ndarray], axes: known_layers.Axes) -> None:
    """Set units to 0 that nothing reads: with fewer inputs they might overflow, and infinity times 0 is NaN."""
    for name, array in arrays.items():
        np.moveaxis(array, axes[name]["out"], 0)[spare] = 0


def _size(setting: str, call: Call, count: int) -> int | tuple[int, ...]:
    if setting != "target_shape":
        return count
    return (*(-1 if length is None else length for length in call.outputs[0].shape[1:-1]), count)


def _folded(reader: Reader, kept: np.ndarray) -> np.ndarray:
    """Compute what the channels that go have added to each unit."""
    return reader.role.sums(np.where(kept, 0, reader.constants))


def _like_kernel(bias: np.ndarray, kernel: np.ndarray, layer: Layer) -> np.ndarray:
    """Cast a bias to the dtype of the kernel."""
    with np.errstate(over="ignore"):
        cast = bias.astype(kernel.dtype)
    if not np.isfinite(cast).all():
        raise ExportError(
            f"Layer {layer.name!r} would get a bias too large for {kernel.dtype}. Give the layer a wider `dtype`."
        )
    return cast
