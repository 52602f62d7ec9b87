"""`fit` and its callbacks, where Keras 3 and legacy Keras differ in them."""

import inspect
import warnings
from typing import Any

from tf_lottery.keras_compat.backend import LEGACY, keras

_BETWEEN = ("tf_lottery", "keras", "tf_keras")  # a user and a callback


def steps_per_execution(model: Any) -> int:
    """Return how many batches the model trains in one go, between two calls of `on_train_batch_end`."""
    return int(model._steps_per_execution.numpy()) if LEGACY else model.steps_per_execution


def retrace_training(model: Any) -> None:
    """Have the running `fit` trace its training step again."""
    model.make_train_function(force=True)


def other_callbacks() -> list[Any]:
    """Return all callbacks of the `fit` that calls.

    Keras tells a callback nothing about the others, so its list is looked up on the call stack.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if isinstance(caller := frame.f_locals.get("self"), keras.callbacks.CallbackList):
            return list(caller.callbacks)
        frame = frame.f_back
    return []


def warn(message: str) -> None:
    """Warn from inside a `fit`, at the line that called it, which is the one that the user can change."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def restored_epoch(callback: Any) -> int | None:
    """Return the epoch whose weights an EarlyStopping set back at the end of training, if it did."""
    if not isinstance(callback, keras.callbacks.EarlyStopping) or not callback.restore_best_weights:
        return None
    if callback.best_weights is None or (LEGACY and not callback.stopped_epoch):  # legacy Keras: only if it stopped
        return None
    return callback.best_epoch


def forget_traces(model: Any) -> None:
    """Have `fit`, `evaluate` and `predict` traced again: a trace knows only the constraints there were."""
    model.train_function = model.test_function = model.predict_function = None
