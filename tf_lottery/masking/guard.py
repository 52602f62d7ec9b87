"""Actions that run before the methods of one model: masks are applied before a model is used or saved."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from tf_lottery.keras_compat import Model

USES = ("fit", "evaluate", "predict", "save", "save_weights", "export")


def call_before(model: Model, methods: Iterable[str], action: Callable[..., None]) -> None:
    """Make methods of `model` call `action(model, …)` first, with the arguments that they got.

    Keras has no event for this that a layer could listen to, and the class of a user's model may not be changed, so
    this model object gets methods of its own. Methods that it does not have, and those that call the action already,
    are left as they are.

    Args:
        model: Any model.
        methods: Names of methods.
        action: The function to call.
    """
    for name in methods:
        method = getattr(model, name, None)
        if method is not None and action not in getattr(method, "actions", ()):
            setattr(model, name, _guarded(model, method, action))


def release(model: Model) -> None:
    """Remove all actions of `model`: it has the methods of its class again."""
    for name in USES:
        if hasattr(getattr(model, name, None), "actions"):
            delattr(model, name)


def _guarded(model: Model, method: Callable[..., Any], action: Callable[..., None]) -> Callable[..., Any]:
    @functools.wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        action(model, *args, **kwargs)
        return method(*args, **kwargs)

    result: Any = guarded
    result.__signature__ = inspect.signature(method)  # `wraps` copies the one of legacy Keras, which contains `self`
    result.actions = (*getattr(method, "actions", ()), action)
    return result
