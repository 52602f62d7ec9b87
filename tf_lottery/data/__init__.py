"""Datasets by name.

A new dataset is a function in a module of this package, an entry in `SOURCES` and, so that the shape of its examples is
known before it is loaded, an entry in `SHAPES`.
"""

from collections.abc import Callable
from functools import partial

from tf_lottery.data import imagenet, in_memory, prepared
from tf_lottery.data.dataset import SHAPES, Dataset, Encoded, Split
from tf_lottery.data.synthetic import draw_noise
from tf_lottery.errors import DataError

__all__ = ["PREPARE", "SHAPES", "SOURCES", "Dataset", "Encoded", "Split", "load", "prepare", "sizes"]

SOURCES: dict[str, Callable[[], Dataset | Encoded]] = {
    "cifar10": in_memory.cifar10,
    "cifar100": in_memory.cifar100,
    "digits": in_memory.digits,
    "fashion_mnist": in_memory.fashion_mnist,
    "fashion_mnist_14": in_memory.fashion_mnist_14,
    "imagenet2012": imagenet.load,
    "mnist": in_memory.mnist,
    "mnist1d": in_memory.mnist1d,
}

# The datasets that must be prepared once before they can be loaded.
PREPARE: dict[str, Callable[[], str]] = {
    "cifar10": partial(prepared.prepare, "cifar10"),
    "cifar100": partial(prepared.prepare, "cifar100"),
    "fashion_mnist": in_memory.prepare_fashion_mnist,
    "fashion_mnist_14": in_memory.prepare_fashion_mnist,
    "imagenet2012": imagenet.prepare,
    "mnist": partial(prepared.prepare, "mnist"),
}


def load(name: str, synthetic: bool = False) -> Dataset | Encoded:
    """Load a dataset.

    Args:
        name: Name of the dataset, one of `SOURCES`.
        synthetic: Return a little noise of the same shape and classes instead, which needs neither files nor a
            network. Defaults to False.

    Returns:
        A `Dataset` in memory; for ImageNet, whose images stay on disk, an `Encoded`.

    Raises:
        DataError: the name is unknown, or the data is missing or damaged. The message names the command that prepares
            the data.

    Examples:
        >>> import tf_lottery as tfl
        >>> digits = tfl.data.load("digits")
        >>> digits.train.x.shape[1:], digits.num_classes
        ((8, 8, 1), 10)
    """
    if name not in SOURCES:
        raise DataError(f"Unknown dataset {name!r}. Known: {', '.join(SOURCES)}")
    return draw_noise(name) if synthetic else SOURCES[name]()


def sizes(name: str, image_size: int) -> tuple[tuple[int, ...], int]:
    """Return the shape of one example, as a network receives it, and the number of classes of a dataset.

    Reads the data only where the dataset is not in `SHAPES`.

    Args:
        name: Name of the dataset.
        image_size: Pixels a side that ImageNet is cropped to; other images keep their size.

    Returns:
        Shape without the batch, and number of classes.

    Raises:
        DataError: see `load`.

    Examples:
        >>> import tf_lottery as tfl
        >>> tfl.data.sizes("imagenet2012", image_size=224)
        ((224, 224, 3), 1000)
    """
    if name in SHAPES:
        shape, num_classes = SHAPES[name]
    else:
        dataset = load(name)
        shape, num_classes = dataset.input_shape, dataset.num_classes
    return tuple(image_size if side is None else side for side in shape), num_classes


def prepare(name: str) -> str:
    """Prepare a dataset, so that `load` can read it. Once is enough.

    Args:
        name: Name of the dataset, one of `PREPARE`.

    Returns:
        The folder that holds the prepared data.

    Raises:
        DataError: the dataset is unknown, needs no preparation, or is not available.

    Examples:
        >>> import tf_lottery as tfl
        >>> "mnist" in tfl.data.PREPARE, "digits" in tfl.data.PREPARE
        (True, False)
        >>> tfl.data.prepare("mnist")  # doctest: +SKIP
        '/home/me/tensorflow_datasets/mnist'
    """
    if name not in PREPARE:
        ready = ", ".join(name for name in SOURCES if name not in PREPARE)
        raise DataError(
            f"Give the dataset to prepare, one of: {', '.join(PREPARE)} ({ready} need no preparation). "
            f"Received: {name!r}"
        )
    return PREPARE[name]()
