"""The lengths of an experiment in optimizer steps, which depend on how many training examples there are."""

import math
from dataclasses import dataclass
from fractions import Fraction

from tf_lottery.core import steps
from tf_lottery.errors import ConfigError
from tf_lottery.experiment.config import Experiment

EVERY = "every "
_MOST_DROPS = 10_000


@dataclass(frozen=True)
class Lengths:
    """The lengths of an experiment in optimizer steps."""

    total: int
    rewind: int
    evaluate_every: int
    drops: tuple[int, ...]
    warmup: int


def lengths(config: Experiment, examples: int) -> Lengths:
    """Convert lengths such as `"2ep"` to steps.

    Args:
        config: The experiment.
        examples: The number of training examples.

    Raises:
        ConfigError: a length cannot be read, or the rewind step is after the end of training.
    """
    epoch = Fraction(examples, config.train.batch_size)
    if config.train.batch_size > examples:
        raise ConfigError(
            f"`train.batch_size` must be at most the number of training examples, {examples}. "
            f"Received: {config.train.batch_size}"
        )
    total = steps.to_steps(config.train.steps, epoch)
    rewind = steps.to_steps(config.prune.rewind_to, epoch)
    if rewind > total:
        raise ConfigError(
            f"`prune.rewind_to` must not lie after the end of training. Received: {config.prune.rewind_to} "
            f"(step {rewind}), train.steps={config.train.steps} (step {total})"
        )
    if total >= 2**31:
        raise ConfigError(f"`train.steps` must be fewer than 2^31 steps. Received: {config.train.steps} (step {total})")
    return Lengths(
        total=total,
        rewind=rewind,
        evaluate_every=steps.to_steps(config.train.evaluate_every, epoch),
        drops=tuple(step for drop in config.train.drops for step in drop_steps(drop, epoch, total)),
        warmup=steps.to_steps(config.train.warmup, epoch),
    )


def drop_steps(drop: str, epoch: Fraction | int, total: int) -> list[int]:
    """Return the steps of a drop such as `"20000it"`, or of a repeated one such as `"every 3ep"` until step `total`."""
    if not drop.startswith(EVERY):
        return [steps.to_steps(drop, epoch)]
    number, unit = steps.parse(drop.removeprefix(EVERY))
    if number < 1:
        raise ConfigError(f"A repeated drop needs at least one step between drops. Received: {drop!r}")
    length = number * (epoch if unit == "ep" else 1)
    if total > _MOST_DROPS * length:
        raise ConfigError(f"A drop can repeat up to {_MOST_DROPS} times. Received: {drop!r} in {total} steps")
    return [math.ceil(times * length) for times in range(1, math.ceil(total / length))]
