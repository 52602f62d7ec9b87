"""Checks of the other callbacks in a `fit` with one that prunes, and of the number of epochs."""

from collections.abc import Iterable, Sequence
from typing import Any

from tf_lottery import keras_compat
from tf_lottery.errors import ConfigError
from tf_lottery.keras_compat import Callback, keras

_FOR_ONE_TRAINING_RUN = ("EarlyStopping", "LearningRateScheduler", "ReduceLROnPlateau")
_COUNTING = ("EarlyStopping", "ReduceLROnPlateau")  # epochs without improvement
_PRUNERS = ("LotteryTicket", "ScheduledPruning")


def as_list(callbacks: Any) -> list[Callback]:
    """Return the callbacks of each level as a list.

    Raises:
        ConfigError: there is something that is no callback of the Keras that this process uses.
    """
    callbacks = (
        [callbacks]
        if isinstance(callbacks, keras.callbacks.Callback) or not isinstance(callbacks, Iterable)
        else callbacks
    )
    callbacks = list(callbacks)
    if others := [callback for callback in callbacks if not isinstance(callback, keras.callbacks.Callback)]:
        raise ConfigError(
            f"`callbacks` must be callbacks of {keras.__name__}, objects and not classes. "
            f"Received: {', '.join(map(_described, others))}"
        )
    return callbacks


def _described(thing: Any) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__} {thing!r}"


def check(callbacks: Sequence[Any], of_each_level: Sequence[Any], is_at_start: bool = True) -> None:
    """Warn of callbacks that see all levels as one training run, and refuse those that do not work with levels.

    Args:
        callbacks: The callbacks of `fit`.
        of_each_level: The callbacks of the LotteryTicket.
        is_at_start: Whether step k is 0. Defaults to True.

    Raises:
        ConfigError: there is another callback that prunes; or a BackupAndRestore, which would count the epochs of
            later levels as finished.
    """
    outer = _kinds(callbacks)
    everywhere = [*outer, *_kinds(of_each_level)]
    refuse_second_pruner([*callbacks, *of_each_level])
    if "BackupAndRestore" in everywhere:
        raise ConfigError(
            "BackupAndRestore cannot restore the levels of a LotteryTicket: the result would be different. Remove it "
            "and use LotteryTicket(directory=…): the same script, run again, resumes from there."
        )
    if outer_ones := [name for name in outer if name in _FOR_ONE_TRAINING_RUN]:
        keras_compat.warn(
            f"{', '.join(outer_ones)} in `fit` acts on all levels as if they were one training run. To apply it "
            "to each level by itself, pass it to LotteryTicket(callbacks=[…])."
        )
    if not is_at_start and (counting := [name for name in _kinds(of_each_level) if name in _COUNTING]):
        keras_compat.warn(
            f"{', '.join(counting)} of a LotteryTicket counts epochs without improvement anew from step k of each "
            "level, so that it may act later than in the dense run. With `rewind_to=0` it acts in the same epochs."
        )
    if best := [type(one).__name__ for one in of_each_level if getattr(one, "save_best_only", False)]:
        keras_compat.warn(
            f"{', '.join(best)}(save_best_only=True) of a LotteryTicket keeps its best value from level to level, as "
            "it does from one `fit` to the next: a level writes only what is better than all levels before it."
        )


def refuse_second_pruner(callbacks: Sequence[Any]) -> None:
    """Raise ConfigError if more than one of the callbacks prunes."""
    pruners = [name for name in _kinds(callbacks) if name in _PRUNERS]
    if len(pruners) > 1:
        raise ConfigError(f"Only one callback can prune in a `fit`. Received: {', '.join(pruners)}")


def warn_of_restored_weights(callbacks: Sequence[Any]) -> None:
    """Warn if one of the callbacks puts the weights of an earlier epoch back when `fit` ends."""
    if any(getattr(callback, "restore_best_weights", False) for callback in callbacks):
        keras_compat.warn(
            "EarlyStopping(restore_best_weights=True) brings back the weights of its best epoch, in which fewer may "
            "have been pruned: masks that are among the weights come back, too, and in other models pruned weights are "
            "not 0. Let it watch only epochs after the last pruning step (`start_from_epoch`), or leave "
            "`restore_best_weights` out."
        )


def _kinds(callbacks: Sequence[Any]) -> list[str]:
    """Return the names of the classes of the callbacks, and of their base classes."""
    return [base.__name__ for callback in callbacks for base in type(callback).__mro__]


def has_enough_epochs(epochs: int, needed: int) -> bool:
    """Return whether `fit` has enough epochs; warn if it has not."""
    if epochs < needed:
        keras_compat.warn(
            f"`fit` ends before the last level is finished: epochs={epochs}, {needed} are needed. "
            "`epochs=tickets.total_epochs` is enough for all levels."
        )
    return epochs >= needed
