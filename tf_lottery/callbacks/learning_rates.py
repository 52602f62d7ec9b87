"""The learning rates with which a `fit` begins: whether they are those that the stored levels began with."""

import weakref
from collections.abc import Mapping
from typing import Any

from tf_lottery import keras_compat, rewinding
from tf_lottery.keras_compat import Optimizer

# The rates that a `fit` with a LotteryTicket left behind in an optimizer; None while `fit` runs, or if it was
# interrupted. Callbacks have changed them, not the user, so the next `fit` resumes with the stored ones.
_LEFT: "weakref.WeakKeyDictionary[Optimizer, Any]" = weakref.WeakKeyDictionary()


def begin(optimizers: Mapping[str, Optimizer]) -> None:
    """Note that a `fit` begins to train with these optimizers."""
    for optimizer in optimizers.values():
        _LEFT[optimizer] = None


def end(optimizers: Mapping[str, Optimizer]) -> None:
    """Note the rates with which a `fit` ends."""
    for path, optimizer in optimizers.items():
        _LEFT[optimizer] = rewinding.written_rates({path: optimizer})


def asked(optimizers: Mapping[str, Optimizer], stored: Any) -> dict[str, Any]:
    """Return the setting `learning_rate` that the user asks for, as an entry of the settings.

    Args:
        optimizers: The optimizers of the model.
        stored: The setting with which the stored levels began; None if there are none, or they do not tell.

    Warns:
        UserWarning: an interrupted `fit` left another rate behind, or the user has set it: nobody can tell.
    """
    now = rewinding.written_rates(optimizers)
    if stored is None or stored == now:
        return {"learning_rate": now}
    earlier = {path: optimizer for path, optimizer in optimizers.items() if optimizer in _LEFT}
    if len(earlier) < len(optimizers):
        return {"learning_rate": now}  # and the store refuses it
    if any(_LEFT[optimizer] is None for optimizer in earlier.values()):
        keras_compat.warn(
            f"The stored levels began with the learning rate {stored}, and the next one will too, not with {now}."
        )
        return {"learning_rate": stored}
    is_left = all(_LEFT[one] == rewinding.written_rates({path: one}) for path, one in earlier.items())
    return {"learning_rate": stored if is_left else now}
