"""Which channels of a graph of layers have to stay.

Channels that are bound to each other (a unit and its BatchNorm, channels that are added up, the input and the output of
a depthwise convolution) form a group, which stays or goes as a whole. A group stays if something needs one of its
channels: the outputs of the model, a layer that compaction does not know, or a unit that stays itself and has weights
other than 0 from a channel for which no bias can stand.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from tf_lottery import keras_compat
from tf_lottery.export.compaction import known_layers
from tf_lottery.export.compaction.roles import Mixing, Opaque, Passing, Role, channel_count, constants_of
from tf_lottery.keras_compat import Call, Layer, Model, Tensor

SPARE = "every layer keeps at least one"


@dataclass(frozen=True)
class Reader:
    """A layer that mixes channels, with all its calls together.

    Attributes:
        layer: The layer.
        channel_tensor: The input of one of the calls.
        unit_tensor: The output of that call.
        role: The role of that call, with the border of all calls.
        constants: The value that a channel has in all calls, NaN where there is none, shape (channels,).
        needs: Which units need which channels, because no bias can stand for them, shape (channels, units), bool.
        reasons: For each reason why a needed channel is needed, the channels that it is true of, shape (channels,),
            bool.
    """

    layer: Layer
    channel_tensor: Tensor
    unit_tensor: Tensor
    role: Mixing
    constants: np.ndarray
    needs: np.ndarray
    reasons: dict[str, np.ndarray]


@dataclass(frozen=True)
class Analysis:
    """The result of analysing a graph of layers.

    Attributes:
        calls: All calls, with their roles.
        outputs: The tensors that the graph returns.
        readers: The layers that mix channels.
        constants: For each tensor the values of its channels; NaN where a channel has more than one.
        reasons: For each tensor why its channels stay; None where they do not.
        spare: For each tensor which channels stay although nothing reads them, because every layer keeps at least one.
    """

    calls: list[tuple[Call, Role]]
    outputs: list[Tensor]
    readers: list[Reader]
    constants: dict[Tensor, np.ndarray]
    reasons: dict[Tensor, np.ndarray]
    spare: dict[Tensor, np.ndarray]

    def kept(self, tensor: Tensor) -> np.ndarray:
        """Return which channels of `tensor` stay, as a boolean array of shape (channels,)."""
        return np.array([reason is not None for reason in self.reasons[tensor]], bool)


def analyse_graph(graph: Model, names: Mapping[int, str], fixed: Collection[int] = ()) -> Analysis:
    """Find out which channels of a graph of layers have to stay.

    Args:
        graph: A Sequential or functional model. Models inside it are opaque.
        names: The names of its layers, by their id.
        fixed: Ids of layers that have to stay as they are. Defaults to none.
    """
    calls = [(call, _role(call, fixed)) for call in keras_compat.calls(graph)]
    constants = constants_of(calls)
    readers = _readers(calls, constants, names)
    groups = _groups(calls)
    reasons = _Reasons(groups)
    outputs = keras_compat.output_tensors(graph)
    for tensor in outputs:
        reasons.add(groups[tensor], "the model returns them")
    for call, role in calls:
        if role.why_all_stay is not None:
            name = names.get(id(call.layer), call.layer.name)
            for tensor in (call.inputs if isinstance(role, Opaque) else ()) + call.outputs:
                reasons.add(groups[tensor], f"{name!r} {role.why_all_stay}")
    reasons.spread(readers)
    by_tensor = {tensor: reasons.by_group[group] for tensor, group in groups.items()}
    spare = {tensor: reasons.is_spare[group] for tensor, group in groups.items()}
    return Analysis(calls, outputs, readers, constants, by_tensor, spare)


def _role(call: Call, fixed: Collection[int]) -> Role:
    if id(call.layer) in fixed:
        return Opaque("is called in more than one of the models inside")
    return known_layers.role_of(call)


def _readers(
    calls: list[tuple[Call, Role]], constants: Mapping[Tensor, np.ndarray], names: Mapping[int, str]
) -> list[Reader]:
    """Return the layers that mix channels, in the order of their first calls."""
    by_layer: dict[int, list[tuple[Call, Mixing]]] = {}
    for call, role in calls:
        if isinstance(role, Mixing):
            by_layer.setdefault(id(call.layer), []).append((call, role))
    return [_reader(some, constants, names[layer]) for layer, some in by_layer.items()]


def _reader(calls: list[tuple[Call, Mixing]], constants: Mapping[Tensor, np.ndarray], name: str) -> Reader:
    (call, role), values = calls[0], np.stack([constants[call.inputs[0]] for call, _ in calls])
    differs = (values != values[0]).any(0)  # NaN differs from everything
    inside = np.stack([role.inside for _, role in calls])
    border = np.any([role.border for _, role in calls], 0) | (inside != inside[0]).any(0)
    role = dataclasses.replace(role, border=border)
    constant = np.where(differs, np.nan, values[0])
    return Reader(
        layer=call.layer,
        channel_tensor=call.inputs[0],
        unit_tensor=call.outputs[0],
        role=role,
        constants=constant,
        needs=role.needs(constant),
        reasons={
            f"{name!r} meets zeros at the border, so that no bias can stand for a constant other than 0": ~differs,
            f"{name!r} is called with different constants": differs & ~np.isnan(values).any(0),
            f"bound to channels that {name!r} reads": np.isnan(values).any(0),
        },
    )


class _Channels:
    """Numbers for the channels of tensors, and the groups of those that are bound to each other."""

    def __init__(self, tensors: Iterable[Tensor]):
        self._start: dict[Tensor, int] = {}
        self._size = 0
        self._bonds: list[tuple[np.ndarray, np.ndarray]] = []
        for tensor in tensors:
            self._start[tensor] = self._size
            self._size += channel_count(tensor) or 0

    def bind(self, first: np.ndarray, second: np.ndarray) -> None:
        """Bind each channel of `first` to the one of `second` at the same place; both are arrays of numbers."""
        self._bonds.append((first, second))

    def numbers(self, tensor: Tensor) -> np.ndarray:
        """Return the numbers of the channels, of shape (channels,); empty where the channels are unknown."""
        return self._start[tensor] + np.arange(channel_count(tensor) or 0)

    def groups(self) -> dict[Tensor, np.ndarray]:
        """Return for each tensor the groups of its channels, of shape (channels,): the lowest number in each group."""
        lowest = np.arange(self._size)
        before = None
        while before is None or (before != lowest).any():
            before = lowest.copy()
            for first, second in self._bonds:
                np.minimum.at(lowest, first, lowest[second])
                np.minimum.at(lowest, second, lowest[first])
            lowest = lowest[lowest]
        return {tensor: lowest[self.numbers(tensor)] for tensor in self._start}


def _groups(calls: list[tuple[Call, Role]]) -> dict[Tensor, np.ndarray]:
    """Return for each tensor the groups that its channels are in."""
    channels = _Channels(tensor for call, _ in calls for tensor in call.outputs)
    first: dict[int, Call] = {}
    for call, role in calls:
        if isinstance(role, Passing):
            for tensor, (source, target) in zip(call.inputs, role.links, strict=True):
                channels.bind(channels.numbers(tensor)[source], channels.numbers(call.outputs[0])[target])
        other = first.setdefault(id(call.layer), call)
        if other is not call and known_layers.has_sizes(call.layer):
            pairs = zip(call.inputs + call.outputs, other.inputs + other.outputs, strict=False)
            for numbers, others in (map(channels.numbers, pair) for pair in pairs):
                if len(numbers) == len(others):  # otherwise the layer is opaque, and all of them stay
                    channels.bind(numbers, others)
    return channels.groups()


class _Reasons:
    """The reasons why groups stay.

    Attributes:
        by_group: The reason for each number of a group; None where there is none.
        is_spare: For each number of a group whether it stays although nothing reads it, because something must stay.
    """

    def __init__(self, groups: Mapping[Tensor, np.ndarray]):
        self._groups = groups
        self.by_group = np.full(1 + max((group.max(initial=0) for group in groups.values()), default=0), None, object)
        self._stays = np.zeros(self.by_group.shape, bool)
        self.is_spare = np.zeros(self.by_group.shape, bool)

    def add(self, groups: np.ndarray, reason: str) -> None:
        """Keep groups for a reason; groups that are kept already keep theirs."""
        new = groups[~self._stays[groups]]
        self.by_group[new], self._stays[new] = reason, True

    def spread(self, readers: list[Reader]) -> None:
        """Keep everything that a kept group needs, and at least one unit of every layer."""
        while True:
            self._spread_needs(readers)
            spare, missing = self._spare(readers)
            if missing is None:
                break
            self.add(missing, SPARE)
        self.add(np.flatnonzero(spare), SPARE)  # last, because a unit that nothing reads needs nothing
        self.is_spare = spare

    def _spread_needs(self, readers: list[Reader]) -> None:
        before = np.intp(-1)
        while before != (before := np.count_nonzero(self._stays)):
            for reader in readers:
                needed = reader.needs[:, self._stays[self._groups[reader.unit_tensor]]].any(1)
                for reason, channels in reader.reasons.items():
                    self.add(self._groups[reader.channel_tensor][needed & channels], reason)

    def _spare(self, readers: list[Reader]) -> tuple[np.ndarray, np.ndarray | None]:
        """Choose a unit for each layer that would lose all.

        Returns:
            Units that nothing reads, as a boolean array over groups; and, if all units of a layer are read, the group
            of its first unit, else None.
        """
        read, spare = np.zeros(self._stays.shape, bool), np.zeros(self._stays.shape, bool)
        for reader in readers:
            staying = self._stays[self._groups[reader.unit_tensor]]
            read[self._groups[reader.channel_tensor][reader.role.reads[:, staying].any(1)]] = True
        for reader in readers:
            units = self._groups[reader.unit_tensor]
            if not (self._stays | spare)[units].any():
                if read[units].all():
                    return spare, units[:1]
                spare[units[~read[units]][0]] = True
        return spare, None
