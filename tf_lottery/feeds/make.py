"""The feed that fits a dataset."""

from typing import Any

import tensorflow as tf

from tf_lottery.data.dataset import Dataset, Encoded
from tf_lottery.errors import ConfigError
from tf_lottery.feeds import images
from tf_lottery.feeds.resident import Resident
from tf_lottery.feeds.streamed import Streamed

# By kind of data, as in `data.augmentations`.
_AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "signals": {"none": None},
    "images in memory": {"none": None, "flip_and_crop": images.flip_and_crop},
    "JPEG files": {"none": None, "inception": images.train_image},
}


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
    """Return a feed for training on `dataset`; see `Resident` and `Streamed`, each of which takes what it needs.

    Args:
        dataset: From `data.load`.
        augment: One of `data.augmentations.AUGMENTATIONS` that fits it.
        batch_size, longest, steps, image_size, threads: As there.

    Raises:
        ConfigError: `augment` does not fit. Of datasets that come with this package, `augmentations.check` knows it
            before they are loaded.
    """
    augmentations = _AUGMENTATIONS[kind := _kind(dataset)]
    if augment not in augmentations:
        raise ConfigError(f"`data.augment` must be one of {', '.join(augmentations)} for {kind}. Received: {augment!r}")
    if isinstance(dataset, Encoded):
        return Streamed(
            dataset,
            batch_size=batch_size,
            image_size=image_size,
            steps=steps,
            threads=threads,
            crop=augmentations[augment],
        )
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return Resident(dataset, batch_size=batch_size, longest=longest, replicas=replicas, augment=augmentations[augment])


def _kind(dataset: Dataset | Encoded) -> str:
    if isinstance(dataset, Encoded):
        return "JPEG files"
    return "images in memory" if len(dataset.input_shape) == 3 else "signals"
