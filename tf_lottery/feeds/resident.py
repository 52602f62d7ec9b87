"""Arrays that stay on the devices: a step gathers its batch by row numbers that are made beforehand."""

import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery.core import shuffling
from tf_lottery.data.dataset import Dataset, Split

_EVALUATION_BATCH = 1000
NO_EXAMPLE = -1  # the class of what only fills a batch up


class Resident:
    """Feeds a training from memory. Make it in the scope of the strategy: every replica keeps its own copy.

    Args:
        dataset: In-memory splits.
        batch_size: Examples a step, all replicas together.
        longest: The most steps that are asked for at once: batches are padded to it, so that one trace serves all.
        replicas: How many share a batch.
        augment: (images, draws) -> images, applied to training batches; None: as they are.
    """

    in_memory = True

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        longest: int,
        replicas: int = 1,
        augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
    ):
        self.input_shape, self.num_classes, self.examples = dataset.input_shape, dataset.num_classes, len(dataset.train)
        self.batch_size, self._longest, self._replicas, self._augment = batch_size, longest, replicas, augment
        self._x = tf.Variable(dataset.train.x, trainable=False)
        self._y = tf.Variable(dataset.train.y, trainable=False)
        self._held_out = {"validation": self._in_batches(dataset.validation), "test": self._in_batches(dataset.test)}

    def segment(self, shuffle_seed: int, augmentation_seed: int, start: int, stop: int) -> tuple[tf.Tensor, ...]:
        """What the traced loop needs for the steps `start` … `stop - 1`: row numbers, draws of the augmentation."""
        which = self.examples, self.batch_size, start, stop
        made = [shuffling.batches(shuffle_seed, *which)]
        if self._augment:
            made.append(shuffling.draws(shuffle_seed, augmentation_seed, *which))
        padding = np.zeros((self._longest - (stop - start), self.batch_size), np.int32)
        return tuple(tf.constant(np.concatenate([array, padding])) for array in made)

    def take(self, segment: tuple[tf.Tensor, ...], step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """What each replica is given for one step; counted from the segment's start."""
        return tuple(array[step] for array in segment)

    def examples_of(self, rows: tf.Tensor, draws: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """On a replica: its share of a batch, x and y."""
        rows = self._share(rows)
        x = tf.gather(self._x, rows)
        if self._augment and draws is not None:
            x = self._augment(x, self._share(draws))
        return x, tf.gather(self._y, rows)

    def held_out(self, split: str) -> Iterable[tuple[tf.Tensor, tf.Tensor]]:
        """Return the batches of `"validation"` or `"test"`, those of a class `NO_EXAMPLE` among them."""
        return self._held_out[split]

    def held_out_of(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """On a replica: its share of a held-out batch."""
        return self._share(x), self._share(y)

    def errors(self) -> AbstractContextManager[None]:
        """What is in memory cannot be damaged."""
        return contextlib.nullcontext()

    def _share(self, batch: tf.Tensor) -> tf.Tensor:
        """This replica's part of a batch of all."""
        if self._replicas == 1:
            return batch
        size = batch.shape[0] // self._replicas
        start = tf.distribute.get_replica_context().replica_id_in_sync_group * size
        return tf.slice(batch, [start] + [0] * (len(batch.shape) - 1), [size, *batch.shape[1:]])

    def _in_batches(self, split: Split) -> list[tuple[Any, Any]]:
        size = -(-_EVALUATION_BATCH // self._replicas) * self._replicas
        x, y = (self._filled_up(array, value) for array, value in ((split.x, 0), (split.y, NO_EXAMPLE)))
        return [
            (tf.constant(x[start : start + size]), tf.constant(y[start : start + size]))
            for start in range(0, len(y), size)
        ]

    def _filled_up(self, array: np.ndarray, value: int) -> np.ndarray:
        """Enough entries for all replicas to have equally many."""
        missing = -len(array) % self._replicas
        return np.concatenate([array, np.full((missing, *array.shape[1:]), value, array.dtype)])
