"""Findings of compaction for users: how many units each layer has, how many of them stay, and why no more go."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tf_lottery.export.compaction.graph_analysis import Analysis
from tf_lottery.export.compaction.roles import Mixing, Opaque, Passing, Role, channel_count
from tf_lottery.keras_compat import Call, Tensor


@dataclass(frozen=True)
class Finding:
    """The effect of compaction on a layer.

    Attributes:
        units: The number of units (filters, channels) that the layer has.
        kept: The number of units that stay.
        why: Why idle units stay, which are those with one value and those that nothing reads; for a layer that
            compaction does not know, why all units stay. None if there is nothing to explain.
    """

    units: int
    kept: int
    why: str | None


def findings(analysis: Analysis, names: Mapping[int, str]) -> dict[str, Finding]:
    """Return a finding for each layer of a graph that has units of its own.

    Args:
        analysis: The analysis of the graph.
        names: The names of layers by their id. Layers without a name are left out.

    Returns:
        Findings by the name of the layer.
    """
    demanded = _demanded(analysis)
    found: dict[str, Finding] = {}
    for call, role in analysis.calls:
        if (units := _units(call, role)) is not None and id(call.layer) in names:
            kept = int(analysis.kept(call.outputs[0]).sum()) if channel_count(call.outputs[0]) else units
            found.setdefault(names[id(call.layer)], Finding(units, kept, _why(call, role, analysis, demanded)))
    return found


def _units(call: Call, role: Role) -> int | None:
    """Return how many units a layer has of its own, which it has if it mixes channels or convolves each by itself."""
    if isinstance(role, Mixing) or (isinstance(role, Passing) and hasattr(call.layer, "depth_multiplier")):
        return channel_count(call.outputs[0])
    units = next((getattr(call.layer, name) for name in ("units", "filters") if hasattr(call.layer, name)), None)
    return units if isinstance(units, int) else None


def _why(call: Call, role: Role, analysis: Analysis, demanded: Mapping[Tensor, np.ndarray]) -> str | None:
    if isinstance(role, Opaque):
        return f"all stay: it {role.why_all_stay}"
    tensor = call.outputs[0]
    idle = ~np.isnan(analysis.constants[tensor]) | ~demanded[tensor]
    reasons = Counter(analysis.reasons[tensor][idle & analysis.kept(tensor)])
    parts = [f"{count} idle unit{' stays' if count == 1 else 's stay'}: {why}" for why, count in reasons.items()]
    return "; ".join(parts) or None


def _demanded(analysis: Analysis) -> dict[Tensor, np.ndarray]:
    """Return for each tensor which channels something reads directly, whatever they are bound to."""
    readers = {id(reader.layer): reader for reader in analysis.readers}
    demanded = {tensor: np.zeros(len(reasons), bool) for tensor, reasons in analysis.reasons.items()}
    for tensor in analysis.outputs:
        demanded[tensor][:] = True
    for call, role in reversed(analysis.calls):
        for place, tensor in enumerate(call.inputs):
            if isinstance(role, Opaque):
                demanded[tensor][:] = True
            elif isinstance(role, Passing):
                source, target = role.links[place]
                np.logical_or.at(demanded[tensor], source, demanded[call.outputs[0]][target])
            else:
                reads = readers[id(call.layer)].role.reads
                demanded[tensor] |= reads[:, analysis.kept(call.outputs[0])].any(1)
    return demanded
