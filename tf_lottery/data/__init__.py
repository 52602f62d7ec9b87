"""Data sources by name. A new source is one file here and one entry in `SOURCES`."""

from collections.abc import Callable

from tf_lottery.data import digits, fashion_mnist, mnist1d
from tf_lottery.data.dataset import Dataset, Split
from tf_lottery.errors import DataError

__all__ = ["SOURCES", "Dataset", "Split", "load"]

SOURCES: dict[str, Callable[[str | None], Dataset]] = {
    "digits": digits.load,
    "fashion_mnist": fashion_mnist.load,
    "mnist1d": mnist1d.load,
}


def load(name: str, data_dir: str | None = None) -> Dataset:
    """Loads a dataset into memory.

    Args:
        name: One of `SOURCES`.
        data_dir: Where tensorflow-datasets keeps its data; None for its own default.

    Raises:
        DataError: an unknown name, or data that is not there; the message names the command that gets it.
    """
    if name not in SOURCES:
        raise DataError(f"Unknown dataset {name!r}. Known: {', '.join(SOURCES)}")
    return SOURCES[name](data_dir)
