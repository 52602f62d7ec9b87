"""Data sources by name. A new source is one function here and one entry in `SOURCES` and in `noise.SHAPES`."""

from collections.abc import Callable
from functools import partial
from typing import cast

from tf_lottery.data import digits, imagenet, mnist1d, noise, prepared, small_images
from tf_lottery.data.dataset import Dataset, Encoded, Split
from tf_lottery.errors import DataError

__all__ = ["PREPARE", "SOURCES", "Dataset", "Encoded", "Split", "load", "prepare", "sizes"]

SOURCES: dict[str, Callable[[], Dataset | Encoded]] = {
    "cifar10": small_images.cifar10,
    "cifar100": small_images.cifar100,
    "digits": digits.load,
    "fashion_mnist": small_images.fashion_mnist,
    "fashion_mnist_14": small_images.fashion_mnist_14,
    "imagenet2012": imagenet.load,
    "mnist": small_images.mnist,
    "mnist1d": mnist1d.load,
}

PREPARE: dict[str, Callable[[], str]] = {
    "cifar10": partial(prepared.prepare, "cifar10"),
    "cifar100": partial(prepared.prepare, "cifar100"),
    "fashion_mnist": small_images.prepare_fashion_mnist,
    "fashion_mnist_14": small_images.prepare_fashion_mnist,
    "imagenet2012": imagenet.prepare,
    "mnist": partial(prepared.prepare, "mnist"),
}


def load(name: str, synthetic: bool = False) -> Dataset | Encoded:
    """Load a dataset, one of `SOURCES`: into memory, or, for ImageNet, what is needed to stream it.

    Args:
        name: Which dataset.
        synthetic: A little noise of the same shape and classes instead, which needs no files and no network.

    Returns:
        A `Dataset`; for ImageNet, whose images stay on disk, an `Encoded`.

    Raises:
        DataError: an unknown name, or data that is not there or damaged; the message names the command that gets it.

    Examples:
        >>> import tf_lottery as tfl
        >>> digits = tfl.data.load("digits")
        >>> digits.train.x.shape[1:], digits.num_classes
        ((8, 8, 1), 10)
    """
    if name not in SOURCES:
        raise DataError(f"Unknown dataset {name!r}. Known: {', '.join(SOURCES)}")
    return noise.load(name) if synthetic else SOURCES[name]()


def sizes(name: str, image_size: int) -> tuple[tuple[int, ...], int]:
    """Return the shape of one example, as a network gets it, and the number of classes; reads the data only where it must.

    Args:
        name: Which dataset.
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
    if name == imagenet.NAME:
        return (image_size, image_size, 3), noise.IMAGENET_CLASSES
    if name in noise.SHAPES:
        return noise.SHAPES[name]
    dataset = cast(Dataset, load(name))  # ImageNet alone is Encoded
    return dataset.input_shape, dataset.num_classes


def prepare(name: str) -> str:
    """Make a dataset ready for `load`, once.

    Args:
        name: Which dataset, one of `PREPARE`.

    Returns:
        The folder that holds it.

    Raises:
        DataError: a dataset that needs no preparation or is unknown, or one that could not be had.

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
            f"Give the dataset to prepare, one of: {', '.join(PREPARE)} ({ready} need nothing). Received: {name!r}"
        )
    return PREPARE[name]()
