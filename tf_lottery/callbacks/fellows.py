"""What else is given to a `fit` that finds tickets, and does not go with it."""

import warnings
from collections.abc import Sequence
from typing import Any

from tf_lottery.errors import ConfigError

_OF_ONE_TRAINING = ("EarlyStopping", "LearningRateScheduler", "ReduceLROnPlateau")


def check(callbacks: Sequence[Any]) -> None:
    """Warns of callbacks that take all levels for one training.

    Raises:
        ConfigError: there is a BackupAndRestore, which would count the epochs of levels that are trained again as done.
    """
    names = [type(callback).__name__ for callback in callbacks]
    if "BackupAndRestore" in names:
        raise ConfigError(
            "BackupAndRestore cannot restore the levels of a LotteryTicket: the result would be another one. Take it "
            "out and use LotteryTicket(directory=…): the same script run again goes on from there."
        )
    if outer := [name for name in names if name in _OF_ONE_TRAINING]:
        warnings.warn(
            f"{', '.join(outer)} in `fit` acts on all levels as if they were one training. For a life of one level "
            "each, give it to LotteryTicket(callbacks=[…]).",
            stacklevel=2,
        )


def check_epochs(epochs: int, needed: int) -> None:
    """Warns of a `fit` that will end too early."""
    if epochs < needed:
        warnings.warn(
            f"`fit` ends before the last level is done: epochs={epochs}, {needed} are needed. "
            "`epochs=tickets.total_epochs` has room for all levels.",
            stacklevel=2,
        )
