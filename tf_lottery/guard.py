"""What has to happen before a model is used, hung before its own methods."""

import functools
from collections.abc import Callable
from typing import Any

USES = ("fit", "evaluate", "predict", "save", "save_weights", "export")


def before_use(model: Any, action: Callable[[Any], None]) -> None:
    """From now on the methods of `model` in `USES` call `action(model)` first.

    Keras has no event for this that a layer could listen to, and the class of a user's model is not ours to change: so
    the instance gets methods of its own. Does nothing if it has them.
    """
    for name in USES:
        method = getattr(model, name, None)
        if method is not None and not hasattr(method, "unguarded"):
            setattr(model, name, _guarded(model, method, action))


def release(model: Any) -> None:
    """Gives `model` the methods of its class back."""
    for name in USES:
        if hasattr(getattr(model, name, None), "unguarded"):
            delattr(model, name)


def _guarded(model: Any, method: Callable[..., Any], action: Callable[[Any], None]) -> Callable[..., Any]:
    @functools.wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        action(model)
        return method(*args, **kwargs)

    guarded.unguarded = method
    return guarded
