"""Streams of encoded images from disk, in an order that depends on the seed alone."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from tf_lottery.data import prepared
from tf_lottery.data.dataset import Encoded, Shard
from tf_lottery.errors import DataError

_FILES_AT_ONCE = 16
_BLOCK = 2048  # records shuffled together; of ImageNet about 230 MB, and three such blocks can be in memory
_FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
    "file_name": tf.io.FixedLenFeature([], tf.string),
}
# What TensorFlow's messages contain if a file is truncated, changed or missing, or a record is not an image.
_DAMAGE = re.compile(
    r"(truncated|corrupted) record at.*|.*No such file.*|expected to contain.*|Could not parse.*|Invalid JPEG data.*"
)


def records(
    dataset: Encoded, split: str, seed: int | tf.Tensor | None = None, skip: int | tf.Tensor = 0
) -> tf.data.Dataset:
    """Return a stream of all records of a split, each once.

    The files are permuted, and 16 of them are read at a time, in turn; then blocks of 2048 records are permuted. All of
    it is stateless: neither the process's global seed nor the number of threads changes the order, unlike that of
    tf.data's own `shuffle`. An epoch is one such stream, with a seed derived from (seed, epoch).

    Args:
        dataset: From `data.load`.
        split: "train", "validation" or "test".
        seed: In [0, 2^63), an integer or an int64 tensor; the order is a pure function of it. Defaults to None, the
            stored order.
        skip: Number of records to leave out at the start; whole blocks of them are read, but not shuffled. Defaults to
            0.

    Returns:
        Dicts of scalars: `id` (int64 hash of the image's file name, the same in any order and however the data is
        prepared), `image` (JPEG bytes), `label` (int64). Iterate over them in the context of `errors_of(dataset)`.
    """
    if split in dataset.in_memory:
        stream = tf.data.Dataset.from_tensor_slices(list(dataset.in_memory[split]))
    else:
        stream = _from_files(dataset.shards[split], seed)
    # Without this, a file that is truncated between two records would only be shorter.
    stream = stream.apply(tf.data.experimental.assert_cardinality(dataset.examples[split]))
    if seed is not None:
        blocks = stream.batch(_BLOCK).enumerate().skip(skip // _BLOCK)
        shuffled = blocks.map(lambda index, block: tf.random.experimental.stateless_shuffle(block, [seed, index]))
        stream, skip = shuffled.prefetch(1).unbatch(), skip % _BLOCK
    return stream.skip(skip).map(_parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _from_files(shards: Sequence[Shard], seed: int | tf.Tensor | None) -> tf.data.Dataset:
    paths, skips, takes = zip(*shards, strict=True)
    columns = tf.constant(paths), np.array(skips, np.int64), np.array(takes, np.int64)
    if seed is not None:  # -1, because blocks count from 0
        columns = tuple(tf.random.experimental.stateless_shuffle(column, [seed, -1]) for column in columns)
    files = tf.data.Dataset.from_tensor_slices(columns)
    return files.interleave(
        lambda path, skip, take: tf.data.TFRecordDataset(path).skip(skip).take(take),
        cycle_length=1 if seed is None else _FILES_AT_ONCE,
        block_length=1,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    record = tf.io.parse_single_example(serialized, _FEATURES)
    record["id"] = tf.strings.to_hash_bucket_fast(record.pop("file_name"), 2**63 - 1)
    return record


@contextmanager
def errors_of(dataset: Encoded) -> Iterator[None]:
    """Raise errors about damaged or missing files as DataError, while a stream is iterated over in this context.

    Args:
        dataset: The dataset of the stream.

    Raises:
        DataError: in the place of TensorFlow's `DataLossError`, `NotFoundError`, `FailedPreconditionError` (too few
            records) or `InvalidArgumentError` (not an example, not a JPEG file). Errors that do not concern the data
            pass.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not (damage := _DAMAGE.search(str(error))):
            raise
        raise DataError(prepared.damage_message(dataset.name, dataset.folder, damage[0].strip())) from error
