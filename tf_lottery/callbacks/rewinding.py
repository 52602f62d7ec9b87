"""The three ways to begin a level: with the weights of step k, with its learning rate, or with neither.

Each brings a model from the end of one level to the start of the next and returns the weights it starts with. The names
and what they keep are those of Renda, Frankle, Carbin 2020 (arXiv 2003.02389): weight rewinding, learning rate
rewinding, fine-tuning.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tf_lottery.core.masks import Arrays
from tf_lottery.masking import state
from tf_lottery.masking.state import State


@dataclass(frozen=True)
class Start:
    """What a level can start from.

    Attributes:
        masks: Its masks.
        rewind: The full state at step k of level 0.
        final: The weights at the end of the level before.
        optimizer: The optimizer's state then; only for the mode `"none"`.
        reset_optimizer: Whether slots start afresh although they could be rewound.
    """

    masks: Arrays
    rewind: State
    final: Arrays
    optimizer: Arrays
    reset_optimizer: bool


def weights(model: Any, optimizer: Any, start: Start) -> Arrays:
    """Everything goes back to step k (Frankle et al. 2019)."""
    if not start.reset_optimizer:
        return state.restore(start.rewind, model, optimizer, start.masks)
    written = state.set_weights(start.rewind["weights"], model, start.masks)
    _renew(model, optimizer, start)
    return written


def learning_rate(model: Any, optimizer: Any, start: Start) -> Arrays:
    """Weights stay; step counter and learning rate go back to step k, the optimizer's slots start afresh."""
    written = state.set_weights(start.final, model, start.masks)
    _renew(model, optimizer, start)
    return written


def none(model: Any, optimizer: Any, start: Start) -> Arrays:
    """Everything stays; the caller holds the learning rate."""
    return state.restore({"weights": start.final, "optimizer": start.optimizer}, model, optimizer, start.masks)


REWINDS: dict[str, Callable[[Any, Any, Start], Arrays]] = {
    "weights": weights,
    "learning_rate": learning_rate,
    "none": none,
}


def _renew(model: Any, optimizer: Any, start: Start) -> None:
    state.restore_optimizer(state.new_optimizer_state(model, optimizer, start.rewind["optimizer"]), optimizer)
