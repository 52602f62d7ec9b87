"""Lengths of training in steps and epochs, and the epochs of each level.

People write lengths as `"500it"`, `"2ep"`, or a plain number of steps. `Timetable` lays out levels in the whole epochs
that `fit` counts.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from tf_lottery.errors import ConfigError

_WRITTEN = re.compile(r"([0-9]{1,18})(it|ep|)")


def to_steps(length: int | str, steps_per_epoch: int | Fraction) -> int:
    """Return the number of optimizer steps in `length`.

    Args:
        length: `"500it"` (optimizer steps), `"2ep"` (passes over the training data), or an int (steps).
        steps_per_epoch: The number of batches in an epoch. It is a fraction if batches continue across the border of
            two epochs.

    Returns:
        The number of steps after which `length` is complete (rounded up).

    Raises:
        ConfigError: `length` is negative or not written in one of these ways.

    >>> to_steps("2ep", Fraction(703125, 1000))
    1407
    """
    if isinstance(length, int) and not isinstance(length, bool) and length >= 0:
        return length
    number, unit = parse(length)
    return math.ceil(number * steps_per_epoch) if unit == "ep" else number


def parse(length: int | str) -> tuple[int, str]:
    """Split a length such as `"2ep"` into its number and its unit: `"ep"`, `"it"` or `""`.

    Raises:
        ConfigError: `length` is not written like that.
    """
    written = _WRITTEN.fullmatch(length) if isinstance(length, str) else None
    if written is None:
        raise ConfigError(
            'A training length is written "500it" (optimizer steps), "2ep" (epochs), or as a number of steps. '
            f"Received: {length!r}"
        )
    return int(written[1]), written[2]


@dataclass(frozen=True)
class Timetable:
    """The levels of an experiment in whole epochs, as `fit` counts them.

    Level 0 trains all epochs. The other levels begin in the middle of the epoch that contains the rewind step k: their
    first epoch has only the remaining steps of it, so that after it, epochs and steps of every level are those of
    level 0.

    Attributes:
        steps_per_epoch: The number of batches in an epoch.
        epochs: The number of epochs of level 0.
        rewind: The rewind step k.
    """

    steps_per_epoch: int
    epochs: int
    rewind: int

    @classmethod
    def plan(cls, steps_per_epoch: int, epochs: int, rewind_to: int | str, steps_per_execution: int) -> "Timetable":
        """Check the settings and return the timetable.

        Args:
            steps_per_epoch: The number of batches in an epoch.
            epochs: The number of epochs of level 0.
            rewind_to: The rewind step k; see `to_steps`.
            steps_per_execution: The setting of that name in `compile`.

        Raises:
            ConfigError: step k is not before the end of a level; or step k, or the end of its epoch, is in the middle
                of an execution of several steps.
        """
        table = cls(steps_per_epoch, epochs, to_steps(rewind_to, steps_per_epoch))
        if table.rewind >= epochs * steps_per_epoch:
            raise ConfigError(
                f"`rewind_to` must lie before the end of a level ({epochs} epochs of {steps_per_epoch} steps = "
                f"{epochs * steps_per_epoch} steps). Received: rewind_to={rewind_to!r}, which is step {table.rewind}"
            )
        for position in (table.rewind % steps_per_epoch, table.first_length):
            if position % steps_per_execution and position != steps_per_epoch:
                raise ConfigError(
                    f"`steps_per_execution={steps_per_execution}` runs past step k: `rewind_to={rewind_to!r}` is "
                    f"batch {table.rewind % steps_per_epoch} of an epoch of {steps_per_epoch}. It must divide that and "
                    "what is left of the epoch."
                )
        return table

    @property
    def first_epoch(self) -> int:
        """The epoch that contains step k, in which the levels after level 0 begin."""
        return self.rewind // self.steps_per_epoch

    @property
    def first_length(self) -> int:
        """The number of steps in the first epoch of the levels after level 0."""
        return self.steps_per_epoch - self.rewind % self.steps_per_epoch

    def epochs_of(self, level: int, continues_epochs: bool = False) -> range:
        """Return the epochs of a level.

        Args:
            level: The level.
            continues_epochs: Whether the first epoch follows the last one of the previous level. Defaults to False:
                epochs have the numbers of level 0.
        """
        length = self.epochs - self.first_epoch
        offset = (level - 1) * length + self.epochs - self.first_epoch if continues_epochs and level else 0
        return range(self.first_epoch + offset, self.epochs + offset) if level else range(self.epochs)
