"""The feed of datasets in memory: arrays stay on the devices, and a step gathers its batch from them by row numbers."""

import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery.core import seeds
from tf_lottery.data.dataset import Dataset, Split

_EVALUATION_BATCH = 1000
NO_EXAMPLE = -1  # the class of examples that only pad a batch


class Resident:
    """A feed from memory. Make it in the scope of the strategy: every replica has its own copy of the data.

    Args:
        dataset: In-memory splits.
        batch_size: Examples a step, all replicas together.
        longest: The largest number of steps in a segment; segments are padded to it, so that one trace serves all.
        replicas: Number of replicas that share a batch. Defaults to 1.
        augment: (images, draws) -> images, applied to training batches. Defaults to None, no augmentation.
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
        """Return the segment of the steps `start` … `stop - 1`: row numbers and draws of the augmentation.

        Args:
            shuffle_seed: Decides the order of the examples.
            augmentation_seed: Decides how they are augmented.
            start, stop: Half-open range of steps, counted from the start of training.

        Returns:
            int32 tensors of shape (longest, batch_size), for `take`; the second only with an augmentation.
        """
        which = self.examples, self.batch_size, start, stop
        made = [seeds.batches(shuffle_seed, *which)]
        if self._augment:
            made.append(seeds.draws(shuffle_seed, augmentation_seed, *which))
        padding = np.zeros((self._longest - (stop - start), self.batch_size), np.int32)
        return tuple(tf.constant(np.concatenate([array, padding])) for array in made)

    def take(self, segment: tuple[tf.Tensor, ...], step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return what one step passes to each replica; steps count from the start of the segment."""
        return tuple(array[step] for array in segment)

    def examples_of(self, rows: tf.Tensor, draws: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the share of a batch, x and y, of the replica that calls this."""
        rows = self._share(rows)
        x = tf.gather(self._x, rows)
        if self._augment and draws is not None:
            x = self._augment(x, self._share(draws))
        return x, tf.gather(self._y, rows)

    def held_out(self, split: str) -> Iterable[tuple[tf.Tensor, tf.Tensor]]:
        """Return the batches of `"validation"` or `"test"`; padding has the class `NO_EXAMPLE`."""
        return self._held_out[split]

    def held_out_of(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the share of a held-out batch of the replica that calls this."""
        return self._share(x), self._share(y)

    def errors(self) -> AbstractContextManager[None]:
        """Return a context that does nothing: data in memory cannot be damaged."""
        return contextlib.nullcontext()

    def _share(self, batch: tf.Tensor) -> tf.Tensor:
        """Return the part of a batch that belongs to this replica."""
        if self._replicas == 1:
            return batch
        size = batch.shape[0] // self._replicas
        start = tf.distribute.get_replica_context().replica_id_in_sync_group * size
        return tf.slice(batch, [start] + [0] * (len(batch.shape) - 1), [size, *batch.shape[1:]])

    def _in_batches(self, split: Split) -> list[tuple[Any, Any]]:
        size = -(-_EVALUATION_BATCH // self._replicas) * self._replicas
        x, y = (self._padded(array, value) for array, value in ((split.x, 0), (split.y, NO_EXAMPLE)))
        return [
            (tf.constant(x[start : start + size]), tf.constant(y[start : start + size]))
            for start in range(0, len(y), size)
        ]

    def _padded(self, array: np.ndarray, value: int) -> np.ndarray:
        """Pad an array so that all replicas have equally many entries."""
        missing = -len(array) % self._replicas
        return np.concatenate([array, np.full((missing, *array.shape[1:]), value, array.dtype)])
