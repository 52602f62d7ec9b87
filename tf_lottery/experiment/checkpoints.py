"""Checkpoints of a training run: how often they are saved, and how training resumes from them."""

import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from tf_lottery.errors import ConfigError, DamageError, ModelError, StoppedError, TicketError
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.masking.ticket import Ticket
from tf_lottery.training.progress import Pauses, Progress, with_progress

_WRITTEN = re.compile(r"([0-9]{1,9})(it|min)")


@dataclass(frozen=True)
class CheckpointInterval:
    """The interval at which checkpoints are saved. It does not change results.

    Attributes:
        steps: Save at every multiple of this number of optimizer steps. Defaults to 0: not by steps.
        seconds: Save when this many seconds have passed since the last one. Defaults to infinity: not by time.
    """

    steps: int = 0
    seconds: float = float("inf")

    @classmethod
    def parse(cls, every: str) -> "CheckpointInterval":
        """Read an interval such as `"500it"` (optimizer steps) or `"10min"` (minutes).

        Raises:
            ConfigError: the interval is not written like this, or is 0.
        """
        written = _WRITTEN.fullmatch(every) if isinstance(every, str) else None
        if written is None or not int(written[1]):
            raise ConfigError(
                '`checkpoint_every` must be an interval such as "500it" (optimizer steps) or "10min" (minutes). '
                f"Received: {every!r}"
            )
        number = int(written[1])
        return cls(steps=number) if written[2] == "it" else cls(seconds=60.0 * number)


NEVER = CheckpointInterval()
EVERY_TEN_MINUTES = CheckpointInterval(seconds=600.0)


@dataclass(frozen=True)
class Hooks:
    """The requests of the process that surrounds a training run, and the functions that keep it informed.

    Attributes:
        interval: How often to save a checkpoint.
        stop_requested: A function that returns whether to save a checkpoint now and stop.
        on_steps: Called with the number of steps since the last call. The first call after resuming counts the steps
            before the checkpoint.
        on_accuracy: Called with each accuracy on the validation set, 0-1.
        on_note: Called with messages for the user.
        writes: Whether this process writes to the run directory.
    """

    interval: CheckpointInterval = NEVER
    stop_requested: Callable[[], bool] = lambda: False
    on_steps: Callable[[int], None] = lambda steps: None
    on_accuracy: Callable[[float], None] = lambda accuracy: None
    on_note: Callable[[str], None] = lambda note: None
    writes: bool = True


NO_HOOKS = Hooks()


class Checkpointer(Pauses):
    """Save checkpoints of one training run, and stop it on request.

    Args:
        run: The run directory, where the checkpoints are saved.
        unit: The unit that is trained.
        trainer: The trainer of the unit.
        hooks: The requests of the surrounding process, and the functions that keep it informed.
        from_step: The step at which the training run starts.
        snapshots_at: Rewind steps, at which later units start.
    """

    def __init__(
        self,
        run: Run,
        unit: Unit,
        trainer: Any,
        hooks: Hooks,
        *,
        from_step: int,
        snapshots_at: Collection[int] = (),
    ):
        self._run, self._unit, self._trainer, self._hooks = run, unit, trainer, hooks
        self._snapshots_at = snapshots_at
        self._reported, self._saved_at = from_step, time.monotonic()
        self._seconds_before, self._started = 0.0, self._saved_at

    def resume(self) -> Progress | None:
        """Restore model and optimizer from the newest intact checkpoint.

        Returns:
            The progress at that checkpoint, or None if there is none.
        """
        shapes = self._trainer.shapes(self._snapshots_at)
        for step in self._run.checkpoint_steps(self._unit):
            try:
                progress = self._trainer.resume(self._run.checkpoint(self._unit, step, shapes))
                self._check_snapshots(progress)
            except (DamageError, TicketError, ModelError) as error:
                self._hooks.on_note(
                    f"{self._run.checkpoint_path(self._unit, step)} cannot be used and is removed ({_reason(error)}): "
                    "training resumes from the checkpoint before it, or starts again."
                )
                if self._hooks.writes:
                    self._run.remove_checkpoint(self._unit, step)
                continue
            self._seconds_before = progress.seconds
            self._report(progress)
            return progress
        return None

    @property
    def seconds(self) -> float:
        """Return how long training has taken, including earlier processes up to their last checkpoint."""
        return self._seconds_before + time.monotonic() - self._started

    def most_steps(self, step: int) -> int:
        every = self._hooks.interval.steps
        return every - step % every if every else super().most_steps(step)

    def on_pause(self, progress: Progress) -> None:
        self._report(progress)
        if progress.step < self._trainer.steps:  # after the last step, the results or the points of a line follow
            self._save(progress, lambda: self._trainer.checkpoint(progress))

    def on_point(self, progress: Progress, at_end: Ticket) -> None:
        """Save a checkpoint if one is due; called after each point of a line except the last.

        Args:
            progress: The progress, with the points measured so far.
            at_end: The checkpoint at the end of training.
        """
        self._save(progress, lambda: with_progress(at_end, progress))

    def _save(self, progress: Progress, checkpoint: Callable[[], Ticket]) -> None:
        """Save a checkpoint if one is due or a stop is requested; raise StoppedError in the latter case."""
        # All workers must act alike, so a request to any of them counts for all.
        asked = self._trainer.replicas.mean([self._hooks.stop_requested(), self._is_due(progress.step)])
        is_stopped, is_due = (share > 0 for share in asked)
        if not (is_stopped or is_due):
            return
        progress.seconds = self.seconds
        content = checkpoint()
        if self._hooks.writes:
            self._run.save_checkpoint(self._unit, progress.step, content)
        self._saved_at = time.monotonic()
        if is_stopped:
            place = f"{self._unit} was stopped at step {progress.step}"
            raise StoppedError(f"{place} with a checkpoint saved; the same command resumes from there.")

    def _check_snapshots(self, progress: Progress) -> None:
        """Raise TicketError if the checkpoint lacks an earlier state that a newly added variant needs."""
        passed = {step for step in self._snapshots_at if step <= progress.step}
        if missing := sorted(passed - set(progress.snapshots)):
            raise TicketError(f"it lacks the state at step {missing[0]}, which a newly added variant needs")

    def _is_due(self, step: int) -> bool:
        interval = self._hooks.interval
        by_steps = interval.steps and step % interval.steps == 0
        return bool(by_steps) or time.monotonic() - self._saved_at >= interval.seconds

    def _report(self, progress: Progress) -> None:
        self._hooks.on_steps(progress.step - self._reported)
        self._reported = progress.step
        if progress.history:
            self._hooks.on_accuracy(progress.history[-1]["validation_accuracy"])


def _reason(error: Exception) -> str:
    """Return the first sentence of an error or of its cause, without the advice that follows."""
    return str(error.__cause__ or error).partition(".")[0]
