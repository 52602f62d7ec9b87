"""How long a training runs by itself, and what happens when it comes up for air."""

from tf_lottery.training.progress import Progress

_SECONDS = 0.5
_GROWTH = 8
_ANY = 2**31


class Pauses:
    """Called between the executions of a training, at steps that change none of its results; this one does nothing."""

    def most_steps(self, step: int) -> int:
        """Return how many steps to train, at most, from `step` to the next pause."""
        return _ANY

    def on_pause(self, progress: Progress) -> None:
        """Called with the training up to `progress.step` done; whatever it raises ends the training."""


NO_PAUSES = Pauses()


class Pace:
    """How many steps an execution takes: at most so many, and about half a second's worth where steps are slow.

    So a training can be stopped soon. Where executions end changes no result.
    """

    def __init__(self, most_steps: int) -> None:
        self._most_steps = most_steps
        self.steps = 1  # the first execution is traced, which takes its time

    def took(self, steps: int, seconds: float) -> None:
        """Learn from an execution."""
        in_time = int(steps * _SECONDS / max(seconds, 1e-6))
        self.steps = max(1, min(in_time, _GROWTH * self.steps, self._most_steps))
