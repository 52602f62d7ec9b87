"""Networks by name. A new network is one file here and one entry in `names.MODELS`.

Importing this package imports no Keras; a network's module is imported when the network is built.
"""

import importlib
from typing import Any

from tf_lottery.models import names

__all__ = ["build", "names"]


def build(name: str, input_shape: tuple[int, ...], num_classes: int) -> Any:
    """A new, built, uncompiled model that returns logits; with an auxiliary head, the list [logits, auxiliary logits].

    The last classifier is called "output", the auxiliary one "auxiliary_output", and every projection on a residual
    connection has "shortcut" in its name. No network has regularizers: the training adds weight decay.

    Args:
        name: As in `names.EXAMPLES`.
        input_shape: Shape of one example, without the batch: (rows, columns, channels) or (length, channels).
        num_classes: Length of the logits.

    Raises:
        ModelError: an unknown name, or examples that this network cannot take.
    """
    place, arguments = names.parse(name)
    module, _, function = place.partition(".")
    builder = getattr(importlib.import_module(f"tf_lottery.models.{module}"), function)
    return builder(tuple(input_shape), num_classes, **arguments)
