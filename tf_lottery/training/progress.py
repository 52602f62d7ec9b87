"""The progress of a training run, which checkpoints save, and the pauses at which they can be saved."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tf_lottery import schema
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import TicketError
from tf_lottery.masking.ticket import Shapes, Ticket
from tf_lottery.schema import WHOLE, Schema, list_of

_GROUPS = ("weights", "optimizer")
_SNAPSHOT = "snapshot "
_EARLY_STOP = "early_stop"
_REPLICAS = "replicas"
_SECONDS = 0.5
_GROWTH = 8
_ANY = 2**31
_HISTORY = ("step", "train_loss", "validation_loss", "validation_accuracy")
_LINE = ("share", "test_error", "test_loss")


def _is_hex(text: Any) -> bool:
    try:
        return isinstance(text, str) and float.fromhex(text) is not None
    except (ValueError, OverflowError):
        return False


def _is_row(row: Any, columns: Sequence[str]) -> bool:
    pairs = row if isinstance(row, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in row) else []
    return [name for name, _ in pairs] == [*columns] and all(_is_hex(number) for _, number in pairs)


def _rows_of(*columns: str) -> Schema:
    """Return the schema of the rows that `_pairs` returns."""
    words = f"the pairs of {', '.join(columns)} with floats in hexadecimal"
    return list_of(schema.value(words, lambda row: _is_row(row, columns)))


_FLOAT = schema.value("a float in hexadecimal", _is_hex)
_NUMBERS = schema.record(
    {
        "step": WHOLE,
        "losses": _FLOAT,
        "counted": WHOLE,
        "history": _rows_of(*_HISTORY),
        "early_stop_loss": _FLOAT,
        "early_stop_step": WHOLE,
        "line": _rows_of(*_LINE),
        "seconds": _FLOAT,
    },
    others=schema.ANYTHING,  # which name the unit
)


@dataclass
class Progress:
    """The progress of a training run.

    Attributes:
        step: Finished steps, counted from the start of training. The position in the data follows from it.
        losses: Sum of the training losses since the last evaluation, a float32 number.
        counted: Number of steps in `losses`.
        history: One row for each evaluation: step, train_loss, validation_loss, validation_accuracy.
        snapshots: The full states at the requested steps that training has reached.
        early_stop_loss: The lowest validation loss.
        early_stop_step: The step of the lowest validation loss; the first one if there are several.
        early_stop_weights: The variables that were evaluated at that step, by name.
        line: Measurements after the last step, one row for each point; see `connectivity.along`.
        seconds: Wall-clock time of training so far; no result depends on it.
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
        """Return the progress of a training run that begins at `step`."""
        return cls(step, early_stop_step=step)


def pack(progress: Progress, state: Mapping[str, Arrays], masks: Arrays, by_replica: Arrays) -> Ticket:
    """Return a checkpoint, in the form of a ticket, which has a file format.

    Args:
        progress: The progress of training.
        state: The state of model and optimizer, from `state.capture`.
        masks: The masks of the model.
        by_replica: The values that differ between replicas, one row for each, by name; see `Replicas.own_values`.
    """
    groups = dict(state)
    for step, snapshot in progress.snapshots.items():
        groups |= {_snapshot(step, group): arrays for group, arrays in snapshot.items()}
    if progress.early_stop_weights:
        groups[_EARLY_STOP] = progress.early_stop_weights
    if by_replica:
        groups[_REPLICAS] = by_replica
    return Ticket(masks, groups, _numbers(progress))


def with_progress(checkpoint: Ticket, progress: Progress) -> Ticket:
    """Return a checkpoint with the numbers of `progress` and the same arrays."""
    return replace(checkpoint, metadata=_numbers(progress))


def unpack(ticket: Ticket) -> tuple[Progress, dict[str, Arrays], Arrays]:
    """Return the progress, the state and the values by replica of a checkpoint from `pack`; `ticket` has the masks.

    Raises:
        TicketError: the ticket is not a checkpoint.
    """
    groups = ticket.weights
    try:
        metadata = schema.check(_NUMBERS, dict(ticket.metadata))
        snapshots: dict[int, Mapping[str, Arrays]]
        snapshots = {step: {name: groups[_snapshot(step, name)] for name in _GROUPS} for step in _snapshots(groups)}
        progress = Progress(
            metadata["step"],
            float.fromhex(metadata["losses"]),
            metadata["counted"],
            _rows(metadata["history"]),
            snapshots,
            float.fromhex(metadata["early_stop_loss"]),
            metadata["early_stop_step"],
            groups.get(_EARLY_STOP, {}),
            _rows(metadata["line"]),
            float.fromhex(metadata["seconds"]),
        )
        if bool(progress.history) != (_EARLY_STOP in groups):
            raise ValueError(f"the weights {_EARLY_STOP!r} belong to its evaluations")
        return progress, {group: groups[group] for group in _GROUPS}, groups.get(_REPLICAS, {})
    except KeyError as error:
        raise TicketError(f"This is not a checkpoint of a training run: it lacks the arrays {error}") from error
    except (ValueError, OverflowError) as error:
        raise TicketError(f"This is not a checkpoint of a training run: {error}") from error


def shapes(
    state: Shapes, snapshots_at: Collection[int], masks: Mapping[str, tuple[int, ...]], replicas: int
) -> dict[str, Any]:
    """Return the shapes of all arrays that a checkpoint from `pack` may hold; see `ticket.unpack`.

    Args:
        state: The shapes of the state that `state.capture` returns.
        snapshots_at: The steps of the snapshots.
        masks: The shapes of the masks.
        replicas: Number of replicas.
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
    """Return the progress without its arrays; floats in hexadecimal, which is exact and can express NaN."""
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
    """Return rows as lists of pairs, because metadata would lose the order of names, that of a table's columns."""
    return [[[name, float(value).hex()] for name, value in row.items()] for row in rows]


def _rows(pairs: Sequence[Sequence[tuple[str, str]]]) -> list[dict[str, float]]:
    return [{name: _number(name, value) for name, value in row} for row in pairs]


def _number(name: str, text: str) -> float:
    number = float.fromhex(text)
    return int(number) if name == "step" else number


class Pauses:
    """A hook that is called between executions of a training run, which changes no result; this one does nothing."""

    def most_steps(self, step: int) -> int:
        """Return the largest number of steps to train from `step` to the next pause."""
        return _ANY

    def on_pause(self, progress: Progress) -> None:
        """Handle a pause of training at `progress.step`; an exception that it raises ends training."""


NO_PAUSES = Pauses()


class Pace:
    """The number of steps in an execution: a fixed number at most, and about half a second's worth if steps are slow.

    Training can then be stopped soon. Where executions end changes no result.

    Args:
        most_steps: The largest number of steps in an execution.
    """

    def __init__(self, most_steps: int) -> None:
        self._most_steps = most_steps
        self.steps = 1  # the first execution includes tracing, which takes longer

    def took(self, steps: int, seconds: float) -> None:
        """Adjust `steps` to the duration of an execution."""
        in_time = int(steps * _SECONDS / max(seconds, 1e-6))
        self.steps = max(1, min(in_time, _GROWTH * self.steps, self._most_steps))
