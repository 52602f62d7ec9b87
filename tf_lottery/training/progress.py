"""How far a training is: with the state of model and optimizer, all that it needs to go on as if nothing had been."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tf_lottery.core.masks import Arrays
from tf_lottery.errors import TicketError
from tf_lottery.masking.ticket import Shapes, Ticket

_GROUPS = ("weights", "optimizer")
_SNAPSHOT = "snapshot "
_EARLY_STOP = "early_stop"
_REPLICAS = "replicas"


@dataclass
class Progress:
    """What a training has gathered so far.

    Attributes:
        step: Steps done, counted from the start of training. The data order needs no more than this.
        losses: Sum of the training losses since the last evaluation, a float32 number.
        counted: Of how many steps.
        history: One row an evaluation: step, train_loss, validation_loss, validation_accuracy.
        snapshots: The full states at the steps asked for, as far as it has come there.
        early_stop_loss: The lowest validation loss.
        early_stop_step: Its step; the first one of equals.
        early_stop_weights: The variables that were evaluated at that step, by name.
        line: What was measured after the last step, one row a point; see `connectivity.along`.
        seconds: Wall-clock time that it has taken, for who keeps count of it; no result depends on it.
    """

    step: int
    losses: float = 0.0
    counted: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    snapshots: dict[int, Mapping[str, Arrays]] = field(default_factory=dict)
    early_stop_loss: float = float("inf")
    early_stop_step: int = 0
    early_stop_weights: Arrays = field(default_factory=dict)
    line: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0

    @classmethod
    def start(cls, step: int) -> "Progress":
        """Of a training that begins at `step`."""
        return cls(step, early_stop_step=step)


def pack(progress: Progress, state: Mapping[str, Arrays], masks: Arrays, by_replica: Arrays) -> Ticket:
    """Return all of it in the form of a ticket, which has a file format.

    Args:
        progress: How far it is.
        state: Of model and optimizer, from `state.capture`.
        masks: Of the model.
        by_replica: What differs between replicas, one row each, by name; see `Replicas.own_values`.
    """
    groups = dict(state)
    for step, snapshot in progress.snapshots.items():
        groups |= {_snapshot(step, group): arrays for group, arrays in snapshot.items()}
    if progress.early_stop_weights:
        groups[_EARLY_STOP] = progress.early_stop_weights
    if by_replica:
        groups[_REPLICAS] = by_replica
    return Ticket(masks, groups, _numbers(progress))


def brought_up_to_date(kept: Ticket, progress: Progress) -> Ticket:
    """Return the same state, with what was measured since; the arrays stay as they were."""
    return replace(kept, metadata=_numbers(progress))


def unpack(ticket: Ticket) -> tuple[Progress, dict[str, Arrays], Arrays]:
    """What `pack` was given, but for the masks, which the ticket has.

    Raises:
        TicketError: it is no such ticket.
    """
    metadata, groups = ticket.metadata, ticket.weights
    try:
        progress = Progress(
            _whole(metadata["step"]),
            float.fromhex(metadata["losses"]),
            _whole(metadata["counted"]),
            _rows(metadata["history"]),
            {step: {group: groups[_snapshot(step, group)] for group in _GROUPS} for step in _snapshots(groups)},
            float.fromhex(metadata["early_stop_loss"]),
            _whole(metadata["early_stop_step"]),
            groups.get(_EARLY_STOP, {}),
            _rows(metadata["line"]),
            float.fromhex(metadata["seconds"]),
        )
        return progress, {group: groups[group] for group in _GROUPS}, groups.get(_REPLICAS, {})
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise TicketError(f"This is not the state of a training: {error!r}") from error


def shapes(
    state: Shapes, snapshots_at: Collection[int], masks: Mapping[str, tuple[int, ...]], replicas: int
) -> dict[str, Any]:
    """What `pack` can put into a ticket; see `ticket.unpack`.

    Args:
        state: The shapes of what `state.capture` returns.
        snapshots_at: The steps that snapshots are asked for at.
        masks: The shapes of those of the model.
        replicas: How many train.
    """
    return {
        **state,
        "masks": dict(masks),
        **{_snapshot(step, group): of_group for step in snapshots_at for group, of_group in state.items()},
        _EARLY_STOP: state["weights"],
        _REPLICAS: {name: (replicas, *shape) for name, shape in state["weights"].items()},
    }


def _snapshot(step: int, group: str) -> str:
    return f"{_SNAPSHOT}{step} {group}"


def _snapshots(groups: Mapping[str, Arrays]) -> list[int]:
    """Return the steps of the snapshots among the groups."""
    return sorted({int(name.split()[1]) for name in groups if name.startswith(_SNAPSHOT)})


def _numbers(progress: Progress) -> dict[str, Any]:
    """Return all but its arrays; floats in hexadecimal, which is exact and has a name for what is no number."""
    return {
        "step": progress.step,
        "losses": float(progress.losses).hex(),
        "counted": progress.counted,
        "history": _pairs(progress.history),
        "early_stop_loss": float(progress.early_stop_loss).hex(),
        "early_stop_step": progress.early_stop_step,
        "line": _pairs(progress.line),
        "seconds": float(progress.seconds).hex(),
    }


def _pairs(rows: Sequence[Mapping[str, float]]) -> list[list[list[str]]]:
    """As a ticket's metadata does not keep the order of names, which is that of the columns of a table."""
    return [[[name, float(value).hex()] for name, value in row.items()] for row in rows]


def _rows(pairs: Sequence[Sequence[tuple[str, str]]]) -> list[dict[str, float]]:
    return [{name: _number(name, value) for name, value in row} for row in pairs]


def _number(name: str, text: str) -> float:
    number = float.fromhex(text)
    return int(number) if name == "step" else number


def _whole(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError(f"{number!r} is no number of steps")
    return number
