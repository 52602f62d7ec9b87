"""Channels that have one value, whatever the model gets: units without weights, and what becomes of them."""

import numpy as np

from tf_lottery.export.compaction import activations, channels
from tf_lottery.export.compaction.roles import Mixing, Role, needed, sums
from tf_lottery.keras_compat import Call, Tensor


def constants_of(calls: list[tuple[Call, Role]]) -> dict[Tensor, np.ndarray]:
    """For each tensor the values of its channels, in float64; NaN where a channel has more than one value."""
    constants: dict[Tensor, np.ndarray] = {}
    for call, role in calls:
        given = [constants[tensor] for tensor in call.inputs]
        for tensor in call.outputs:
            constants[tensor] = np.full(channels.count(tensor) or 0, np.nan)
        if role.whole is None:
            constants[call.outputs[0]] = _of_units(role, *given) if isinstance(role, Mixing) else role.constants(given)
    return constants


def _of_units(role: Mixing, constants: np.ndarray) -> np.ndarray:
    varies = needed(role, constants).any(0)
    return activations.of_constants(role.activation, np.where(varies, np.nan, sums(role, constants) + role.bias))
