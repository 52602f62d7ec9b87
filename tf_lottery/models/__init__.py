"""Networks by name. A new network is one file here and one entry in `MODELS`."""

from collections.abc import Callable
from typing import Any

from tf_lottery.errors import ModelError
from tf_lottery.models import lenet

__all__ = ["MODELS", "build"]

MODELS: dict[str, Callable[[tuple[int, ...], int], Any]] = {
    "lenet_300_100": lenet.lenet_300_100,
}


def build(name: str, input_shape: tuple[int, ...], num_classes: int) -> Any:
    """A new, built, uncompiled model that returns logits.

    Args:
        name: One of `MODELS`.
        input_shape: Shape of one example, without the batch.
        num_classes: Length of the logits.

    Raises:
        ModelError: an unknown name.
    """
    if name not in MODELS:
        raise ModelError(f"Unknown model {name!r}. Known: {', '.join(MODELS)}")
    return MODELS[name](input_shape, num_classes)
