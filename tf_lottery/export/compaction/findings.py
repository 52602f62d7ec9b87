"""What is told of layers: how many units they have, how many stay, and why no more go."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tf_lottery.export.compaction import channels
from tf_lottery.export.compaction.analysis import Analysis
from tf_lottery.export.compaction.roles import Mixing, Opaque, Passing, Role
from tf_lottery.keras_compat import Call, Tensor


@dataclass(frozen=True)
class Finding:
    """What compaction makes of a layer.

    Attributes:
        units: How many units (filters, channels) it has.
        kept: How many of them stay.
        why: Why idle units stay, those of one value and those that nothing reads; and why all stay of a layer of which
            nothing is known. None: there is nothing to tell.
    """

    units: int
    kept: int
    why: str | None


def findings(analysis: Analysis, names: Mapping[int, str]) -> dict[str, Finding]:
    """Return a finding for each layer of a graph that has units of its own, by its name in `names`."""
    demanded = _demanded(analysis)
    found: dict[str, Finding] = {}
    for call, role in analysis.calls:
        if (units := _units(call, role)) is not None and id(call.layer) in names:
            kept = int(analysis.kept(call.outputs[0]).sum()) if channels.count(call.outputs[0]) else units
            found.setdefault(names[id(call.layer)], Finding(units, kept, _why(call, role, analysis, demanded)))
    return found


def _units(call: Call, role: Role) -> int | None:
    """Return how many units a layer has of its own: it mixes channels, or convolves each."""
    if isinstance(role, Mixing) or (isinstance(role, Passing) and hasattr(call.layer, "depth_multiplier")):
        return channels.count(call.outputs[0])
    units = next((getattr(call.layer, name) for name in ("units", "filters") if hasattr(call.layer, name)), None)
    return units if isinstance(units, int) else None


def _why(call: Call, role: Role, analysis: Analysis, demanded: Mapping[Tensor, np.ndarray]) -> str | None:
    if isinstance(role, Opaque):
        return f"all stay: it {role.whole}"
    tensor = call.outputs[0]
    idle = ~np.isnan(analysis.constants[tensor]) | ~demanded[tensor]
    reasons = Counter(analysis.reasons[tensor][idle & analysis.kept(tensor)])
    told = [f"{count} idle unit{' stays' if count == 1 else 's stay'}: {why}" for why, count in reasons.items()]
    return "; ".join(told) or None


def _demanded(analysis: Analysis) -> dict[Tensor, np.ndarray]:
    """For each tensor which channels something reads, directly: what they are bound to does not count."""
    readers = {id(reader.layer): reader for reader in analysis.readers}
    demanded = {tensor: np.zeros(len(reasons), bool) for tensor, reasons in analysis.reasons.items()}
    for tensor in analysis.outputs:
        demanded[tensor][:] = True
    for call, role in reversed(analysis.calls):
        for place, tensor in enumerate(call.inputs):
            if isinstance(role, Opaque):
                demanded[tensor][:] = True
            elif isinstance(role, Passing):
                inside, outside = role.links[place]
                np.logical_or.at(demanded[tensor], inside, demanded[call.outputs[0]][outside])
            else:
                demanded[tensor] |= readers[id(call.layer)].reads[:, analysis.kept(call.outputs[0])].any(1)
    return demanded
