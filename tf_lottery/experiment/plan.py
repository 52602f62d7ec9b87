"""The trainings of an experiment, in the order in which they are best done, and how long they are."""

from dataclasses import dataclass
from typing import Any

from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.storage import Unit


@dataclass(frozen=True)
class Plan:
    """What was found out about an experiment.

    Attributes:
        total_steps: T.
        rewind_step: k.
        environment: Versions and device, for the record.
    """

    total_steps: int
    rewind_step: int
    environment: dict[str, Any]

    def steps(self, unit: Unit) -> int:
        """Optimizer steps that `unit` trains for."""
        starts_at_zero = unit.level == 0 or unit.control == "reinit"
        return self.total_steps - (0 if starts_at_zero else self.rewind_step)


def units(config: Experiment) -> list[Unit]:
    """All trainings, tickets first: they are what the others wait for."""
    replicates, levels = range(1, config.replicates + 1), range(config.prune.levels + 1)
    tickets = [Unit(replicate, level) for level in levels for replicate in replicates]
    pruned = [unit for unit in tickets if unit.level]
    return tickets + [Unit(unit.replicate, unit.level, control) for unit in pruned for control in config.controls]


def needs(unit: Unit) -> Unit | None:
    """The training whose result `unit` starts from: the ticket of the level before."""
    return Unit(unit.replicate, unit.level - 1) if unit.level else None
