"""Networks by name. A new network is one file here and one entry in `names.MODELS`.

Importing this package imports no Keras; a network's module is imported when the network is built.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from tf_lottery.errors import ModelError
from tf_lottery.models import names

__all__ = ["build", "names"]


def build(name: str, input_shape: tuple[int, ...], num_classes: int) -> Any:
    """Return a new, built, uncompiled model that returns logits; with an auxiliary head, the list [logits, auxiliary logits].

    The last classifier is called "output", the auxiliary one "auxiliary_output", and every projection on a residual
    connection has "shortcut" in its name. No network has regularizers: the training adds weight decay.

    Args:
        name: As in `names.EXAMPLES`.
        input_shape: Shape of one example, without the batch: (rows, columns, channels) or (length, channels).
        num_classes: Length of the logits.

    Returns:
        A Keras model; its weights are drawn anew in each call.

    Raises:
        ModelError: an unknown name, no shape, no classes, or examples that this network cannot take.

    Source:
        The networks of Frankle, Carbin 2019 (arXiv 1803.03635) and Frankle, Dziugaite, Roy, Carbin 2019 (arXiv
        1903.01611); the file of each in `tf_lottery/models` says where its details are from.

    Examples:
        >>> import tf_lottery as tfl
        >>> tfl.models.build("lenet_300_100", (28, 28, 1), 10).count_params()
        266610
    """
    place, arguments = names.parse(name)
    sizes = (*input_shape, num_classes) if isinstance(input_shape, Sequence) and len(input_shape) else (0,)
    if any(not isinstance(size, int) or size < 1 for size in sizes):
        raise ModelError(
            "A network needs the shape of one example and a number of classes, all whole numbers of at least 1, as in "
            f"(28, 28, 1) and 10. Received: {input_shape!r} and {num_classes!r}"
        )
    return _builder(place)(tuple(input_shape), num_classes, **arguments)


def _builder(place: str | Callable[..., Any]) -> Callable[..., Any]:
    if callable(place):
        return place
    module, _, function = place.partition(".")
    return getattr(importlib.import_module(f"tf_lottery.models.{module}"), function)
