"""Which channels of a graph of layers matter.

Channels that are bound to each other (a unit and its BatchNorm, what is added up, the input and the output of a
depthwise convolution) form a group, which goes or stays as a whole. A group stays if something needs one of its
channels: the model's outputs, a layer that is not known here, or a unit that stays itself and has weights other than 0
from a channel that no bias can stand for.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_lottery import keras_compat
from tf_lottery.export.compaction import kinds
from tf_lottery.export.compaction.channels import Channels
from tf_lottery.export.compaction.constants import constants_of
from tf_lottery.export.compaction.readers import Reader, readers_of
from tf_lottery.export.compaction.roles import Opaque, Passing, Role
from tf_lottery.keras_compat import Call, Tensor

SPARE = "every layer keeps at least one"


@dataclass(frozen=True)
class Analysis:
    """What is known of a graph of layers.

    Attributes:
        calls: All calls, with their roles.
        outputs: What it returns.
        readers: The layers that mix channels.
        constants: For each tensor the values of its channels; NaN where a channel has more than one.
        reasons: For each tensor why its channels stay; None where they do not.
        spare: For each tensor which channels stay only because some must: nothing reads them.
    """

    calls: list[tuple[Call, Role]]
    outputs: list[Tensor]
    readers: list[Reader]
    constants: dict[Tensor, np.ndarray]
    reasons: dict[Tensor, np.ndarray]
    spare: dict[Tensor, np.ndarray]

    def kept(self, tensor: Tensor) -> np.ndarray:
        """Of shape (channels,): which channels of `tensor` stay."""
        return np.array([reason is not None for reason in self.reasons[tensor]], bool)


def analyse(graph: Any, names: Mapping[int, str], fixed: Collection[int] = ()) -> Analysis:
    """What is known of a graph of layers.

    Args:
        graph: A Sequential or functional model; models inside it are left whole.
        names: Of its layers, by their id.
        fixed: Ids of layers that have to stay as they are.
    """
    calls = [(call, _role(call, fixed)) for call in keras_compat.calls(graph)]
    constants = constants_of(calls)
    readers = readers_of(calls, constants, names)
    groups = _groups(calls)
    reasons = Reasons(groups)
    outputs = keras_compat.output_tensors(graph)
    for tensor in outputs:
        reasons.add(groups[tensor], "the model returns them")
    for call, role in calls:
        if role.whole is not None:
            name = names.get(id(call.layer), call.layer.name)
            for tensor in (call.inputs if isinstance(role, Opaque) else ()) + call.outputs:
                reasons.add(groups[tensor], f"{name!r} {role.whole}")
    reasons.spread(readers)
    by_tensor = {tensor: reasons.by_group[group] for tensor, group in groups.items()}
    spare = {tensor: reasons.is_spare[group] for tensor, group in groups.items()}
    return Analysis(calls, outputs, readers, constants, by_tensor, spare)


def _role(call: Call, fixed: Collection[int]) -> Role:
    return Opaque("is called in more than one of the models inside") if id(call.layer) in fixed else kinds.role(call)


def _groups(calls: list[tuple[Call, Role]]) -> dict[Tensor, np.ndarray]:
    """For each tensor the groups that its channels are in."""
    channels = Channels(tensor for call, _ in calls for tensor in call.outputs)
    first: dict[int, Call] = {}
    for call, role in calls:
        if isinstance(role, Passing):
            for tensor, (inside, outside) in zip(call.inputs, role.links, strict=True):
                channels.bind(channels.numbers(tensor)[inside], channels.numbers(call.outputs[0])[outside])
        other = first.setdefault(id(call.layer), call)
        if other is not call and kinds.has_sizes(call.layer):
            pairs = zip(call.inputs + call.outputs, other.inputs + other.outputs, strict=False)
            for numbers, others in (map(channels.numbers, pair) for pair in pairs):
                if len(numbers) == len(others):  # else the layer is not known here: none of them goes
                    channels.bind(numbers, others)
    return channels.groups()


class Reasons:
    """Why groups stay.

    Attributes:
        by_group: By the number of a group; None where there is no reason.
        is_spare: Likewise: whether nothing reads a group that stays because something must.
    """

    def __init__(self, groups: Mapping[Tensor, np.ndarray]):
        self._groups = groups
        self.by_group = np.full(1 + max((group.max(initial=0) for group in groups.values()), default=0), None, object)
        self._stays = np.zeros(self.by_group.shape, bool)
        self.is_spare = np.zeros(self.by_group.shape, bool)

    def add(self, groups: np.ndarray, reason: str) -> None:
        new = groups[~self._stays[groups]]
        self.by_group[new], self._stays[new] = reason, True

    def spread(self, readers: list[Reader]) -> None:
        """Have everything stay that is needed by what stays; and of every layer at least one unit."""
        while True:
            self._spread_needs(readers)
            spare, missing = self._spare(readers)
            if missing is None:
                break
            self.add(missing, SPARE)
        self.add(np.flatnonzero(spare), SPARE)  # not before: what nobody reads needs nothing
        self.is_spare = spare

    def _spread_needs(self, readers: list[Reader]) -> None:
        before = np.intp(-1)
        while before != (before := np.count_nonzero(self._stays)):
            for reader in readers:
                needed = reader.needs[:, self._stays[self._groups[reader.unit_tensor]]].any(1)
                for reason, channels in reader.reasons.items():
                    self.add(self._groups[reader.channel_tensor][needed & channels], reason)

    def _spare(self, readers: list[Reader]) -> tuple[np.ndarray, np.ndarray | None]:
        """For each layer of which nothing stays a unit that nobody reads; and a unit of a layer that has none."""
        read, spare = np.zeros(self._stays.shape, bool), np.zeros(self._stays.shape, bool)
        for reader in readers:
            staying = self._stays[self._groups[reader.unit_tensor]]
            read[self._groups[reader.channel_tensor][reader.reads[:, staying].any(1)]] = True
        for reader in readers:
            units = self._groups[reader.unit_tensor]
            if not (self._stays | spare)[units].any():
                if read[units].all():
                    return spare, units[:1]
                spare[units[~read[units]][0]] = True
        return spare, None
