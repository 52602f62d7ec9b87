"""What has to happen before a model is used, hung before its own methods."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

USES = ("fit", "evaluate", "predict", "save", "save_weights", "export")


def before(model: Any, methods: Iterable[str], action: Callable[..., None]) -> None:
    """From now on these methods of `model` call `action(model, …)` first, with the arguments that they got.

    Keras has no event for this that a layer could listen to, and the class of a user's model is not ours to change: so
    the instance gets methods of its own. Does nothing where the action hangs already, or the model has no such method.
    """
    for name in methods:
        method = getattr(model, name, None)
        if method is not None and action not in getattr(method, "actions", ()):
            setattr(model, name, _guarded(model, method, action))


def release(model: Any) -> None:
    """Give `model` the methods of its class back."""
    for name in USES:
        if hasattr(getattr(model, name, None), "actions"):
            delattr(model, name)


def _guarded(model: Any, method: Callable[..., Any], action: Callable[..., None]) -> Callable[..., Any]:
    @functools.wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        action(model, *args, **kwargs)
        return method(*args, **kwargs)

    hung: Any = guarded
    hung.__signature__ = inspect.signature(method)  # legacy Keras' own says `self`, and `wraps` copies it
    hung.actions = (*getattr(method, "actions", ()), action)
    return hung
