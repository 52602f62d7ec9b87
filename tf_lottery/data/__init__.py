"""Data sources by name. A new source is one function here and one entry in `SOURCES` and in `noise.SHAPES`."""

from collections.abc import Callable
from functools import partial

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


def load(name: str, made_up: bool = False) -> Dataset | Encoded:
    """Loads a dataset, one of `SOURCES`: into memory, or, for ImageNet, what is needed to stream it.

    Args:
        name: Which dataset.
        made_up: A little noise of the same shape and classes instead, which needs no files and no network.

    Raises:
        DataError: an unknown name, or data that is not there or damaged; the message names the command that gets it.
    """
    if name not in SOURCES:
        raise DataError(f"Unknown dataset {name!r}. Known: {', '.join(SOURCES)}")
    return noise.load(name) if made_up else SOURCES[name]()


def sizes(name: str, image_size: int) -> tuple[tuple[int, ...], int]:
    """The shape of one example, as a network gets it, and the number of classes; reads the data only where it must.

    Args:
        name: Which dataset.
        image_size: Pixels a side that ImageNet is cropped to; other images keep their size.

    Raises:
        DataError: see `load`.
    """
    if name == imagenet.NAME:
        return (image_size, image_size, 3), noise.IMAGENET_CLASSES
    if name in noise.SHAPES:
        return noise.SHAPES[name]
    dataset = load(name)
    return dataset.input_shape, dataset.num_classes


def prepare(name: str) -> str:
    """Makes a dataset ready for `load`, once; returns the folder that holds it.

    Raises:
        DataError: a dataset that needs no preparation or is unknown, or one that could not be had.
    """
    if name not in PREPARE:
        ready = ", ".join(name for name in SOURCES if name not in PREPARE)
        raise DataError(
            f"Give the dataset to prepare, one of: {', '.join(PREPARE)} ({ready} need nothing). Received: {name!r}"
        )
    return PREPARE[name]()
