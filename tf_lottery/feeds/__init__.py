"""Feeds: the batches of a training step, made from a dataset in an order that is a function of seed and step."""

import tensorflow as tf

from tf_lottery.data import augmentations
from tf_lottery.data.dataset import Dataset, Encoded
from tf_lottery.feeds import images
from tf_lottery.feeds.resident import Resident
from tf_lottery.feeds.streamed import Streamed


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
    """Make the feed that fits a dataset. Call it in the scope of the strategy.

    Args:
        dataset: From `data.load`.
        augment: Name of an augmentation that fits the dataset, one of `data.augmentations.AUGMENTATIONS`.
        batch_size: Examples a step, all replicas together.
        longest, steps, image_size, threads: As for `Resident` and `Streamed`, each of which uses some of them.

    Raises:
        ConfigError: `augment` is unknown or does not fit. For datasets of this package, `augmentations.check` finds it
            before they are loaded.
    """
    function = augmentations.function_name(augment, dataset)
    change = getattr(images, function) if function else None
    if isinstance(dataset, Encoded):
        return Streamed(
            dataset, batch_size=batch_size, image_size=image_size, steps=steps, threads=threads, crop=change
        )
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return Resident(dataset, batch_size=batch_size, longest=longest, replicas=replicas, augment=change)
