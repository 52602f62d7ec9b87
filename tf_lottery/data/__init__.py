"""Data sources by name. A new source is one file here and one entry in `SOURCES`."""

from collections.abc import Callable

from tf_lottery.data import digits, fashion_mnist, mnist1d
from tf_lottery.data.dataset import Dataset, Split
from tf_lottery.errors import DataError

__all__ = ["PREPARE", "SOURCES", "Dataset", "Split", "load", "prepare"]

SOURCES: dict[str, Callable[[], Dataset]] = {
    "digits": digits.load,
    "fashion_mnist": fashion_mnist.load,
    "mnist1d": mnist1d.load,
}

PREPARE: dict[str, Callable[[], str]] = {"fashion_mnist": fashion_mnist.prepare}


def load(name: str) -> Dataset:
    """Loads a dataset, one of `SOURCES`, into memory.

    Raises:
        DataError: an unknown name, or data that is not there; the message names the command that gets it.
    """
    if name not in SOURCES:
        raise DataError(f"Unknown dataset {name!r}. Known: {', '.join(SOURCES)}")
    return SOURCES[name]()


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
