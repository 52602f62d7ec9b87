"""`fit` and its callbacks, where Keras 3 and legacy Keras differ."""

import inspect
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from tf_lottery import escapes
from tf_lottery.keras_compat.backend import LEGACY, Callback, Layer, Model, keras
from tf_lottery.keras_compat.graph import all_layers

_LIBRARIES = ("tf_lottery", "keras", "tf_keras")  # whose frames lie between the user's code and a callback


def steps_per_execution(model: Model) -> int:
    """Return how many batches a compiled model trains between two calls of `on_train_batch_end`."""
    return int(model._steps_per_execution.numpy()) if LEGACY else model.steps_per_execution


def retrace_training(model: Model) -> None:
    """Make the running `fit` trace its training step again."""
    model.make_train_function(force=True)


def forget_traces(model: Model) -> None:
    """Make `fit`, `evaluate` and `predict` trace their steps again: a trace keeps the constraints it was made with."""
    model.train_function = model.test_function = model.predict_function = None


def callbacks_of_fit(callback: Callback) -> list[Callback]:
    """Return all callbacks of the `fit` that is calling an event of `callback` now, itself included.

    Keras does not tell a callback about the others, but the CallbackList that calls them is on the stack.
    """
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self") if frame.f_code.co_name.startswith("on_") else None
        if isinstance(caller, keras.callbacks.CallbackList) and any(one is callback for one in caller.callbacks):
            return list(caller.callbacks)
        frame = frame.f_back
    return [callback]


def warn(message: str) -> None:
    """Warn from inside `fit`, at the line of the user's code that called it."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _LIBRARIES:
        frame, level = frame.f_back, level + 1
    warnings.warn(escapes.shown(message), stacklevel=level)


def restored_epoch(callback: Callback) -> int | None:
    """Return the epoch whose weights an EarlyStopping has restored at the end of training.

    Returns:
        The epoch, counted from 0. None if `callback` is no EarlyStopping or has restored nothing.
    """
    if not isinstance(callback, keras.callbacks.EarlyStopping) or not callback.restore_best_weights:
        return None
    return None if callback.best_weights is None else callback.best_epoch


def implements(callback: Callback, events: Iterable[str]) -> bool:
    """Return whether `callback` has a method of its own for one of `events`."""
    return any(
        event in vars(callback) or getattr(type(callback), event) is not getattr(keras.callbacks.Callback, event)
        for event in events
    )


def swapping_callbacks(callbacks: Sequence[Any]) -> list[Callback]:
    """Return the SwapEMAWeights among `callbacks`, which put the averages of weights (`use_ema`) into the model."""
    kind = getattr(keras.callbacks, "SwapEMAWeights", ())  # Keras 3 only
    return [callback for callback in callbacks if isinstance(callback, kind)]


def swap_averages_in(swapping: Sequence[Callback]) -> None:
    """Put the averages into the model, if they are not in it yet."""
    for callback in swapping:
        callback.on_test_begin()


def swap_averages_out(swapping: Sequence[Callback]) -> None:
    """Put the weights back into the model, if the averages are in it."""
    for callback in swapping:
        callback.on_test_end()


def averages_are_in_model(swapping: Sequence[Callback]) -> bool:
    """Return whether one of these SwapEMAWeights has put the averages into the model and not yet taken them out."""
    return any(callback._ema_weights_in_model for callback in swapping)


def compile_config(model: Model) -> dict[str, Any] | None:
    """Return what `compile_from_config` takes to compile a model like this one; None if it has no config."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model.get_compile_config()
    except Exception:  # whatever a loss, metric or optimizer of the user raises
        return None


def trainable_flags(model: Model) -> list[tuple[Layer, bool]]:
    """Return `model` and all layers inside it, parents first, each with its `trainable`."""
    return [(layer, layer.trainable) for layer in all_layers(model)]


def set_trainable(flags: Sequence[tuple[Layer, bool]]) -> bool:
    """Set `trainable` of layers back; return whether one of them was different."""
    is_changed = any(layer.trainable != flag for layer, flag in flags)
    if is_changed:
        for layer, flag in flags:  # setting it for a layer sets it for the layers inside, which come later
            layer.trainable = flag
    return is_changed
