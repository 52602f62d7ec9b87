"""The state of a training under way: when it is kept, and how the training goes on from it."""

import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from tf_lottery.errors import ConfigError, DamageError, ModelError, StoppedError, TicketError
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.masking.ticket import Ticket
from tf_lottery.training.pauses import Pauses
from tf_lottery.training.progress import Progress, brought_up_to_date

_WRITTEN = re.compile(r"([0-9]{1,9})(it|min)")


@dataclass(frozen=True)
class CheckpointInterval:
    """When to keep the state of a training under way. No choice of it changes a bit of any result.

    Attributes:
        steps: At the multiples of so many optimizer steps; 0: not by steps.
        seconds: After so many seconds.
    """

    steps: int = 0
    seconds: float = float("inf")

    @classmethod
    def parse(cls, every: str) -> "CheckpointInterval":
        """From `"500it"` (optimizer steps) or `"10min"` (minutes).

        Raises:
            ConfigError: it is written otherwise, or is 0.
        """
        written = _WRITTEN.fullmatch(every) if isinstance(every, str) else None
        if written is None or not int(written[1]):
            raise ConfigError(
                f'`checkpoint_every` is written "500it" (optimizer steps) or "10min" (minutes). Received: {every!r}'
            )
        number = int(written[1])
        return cls(steps=number) if written[2] == "it" else cls(seconds=60.0 * number)


NEVER = CheckpointInterval()
EVERY_TEN_MINUTES = CheckpointInterval(seconds=600.0)


@dataclass(frozen=True)
class Checkpoints:
    """What the process around a training wants of it.

    Attributes:
        interval: When to keep its state.
        is_told_to_stop: Whether it is to keep its state now and end.
        on_steps: Called with the number of steps done since the last call; at first those done by earlier processes.
        on_accuracy: Called with the newest accuracy on the validation set, 0-1, once there is one.
        on_note: Called with what a person should know.
        stores: Whether this process is the one that writes.
    """

    interval: CheckpointInterval = NEVER
    is_told_to_stop: Callable[[], bool] = lambda: False
    on_steps: Callable[[int], None] = lambda steps: None
    on_accuracy: Callable[[float], None] = lambda accuracy: None
    on_note: Callable[[str], None] = lambda note: None
    stores: bool = True


NO_CHECKPOINTS = Checkpoints()


class Keeper(Pauses):
    """Keeps the state of one training while it goes on, and stops it when told to."""

    def __init__(
        self,
        run: Run,
        unit: Unit,
        trainer: Any,
        checkpoints: Checkpoints,
        from_step: int,
        snapshots_at: Collection[int] = (),
    ):
        self._run, self._unit, self._trainer, self._checkpoints = run, unit, trainer, checkpoints
        self._snapshots_at = snapshots_at
        self._reported, self._kept_at = from_step, time.monotonic()
        self._seconds_before, self._started = 0.0, self._kept_at

    def restored(self) -> Progress | None:
        """Set model and optimizer to the newest state that is whole; None if there is none."""
        shapes = self._trainer.shapes(self._snapshots_at)
        for step in self._run.steps(self._unit):
            try:
                progress = self._trainer.go_on(self._run.state(self._unit, step, shapes))
                self._check_snapshots(progress)
            except (DamageError, TicketError, ModelError) as error:
                self._checkpoints.on_note(
                    f"{self._run.state_path(self._unit, step)} cannot be used and is removed ({_reason(error)}): the "
                    "training goes on from the state before it, or anew."
                )
                if self._checkpoints.stores:
                    self._run.drop_state(self._unit, step)
                continue
            self._seconds_before = progress.seconds
            self._report(progress)
            return progress
        return None

    @property
    def seconds(self) -> float:
        """How long the training has taken: in this process, and in those before until they last kept its state."""
        return self._seconds_before + time.monotonic() - self._started

    def most_steps(self, step: int) -> int:
        every = self._checkpoints.interval.steps
        return every - step % every if every else super().most_steps(step)

    def on_pause(self, progress: Progress) -> None:
        self._report(progress)
        if progress.step < self._trainer.steps:  # else it will be stored in a moment, or after a line
            self._keep(progress, lambda: self._trainer.keep(progress))

    def on_point(self, progress: Progress, at_end: Ticket) -> None:
        """Called after each point of a line but the last; `at_end` is the state that the training had ended with."""
        self._keep(progress, lambda: brought_up_to_date(at_end, progress))

    def _keep(self, progress: Progress, state: Callable[[], Ticket]) -> None:
        """Keep the state if that is due; if told to stop, ends the training with it."""
        # All workers must do the same: what one of them wants is done.
        wanted = self._trainer.replicas.mean([self._checkpoints.is_told_to_stop(), self._is_due(progress.step)])
        is_stopped, is_due = (share > 0 for share in wanted)
        if not (is_stopped or is_due):
            return
        progress.seconds = self.seconds
        kept = state()
        if self._checkpoints.stores:
            self._run.save_state(self._unit, progress.step, kept)
        self._kept_at = time.monotonic()
        if is_stopped:
            place = f"{self._unit} was stopped at step {progress.step}"
            raise StoppedError(f"{place} with its state kept; the same command goes on from there.")

    def _check_snapshots(self, progress: Progress) -> None:
        """A variant that was added to a sweep may need a step that the training has passed."""
        passed = {step for step in self._snapshots_at if step <= progress.step}
        if missing := sorted(passed - set(progress.snapshots)):
            raise TicketError(f"it does not hold step {missing[0]}, which was asked for since")

    def _is_due(self, step: int) -> bool:
        interval = self._checkpoints.interval
        by_steps = interval.steps and step % interval.steps == 0
        return bool(by_steps) or time.monotonic() - self._kept_at >= interval.seconds

    def _report(self, progress: Progress) -> None:
        self._checkpoints.on_steps(progress.step - self._reported)
        self._reported = progress.step
        if progress.history:
            self._checkpoints.on_accuracy(progress.history[-1]["validation_accuracy"])


def _reason(error: Exception) -> str:
    """What was wrong, without what else to do about it."""
    return str(error.__cause__ or error).partition(".")[0]
