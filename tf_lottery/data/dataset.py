"""What a data source returns."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Split:
    """Examples and their classes.

    Attributes:
        x: float32, shape (examples, *input_shape).
        y: int32, shape (examples,), values in [0, num_classes).
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits. Decisions rest on `validation`; `test` is only ever reported."""

    train: Split
    validation: Split
    test: Split
    num_classes: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.train.x.shape[1:]


def split_off(x: np.ndarray, y: np.ndarray, counts: tuple[int, ...]) -> list[Split]:
    """Disjoint random splits of the given sizes, then one with the rest. The same for every seed of an experiment."""
    order = np.random.default_rng(0).permutation(len(y))
    parts = np.split(order, np.cumsum(counts))
    return [Split(x[part].astype(np.float32), y[part].astype(np.int32)) for part in parts]
