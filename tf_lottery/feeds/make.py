"""The feed that fits a dataset."""

import tensorflow as tf

from tf_lottery.data.dataset import Dataset, Encoded
from tf_lottery.feeds import images
from tf_lottery.feeds.resident import Resident
from tf_lottery.feeds.streamed import Streamed

_OF_ARRAYS = {"none": None, "flip_and_crop": images.flip_and_crop}
_OF_JPEGS = {"none": None, "inception": images.train_image}


def make_feed(
    dataset: Dataset | Encoded,
    *,
    augment: str,
    batch_size: int,
    longest: int,
    steps: int,
    image_size: int,
    threads: int,
) -> Resident | Streamed:
    """A feed for training on `dataset`; see `Resident` and `Streamed`, each of which takes what it needs.

    Args:
        dataset: From `data.load`.
        augment: One of `data.augmentations.AUGMENTATIONS` that fits it.
        batch_size, longest, steps, image_size, threads: As there.
    """
    if isinstance(dataset, Encoded):
        return Streamed(
            dataset,
            batch_size=batch_size,
            image_size=image_size,
            steps=steps,
            threads=threads,
            crop=_OF_JPEGS[augment],
        )
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return Resident(dataset, batch_size=batch_size, longest=longest, replicas=replicas, augment=_OF_ARRAYS[augment])
