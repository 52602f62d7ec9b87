"""Noise in the place of data, for runs that only show that everything works: no files and no network needed."""

from typing import Any

import numpy as np

from tf_lottery.data import imagenet
from tf_lottery.data.dataset import Dataset, Encoded, Split
from tf_lottery.errors import DataError

EXAMPLES = {"train": 64, "validation": 24, "test": 24}
IMAGENET_CLASSES = 1_000
# Of an example, and how many classes; ImageNet's images are of any size.
SHAPES: dict[str, tuple[tuple[int, ...], int]] = {
    "cifar10": ((32, 32, 3), 10),
    "cifar100": ((32, 32, 3), 100),
    "digits": ((8, 8, 1), 10),
    "fashion_mnist": ((28, 28, 1), 10),
    "fashion_mnist_14": ((14, 14, 1), 10),
    "mnist": ((28, 28, 1), 10),
    "mnist1d": ((40, 1), 10),
}


def load(name: str) -> Dataset | Encoded:
    """What `data.load(name)` would return, with 64 training, 24 validation and 24 test examples of noise.

    Every class has a mean of its own, so that there is something to learn. The same every time.

    Raises:
        DataError: nobody has said what its examples look like.
    """
    if name == imagenet.NAME:
        return _imagenet()
    if name not in SHAPES:
        raise DataError(f"{name} cannot be synthetic: enter the shape of its examples in `data.noise.SHAPES`.")
    return _arrays(*SHAPES[name])


def _arrays(shape: tuple[int, ...], num_classes: int) -> Dataset:
    rng = np.random.default_rng(0)
    means = rng.normal(size=(num_classes, *shape))
    splits = {}
    for split, count in EXAMPLES.items():
        y = np.arange(count, dtype=np.int32) % num_classes
        splits[split] = Split((means[y] + rng.normal(size=(count, *shape))).astype(np.float32), y)
    return Dataset(**splits, num_classes=num_classes)


def _imagenet() -> Encoded:
    """Genuine JPEG files of several sizes, in memory."""
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(num_classes=IMAGENET_CLASSES),
            "file_name": tfds.features.Text(),
        }
    )
    rng = np.random.default_rng(0)
    colours = rng.integers(40, 216, (IMAGENET_CLASSES, 3))
    in_memory = {
        split: tuple(features.serialize_example(_record(rng, colours, split, index)) for index in range(count))
        for split, count in EXAMPLES.items()
    }
    return Encoded(imagenet.NAME, "memory", {}, IMAGENET_CLASSES, in_memory)


def _record(rng: np.random.Generator, colours: np.ndarray, split: str, index: int) -> dict[str, Any]:
    size = rng.integers(48, 97, 2)
    image = np.clip(colours[index] + rng.normal(scale=20, size=(*size, 3)), 0, 255).astype(np.uint8)
    return {"image": image, "label": index, "file_name": f"{split}_{index:03}.JPEG"}
