"""The pauses of a training run: how many steps it trains in one execution, and the hook between executions."""

from tf_lottery.training.progress import Progress

_SECONDS = 0.5
_GROWTH = 8
_ANY = 2**31


class Pauses:
    """A hook that is called between executions of a training run, which changes no result; this one does nothing."""

    def most_steps(self, step: int) -> int:
        """Return the largest number of steps to train from `step` to the next pause."""
        return _ANY

    def on_pause(self, progress: Progress) -> None:
        """Called when training has reached `progress.step`; an exception that it raises ends training."""


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
