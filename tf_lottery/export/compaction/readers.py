"""The layers that mix channels, and which channels their units need."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_lottery.export.compaction import roles
from tf_lottery.export.compaction.roles import Mixing, Role
from tf_lottery.keras_compat import Call, Tensor


@dataclass(frozen=True)
class Reader:
    """A layer that mixes channels; all its calls together.

    Attributes:
        layer: The layer.
        channel_tensor: What comes in, in one of the calls.
        unit_tensor: What goes out, in that call.
        role: Of that call.
        constants: Of shape (channels,): the value that a channel has in all calls; NaN where there is none.
        reads: Of shape (channels, units): weights other than 0.
        needs: Likewise: those that no bias can stand for.
        reasons: Why a channel that is needed is, for each reason the channels it is true of.
    """

    layer: Any
    channel_tensor: Tensor
    unit_tensor: Tensor
    role: Mixing
    constants: np.ndarray
    reads: np.ndarray
    needs: np.ndarray
    reasons: dict[str, np.ndarray]


def readers_of(
    calls: list[tuple[Call, Role]], constants: Mapping[Tensor, np.ndarray], names: Mapping[int, str]
) -> list[Reader]:
    """Return the layers that mix channels, in the order of their first calls.

    Args:
        calls: All calls of a graph, with their roles.
        constants: For each tensor the values of its channels; NaN where a channel has more than one.
        names: Of the layers, by their id.
    """
    by_layer: dict[int, list[tuple[Call, Mixing]]] = {}
    for call, role in calls:
        if isinstance(role, Mixing):
            by_layer.setdefault(id(call.layer), []).append((call, role))
    return [_reader(some, constants, names[layer]) for layer, some in by_layer.items()]


def _reader(calls: list[tuple[Call, Mixing]], constants: Mapping[Tensor, np.ndarray], name: str) -> Reader:
    (call, role), values = calls[0], np.stack([constants[call.inputs[0]] for call, _ in calls])
    differs = (values != values[0]).any(0)  # NaN from everything
    inside = np.stack([role.inside for _, role in calls])
    border = np.any([role.border for _, role in calls], 0) | (inside != inside[0]).any(0)
    role = dataclasses.replace(role, border=border)
    constant = np.where(differs, np.nan, values[0])
    return Reader(
        call.layer,
        call.inputs[0],
        call.outputs[0],
        role,
        constant,
        reads=(role.kernel != 0).any(0),
        needs=roles.needed(role, constant),
        reasons={
            f"{name!r} meets zeros at the border, so that no bias can stand for a constant other than 0": ~differs,
            f"{name!r} is called with different constants": differs & ~np.isnan(values).any(0),
            f"bound to what {name!r} reads": np.isnan(values).any(0),
        },
    )
