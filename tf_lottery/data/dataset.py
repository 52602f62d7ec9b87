"""What a data source returns: arrays in memory, or images that stay encoded on disk."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tf_lottery.errors import DataError


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
    """Three disjoint splits. Decisions rest on `validation`; `test` is only ever reported.

    Attributes:
        train: What is trained on.
        validation: What early stopping, and you, decide by.
        test: What is reported.
        num_classes: Classes are in [0, num_classes).

    Raises:
        DataError: a split is empty, or has a class outside [0, num_classes).

    Examples:
        >>> part = Split(np.zeros((5, 8, 8, 1), np.float32), np.zeros(5, np.int32))
        >>> Dataset(train=part, validation=part, test=part, num_classes=10).input_shape
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
        return self.train.x.shape[1:]

    @property
    def examples(self) -> dict[str, int]:
        """How many examples each split has."""
        return {split: len(getattr(self, split)) for split in ("train", "validation", "test")}


class Shard(NamedTuple):
    """The records `skip` … `skip + take - 1` of a TFRecord file."""

    path: str
    skip: int
    take: int


@dataclass(frozen=True)
class Encoded:
    """Three disjoint splits of JPEG files too many for memory; `feeds.encoded.records` streams them.

    Attributes:
        name: Of the dataset, for messages.
        folder: What holds the files.
        shards: By split ("train", "validation", "test"), in stored order. A record is a `tf.train.Example` with the
            features `image` (JPEG bytes), `label` (int64) and `file_name` (bytes, another for every image).
        num_classes: Labels are in [0, num_classes).
        in_memory: By split, the serialized records themselves, where there are no files.

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
    def examples(self) -> dict[str, int]:
        """How many examples each split has."""
        in_files = {split: sum(shard.take for shard in shards) for split, shards in self.shards.items()}
        return in_files | {split: len(records) for split, records in self.in_memory.items()}


def split_off(x: np.ndarray, y: np.ndarray, counts: tuple[int, ...]) -> list[Split]:
    """Disjoint random splits of the given sizes, then one with the rest. The same for every seed of an experiment."""
    order = np.random.default_rng(0).permutation(len(y))
    parts = np.split(order, np.cumsum(counts))
    return [Split(x[part].astype(np.float32), y[part].astype(np.int32)) for part in parts]
