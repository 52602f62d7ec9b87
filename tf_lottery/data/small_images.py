"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100, in memory."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tf_lottery.data import debian, prepared
from tf_lottery.data.dataset import Dataset, Split, split_off

GREY_HELD_OUT = 1 / 12  # share of the official training images that is for validation
COLOUR_HELD_OUT = 1 / 10
FASHION_14_TRAIN = 10_000


def mnist(data_dir: str | None = None) -> Dataset:
    """MNIST (LeCun et al. 1998): 55,000 training, 5,000 validation and 10,000 test images of shape (28, 28, 1).

    Pixels are in [0, 1].

    Args:
        data_dir: Where tensorflow-datasets keeps its data; by default what `TFDS_DATA_DIR` says, else its own default.

    Raises:
        DataError: the data has not been prepared, or is damaged.
    """
    return _grey("mnist", data_dir)


def fashion_mnist(data_dir: str | None = None) -> Dataset:
    """Fashion-MNIST (Xiao et al. 2017); all else as for `mnist`."""
    return _grey("fashion_mnist", data_dir)


def fashion_mnist_14(data_dir: str | None = None) -> Dataset:
    """Fashion-MNIST for experiments of minutes: fewer training images, 10,000, and smaller ones, of shape (14, 14, 1).

    Pixels are means of 2x2 of `fashion_mnist`, standardised: over the training images, mean 0 and standard deviation 1.
    The training images are a random choice from those of `fashion_mnist`, with seed 0 whatever the experiment's; the
    5,000 validation and 10,000 test images are the same as there.

    Args:
        data_dir: As for `mnist`; what must be prepared is `fashion_mnist`.

    Raises:
        DataError: the data has not been prepared, or is damaged.
    """
    return _load("fashion_mnist", data_dir, GREY_HELD_OUT, channel_statistics, sums_of_four, FASHION_14_TRAIN)


def cifar10(data_dir: str | None = None) -> Dataset:
    """CIFAR-10 (Krizhevsky 2009): 45,000 training, 5,000 validation and 10,000 test images of shape (32, 32, 3).

    Standardised: over the training images, each channel has mean 0 and standard deviation 1.

    Args:
        data_dir: As for `mnist`.

    Raises:
        DataError: the data has not been prepared, or is damaged.
    """
    return _colour("cifar10", data_dir)


def cifar100(data_dir: str | None = None) -> Dataset:
    """CIFAR-100, its 100 fine classes; all else as for `cifar10`."""
    return _colour("cifar100", data_dir)


def prepare_fashion_mnist(data_dir: str | None = None) -> str:
    """Also from Debian's package `dataset-fashion-mnist`, installed or fetched with apt without being root."""
    way_out = f"apt-get install {debian.PACKAGE} has them too"
    return prepared.prepare("fashion_mnist", data_dir, place=debian.place_fashion_mnist, way_out=way_out)


def _grey(name: str, data_dir: str | None) -> Dataset:
    return _load(name, data_dir, held_out=GREY_HELD_OUT, scale=lambda train: (np.float32(0), np.float32(255)))


def _colour(name: str, data_dir: str | None) -> Dataset:
    return _load(name, data_dir, held_out=COLOUR_HELD_OUT, scale=channel_statistics)


def _load(
    name: str,
    data_dir: str | None,
    held_out: float,
    scale: Callable[[np.ndarray], tuple[Any, Any]],
    shrink: Callable[[np.ndarray], np.ndarray] = np.asarray,
    most: int | None = None,
) -> Dataset:
    builder = prepared.open_prepared(name, data_dir)
    x, y = prepared.arrays(builder, "train")
    test_x, test_y = prepared.arrays(builder, "test")
    validation, train, _ = split_off(shrink(x), y, (round(len(y) * held_out), most or len(y)))
    test = Split(shrink(test_x).astype(np.float32), test_y.astype(np.int32))
    shift, spread = scale(train.x)
    for split in (train, validation, test):
        np.subtract(split.x, shift, out=split.x)
        np.divide(split.x, spread, out=split.x)
    return Dataset(train, validation, test, num_classes=builder.info.features["label"].num_classes)


def sums_of_four(x: np.ndarray) -> np.ndarray:
    """Images of half the height and width; each pixel is the sum of 2x2, which, unlike their mean, is a whole number.

    Standardised, the two are the same.

    >>> sums_of_four(np.full((1, 28, 28, 1), 255, np.uint8))[0, 0, 0]
    array([1020], dtype=uint16)
    """
    examples, height, width, channels = x.shape
    squares = x.reshape(examples, height // 2, 2, width // 2, 2, channels)
    return squares.sum((2, 4), dtype=np.uint16)


def channel_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, computed rather than cited: they are those of this training split.

    From how often each whole number occurs, so that they are the same on every machine to the last bit: a sum over all
    pixels would round by the order of its terms.

    Args:
        x: Images of shape (examples, height, width, channels) whose pixels are whole numbers from 0.
    """
    sums = [_sums(x[..., channel]) for channel in range(x.shape[-1])]
    means = [total / n for n, total, _ in sums]
    deviations = [(n * squares - total**2) ** 0.5 / n for n, total, squares in sums]
    return np.array(means, np.float32), np.array(deviations, np.float32)


def _sums(whole_numbers: np.ndarray) -> tuple[int, int, int]:
    """Return how many there are, their sum, and the sum of their squares."""
    count = np.bincount(whole_numbers.ravel().astype(np.uint16))
    value = np.arange(len(count))
    return int(count.sum()), int(count @ value), int(count @ value**2)
