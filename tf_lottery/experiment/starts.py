"""Where a training starts: with whose weights, at which step, with which optimizer."""

import dataclasses
from dataclasses import dataclass

from tf_lottery.experiment import plan
from tf_lottery.experiment.config import Prune
from tf_lottery.experiment.storage import Unit


@dataclass(frozen=True)
class Start:
    """Where a training starts.

    Attributes:
        step: Of the learning rate and the data order.
        source: Whose weights it starts with, before a control alters them; None: those of a new network.
        group: `"rewind"`, its weights of step k, or `"final"`, those it ended with.
        keeps_optimizer: Whether the optimizer goes on as it was stored with these weights, rather than as a new one.
    """

    step: int
    source: Unit | None = None
    group: str = "rewind"
    keeps_optimizer: bool = False


def of(unit: Unit, prune: Prune, k: int) -> Start:
    """Where `unit` starts.

    Weight rewinding starts with the dense network's weights of step k; learning-rate rewinding and fine-tuning (Renda
    et al. 2020, arXiv 2003.02389) with those that the level before ended with, fine-tuning with its optimizer too.
    Controls start where weight rewinding does, with a new optimizer where they alter the weights; reinitialised ones at
    step 0.
    """
    dense = Unit(unit.replicate, 0, variant=unit.variant)
    if plan.is_dense(unit):
        return Start(0)
    if unit.control not in ("", "random_mask"):
        return Start(0 if plan.starts_at_zero(unit) else k, dense)
    if prune.rewind == "weights" or unit.control or not unit.level:
        return Start(k, dense, keeps_optimizer=not prune.reset_optimizer)
    return Start(k, dataclasses.replace(dense, level=unit.level - 1), "final", prune.rewind == "none")
