"""Networks by name.

A new network is a function in a module of this package and an entry in `names.MODELS`. Importing this package imports
no Keras; the module of a network is imported when the network is built.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tf_lottery.errors import ModelError
from tf_lottery.models import names

if TYPE_CHECKING:
    from tf_lottery.keras_compat import Model

__all__ = ["build", "names"]

_EXAMPLES = {1: "signals of shape (length, channels)", 2: "images of shape (rows, columns, channels)"}


def build(name: str, input_shape: tuple[int, ...], num_classes: int) -> "Model":
    """Build a new, uncompiled model that returns logits; with an auxiliary head, the list [logits, auxiliary logits].

    The last classifier is called "output", the auxiliary one "auxiliary_output", and every projection on a residual
    connection has "shortcut" in its name. No network has regularizers: weight decay is a setting of training.

    Args:
        name: Name of the network, as in `names.EXAMPLES`.
        input_shape: Shape of one example, without the batch: (rows, columns, channels) or (length, channels).
        num_classes: Length of the logits.

    Returns:
        A Keras model; its weights are drawn anew in each call.

    Raises:
        ModelError: the name is unknown, the shape or the number of classes is not positive, or the network cannot take
            examples of this shape.

    Source:
        The networks of Frankle, Carbin 2019 (arXiv 1803.03635) and Frankle, Dziugaite, Roy, Carbin 2019 (arXiv
        1903.01611); the docstring of each function in `tf_lottery/models` says where its details are from.

    Examples:
        >>> import tf_lottery as tfl
        >>> tfl.models.build("lenet_300_100", (28, 28, 1), 10).count_params()
        266610
    """
    function, arguments = names.parse(name)
    sizes = (*input_shape, num_classes) if isinstance(input_shape, Sequence) and len(input_shape) else (0,)
    if any(not isinstance(size, int) or size < 1 for size in sizes):
        raise ModelError(
            "A network needs the shape of one example and a number of classes, all whole numbers of at least 1, as in "
            f"(28, 28, 1) and 10. Received: {input_shape!r} and {num_classes!r}"
        )
    from tf_lottery import keras_compat  # here, because names are checked without Keras

    with keras_compat.channels_last():
        return _imported(function)(tuple(input_shape), num_classes, **arguments)


def require_shape(network: str, input_shape: tuple[int, ...], *, dimensions: int = 2, smallest: int = 1) -> None:
    """Check that a network can take examples of a shape.

    Args:
        network: Name of the network, for the message.
        input_shape: Shape of one example, without the batch.
        dimensions: 2 for images, 1 for signals. Defaults to 2.
        smallest: The least length of each dimension, channels not counted. Defaults to 1.

    Raises:
        ModelError: the network cannot; the message says what it needs.
    """
    if len(input_shape) == dimensions + 1 and all(size is not None and size >= smallest for size in input_shape[:-1]):
        return
    least = f", at least {' x '.join([str(smallest)] * dimensions)}" if smallest > 1 else ""
    raise ModelError(f"{network} needs {_EXAMPLES[dimensions]}{least}. Received: shape {input_shape}")


def _imported(function: str | Callable[..., "Model"]) -> Callable[..., "Model"]:
    """Return the function that `names.parse` names."""
    if callable(function):
        return function
    module, _, name = function.partition(".")
    return getattr(importlib.import_module(f"tf_lottery.models.{module}"), name)
