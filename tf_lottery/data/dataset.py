"""The classes that hold a dataset, in memory or on disk, and the shapes of the datasets that this package knows."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import NamedTuple

import numpy as np

from tf_lottery.errors import DataError

Shape = tuple[int | None, ...]

# By dataset: the shape of one example and the number of classes. A None is a side that differs between images, which
# are cropped to the `image_size` of an experiment.
SHAPES: dict[str, tuple[Shape, int]] = {
    "cifar10": ((32, 32, 3), 10),
    "cifar100": ((32, 32, 3), 100),
    "digits": ((8, 8, 1), 10),
    "fashion_mnist": ((28, 28, 1), 10),
    "fashion_mnist_14": ((14, 14, 1), 10),
    "imagenet2012": ((None, None, 3), 1000),
    "mnist": ((28, 28, 1), 10),
    "mnist1d": ((40, 1), 10),
}


@dataclass(frozen=True)
class Split:
    """Examples and their classes.

    Attributes:
        x: float32, shape (examples, *input_shape).
        y: int32, shape (examples,), values in [0, num_classes).

    Examples:
        >>> len(Split(np.zeros((5, 8, 8, 1), np.float32), np.zeros(5, np.int32)))
        5
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits in memory. Decisions are based on `validation`; `test` is only reported.

    Attributes:
        train: The examples that networks are trained on.
        validation: The examples that early stopping, and you, base decisions on.
        test: The examples of the reported results.
        num_classes: Classes are in [0, num_classes).

    Raises:
        DataError: a split is empty, or has a class outside [0, num_classes).

    Examples:
        >>> split = Split(np.zeros((5, 8, 8, 1), np.float32), np.zeros(5, np.int32))
        >>> Dataset(train=split, validation=split, test=split, num_classes=10).input_shape
        (8, 8, 1)
    """

    train: Split
    validation: Split
    test: Split
    num_classes: int

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            y = getattr(self, name).y
            if not len(y) or y.min() < 0 or y.max() >= self.num_classes:
                found = f"{y.min()} to {y.max()}" if len(y) else "no examples"
                raise DataError(
                    f"The classes of every split must be in 0 to {self.num_classes - 1}, as num_classes="
                    f"{self.num_classes} says. Received: {name}: {found}"
                )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self.train.x.shape[1:]

    @property
    def examples(self) -> dict[str, int]:
        """The number of examples in each split."""
        return {split: len(getattr(self, split)) for split in ("train", "validation", "test")}


class Shard(NamedTuple):
    """The records `skip` … `skip + take - 1` of a TFRecord file."""

    path: str
    skip: int
    take: int


@dataclass(frozen=True)
class Encoded:
    """Three disjoint splits of JPEG images that are too many for memory; `feeds.encoded.records` streams them.

    Attributes:
        name: The dataset's name, for messages.
        folder: The folder that holds the files.
        shards: By split ("train", "validation", "test"), in stored order. A record is a `tf.train.Example` with the
            features `image` (JPEG bytes), `label` (int64) and `file_name` (bytes, different for every image).
        num_classes: Labels are in [0, num_classes).
        in_memory: By split, the serialized records themselves, where there are no files. Defaults to none.

    Examples:
        >>> shards = {"train": (Shard("train.tfrecord", skip=0, take=900), Shard("more.tfrecord", skip=0, take=300))}
        >>> Encoded("mine", "data/mine", shards, num_classes=10).examples
        {'train': 1200}
    """

    name: str
    folder: str
    shards: Mapping[str, tuple[Shard, ...]]
    num_classes: int
    in_memory: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)

    @property
    def input_shape(self) -> Shape:
        """The shape of one example: colour images of any height and width."""
        return None, None, 3

    @property
    def examples(self) -> dict[str, int]:
        """The number of examples in each split."""
        in_files = {split: sum(shard.take for shard in shards) for split, shards in self.shards.items()}
        return in_files | {split: len(records) for split, records in self.in_memory.items()}


def checksum(dataset: Dataset | Encoded) -> str:
    """Return a checksum of the examples of a `Dataset`, or of the file names and numbers of examples of an `Encoded`.

    Its files may be large, and the bytes of equal records differ between processes (the order of their features).

    >>> split = Split(np.zeros((5, 8, 8, 1), np.float32), np.zeros(5, np.int32))
    >>> checksum(Dataset(split, split, split, num_classes=10))
    'c75d186afb22a767'
    """
    found = hashlib.sha256()
    if isinstance(dataset, Encoded):
        for name, shards in sorted(dataset.shards.items()):
            found.update(repr((name, [(PurePath(path).name, skip, take) for path, skip, take in shards])).encode())
        found.update(repr(sorted(dataset.examples.items())).encode())
    else:
        for split in (dataset.train, dataset.validation, dataset.test):
            for array in map(np.ascontiguousarray, (split.x, split.y)):
                found.update(f"{array.dtype} {array.shape}".encode())
                found.update(array.data)
    return found.hexdigest()[:16]


def split_off(x: np.ndarray, y: np.ndarray, counts: tuple[int, ...]) -> list[Split]:
    """Draw disjoint random splits of the given sizes, the same ones whatever the seed of the experiment.

    Args:
        x: Examples, of shape (examples, *input_shape).
        y: Classes, of shape (examples,).
        counts: The sizes of the splits.

    Returns:
        A split for each count, then one with the remaining examples.
    """
    order = np.random.default_rng(0).permutation(len(y))
    parts = np.split(order, np.cumsum(counts))
    return [Split(x[part].astype(np.float32), y[part].astype(np.int32)) for part in parts]
