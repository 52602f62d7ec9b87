"""The feed of datasets on disk: images are read, cropped and batched while the network trains."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery.core import seeds
from tf_lottery.data.dataset import Encoded
from tf_lottery.feeds import encoded, images
from tf_lottery.feeds.resident import NO_EXAMPLE

_Record = dict[str, tf.Tensor]


class Streamed:
    """A feed from files. Make it in the scope of the strategy.

    The batch of a step is a pure function of the seeds and the step, the same for any number of replicas. A segment
    that starts where the last one ended costs nothing extra; for any other, the earlier records of its first epoch are
    read and discarded. With several workers, each reads all records and decodes its share of them.

    Args:
        dataset: Encoded images.
        batch_size: Examples a step, and a batch of an evaluation, all replicas together.
        image_size: Pixels a side of the crops.
        steps: T, the number of steps of a whole training run.
        threads: Number of threads that decode images.
        crop: (record, seed, image_size) -> training image. Defaults to None, the centre crop, as in evaluations.
    """

    in_memory = False

    def __init__(
        self,
        dataset: Encoded,
        *,
        batch_size: int,
        image_size: int,
        steps: int,
        threads: int,
        crop: Callable[[_Record, tf.Tensor, int], tf.Tensor] | None = None,
    ):
        self.input_shape, self.num_classes = (image_size, image_size, 3), dataset.num_classes
        self.examples = dataset.examples["train"]
        self.batch_size, self._image_size = batch_size, image_size
        self._dataset, self._steps, self._threads, self._crop = dataset, steps, threads, crop
        self._strategy = tf.distribute.get_strategy()
        self._next: tuple[int, int, int] | None = None  # the seeds and the step of the iterator's next batch

    def segment(self, shuffle_seed: int, augmentation_seed: int, start: int, stop: int) -> tuple[Any]:
        """Return the segment of the steps `start` … `stop - 1`: an iterator whose next batch is that of `start`.

        Args:
            shuffle_seed: Decides the order of the examples.
            augmentation_seed: Decides their crops.
            start, stop: Half-open range of steps, counted from the start of training.
        """
        seeds_given = shuffle_seed, augmentation_seed
        if self._next != (*seeds_given, start):
            self._iterator = iter(
                self._distributed(self._from_step(*seeds_given, start), self._training_example, self.batch_size)
            )
        self._next = (*seeds_given, stop)
        return (self._iterator,)

    def take(self, segment: tuple[Any], step: tf.Tensor) -> tuple[Any, Any]:
        """Return the next batch, for all replicas."""
        return next(segment[0])

    def examples_of(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the share of a batch, x and y, of the replica that calls this; it has received no more than that."""
        return x, y

    held_out_of = examples_of

    def held_out(self, split: str) -> Iterable[tuple[Any, Any]]:
        """Return the batches of `"validation"` or `"test"`; padding has the class `NO_EXAMPLE`."""
        records = encoded.records(self._dataset, split)
        padding = records.take(1).map(lambda record: record | {"label": tf.constant(NO_EXAMPLE, tf.int64)})
        padded = records.concatenate(padding.repeat(-self._dataset.examples[split] % self.batch_size))
        return self._distributed(padded, self._test_example, self.batch_size)

    def errors(self) -> AbstractContextManager[None]:
        """Return a context that raises TensorFlow's errors about damaged files as DataError."""
        return encoded.errors_of(self._dataset)

    def _from_step(self, shuffle_seed: int, augmentation_seed: int, start: int) -> tf.data.Dataset:
        """Return the records and the seeds of their crops, from step `start` to the end of training."""
        first, before = divmod(start * self.batch_size, examples := self._dataset.examples["train"])
        epochs = range(first, max(first + 1, -(-self._steps * self.batch_size // examples)))
        orders = np.array([seeds.derive(shuffle_seed, "epoch", epoch) for epoch in epochs], np.int64)
        crops = np.array([(augmentation_seed, epoch) for epoch in epochs], np.int64)
        skips = np.array([before if epoch == first else 0 for epoch in epochs], np.int64)

        def of_epoch(order: tf.Tensor, crop: tf.Tensor, skip: tf.Tensor) -> tf.data.Dataset:
            records = encoded.records(self._dataset, "train", order, skip)
            return tf.data.Dataset.zip(records, tf.data.Dataset.from_tensors(crop).repeat())

        # To concatenate a dataset for each epoch takes 5 seconds to build for 90 epochs of ImageNet.
        return tf.data.Dataset.from_tensor_slices((orders, crops, skips)).flat_map(of_epoch)

    def _training_example(self, record: _Record, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if self._crop is None:
            return self._test_example(record)
        return self._crop(record, seed, self._image_size), tf.cast(record["label"], tf.int32)

    def _test_example(self, record: _Record) -> tuple[tf.Tensor, tf.Tensor]:
        return images.test_image(record, self._image_size), tf.cast(record["label"], tf.int32)

    def _distributed(self, records: tf.data.Dataset, example: Callable[..., Any], size: int) -> Iterable[Any]:
        """Return batches of `size` examples for all replicas; each worker decodes its share only."""
        options = tf.data.Options()
        options.threading.private_threadpool_size = self._threads
        # Autotuning may take up to half of the memory, and an iterator that it serves can take a minute to be freed.
        options.autotune.enabled = False

        def of_this_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            share = records.shard(context.num_input_pipelines, context.input_pipeline_id)
            decoded = share.map(example, num_parallel_calls=self._threads, deterministic=True)
            batches = decoded.batch(context.get_per_replica_batch_size(size), drop_remainder=True)
            return batches.prefetch(2).with_options(options)

        return self._strategy.distribute_datasets_from_function(of_this_worker)
