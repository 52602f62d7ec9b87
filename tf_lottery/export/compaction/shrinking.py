"""Layers with fewer channels: their settings and weights."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_lottery import keras_compat
from tf_lottery.errors import ExportError
from tf_lottery.export.compaction import kinds, layer_weights, roles
from tf_lottery.export.compaction.analysis import Analysis
from tf_lottery.export.compaction.readers import Reader
from tf_lottery.export.compaction.roles import Opaque
from tf_lottery.keras_compat import Call


@dataclass(frozen=True)
class Smaller:
    """What becomes of a layer.

    Attributes:
        settings: Those of its config that change.
        weights: All its weights, by name.
    """

    settings: dict[str, Any]
    weights: dict[str, np.ndarray]

    def make(self, layer: Any) -> Any:
        """Return a layer like `layer` but smaller, not built."""
        return type(layer).from_config(keras_compat.config_of(layer) | self.settings)

    def fill(self, layer: Any) -> None:
        """Give a layer that is built its weights."""
        for name, variable in layer_weights.weights(layer).items():
            variable.assign(self.weights[name])


def smaller_layers(analysis: Analysis) -> dict[int, Smaller]:
    """Of a graph, by the id of the layer: those layers that change."""
    readers = {id(reader.layer): reader for reader in analysis.readers}
    smaller = {}
    for call, role in analysis.calls:
        if isinstance(role, Opaque) or id(call.layer) in smaller or not kinds.has_sizes(call.layer):
            continue
        if not all(analysis.kept(tensor).all() for tensor in call.inputs[:1] + call.outputs):
            smaller[id(call.layer)] = _smaller(call, analysis, readers.get(id(call.layer)))
    return smaller


def _smaller(call: Call, analysis: Analysis, reader: Reader | None) -> Smaller:
    kind = kinds.KINDS[type(call.layer)]
    kept = {"in": analysis.kept(call.inputs[0]), "out": analysis.kept(call.outputs[0])}
    settings = {} if kind.size is None else {kind.size: _size(kind.size, call, int(kept["out"].sum()))}
    arrays = {name: np.array(variable.numpy()) for name, variable in layer_weights.weights(call.layer).items()}
    if reader is not None and (sums := _folded(reader, kept["in"]))[kept["out"]].any():
        settings["use_bias"] = True
        arrays["bias"] = _like_kernel(reader.role.bias + sums, arrays["kernel"], call.layer)
    if reader is not None:
        _silence(analysis.spare[call.outputs[0]], arrays, kind.axes)
    for name, axes in kind.axes.items():
        for side, axis in axes.items() if name in arrays else ():
            arrays[name] = np.compress(kept[side], arrays[name], axis)
    return Smaller(settings, arrays)


def _silence(spare: np.ndarray, arrays: dict[str, np.ndarray], axes: kinds.Axes) -> None:
    """Make units 0 that nobody reads: without what goes they might overflow, and infinity times 0 is NaN."""
    for name, array in arrays.items():
        np.moveaxis(array, axes[name]["out"], 0)[spare] = 0


def _size(setting: str, call: Call, count: int) -> Any:
    if setting != "target_shape":
        return count
    return (*(-1 if length is None else length for length in call.outputs[0].shape[1:-1]), count)


def _folded(reader: Reader, kept: np.ndarray) -> np.ndarray:
    """What the channels that go have added to each unit."""
    return roles.sums(reader.role, np.where(kept, 0, reader.constants))


def _like_kernel(bias: np.ndarray, kernel: np.ndarray, layer: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        cast = bias.astype(kernel.dtype)
    if not np.isfinite(cast).all():
        raise ExportError(
            f"Layer {layer.name!r} would get a bias too large for {kernel.dtype}: take a wider `dtype` for it."
        )
    return cast
