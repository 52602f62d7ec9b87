"""What a program can be told while an experiment goes on."""

from collections.abc import Mapping

from tf_lottery.experiment.plan import Plan
from tf_lottery.experiment.storage import Run, Unit


class Watcher:
    """Sees how an experiment goes on; this one looks away."""

    def on_plan(self, work: Mapping[Unit, int], done: list[Unit], plan: Plan) -> None:
        """Called once, before the first training, with the optimizer steps of each that is to be done."""

    def on_steps(self, unit: Unit, steps: int) -> None:
        """Called again and again, with the steps done since the last call; at first those that were kept."""

    def on_accuracy(self, unit: Unit, accuracy: float) -> None:
        """Called with the newest accuracy on the validation set, 0-1, after steps that came to one."""

    def on_done(self, run: Run, unit: Unit) -> None:
        """Called when a training is done and stored."""

    def on_note(self, note: str) -> None:
        """Called with what a person should know, in a sentence."""


NOBODY = Watcher()
