"""Random noise in the place of a dataset, for runs that only show that everything works.

It needs neither files nor a network.
"""

from typing import Any

import numpy as np

from tf_lottery.data.dataset import SHAPES, Dataset, Encoded, Split
from tf_lottery.errors import DataError

EXAMPLES = {"train": 64, "validation": 24, "test": 24}


def draw_noise(name: str) -> Dataset | Encoded:
    """Draw 64 training, 24 validation and 24 test examples of noise, with the shape and classes of a dataset.

    Each class has a mean of its own, so that there is something to learn. The noise is the same in each call.

    Args:
        name: The dataset to stand in for, one of `SHAPES`.

    Returns:
        What `data.load(name)` would return: an `Encoded` where images differ in size, else a `Dataset`.

    Raises:
        DataError: the shape of the dataset's examples is unknown.
    """
    if name not in SHAPES:
        raise DataError(
            f"{name} has no synthetic examples, because their shape is unknown. Enter it in `data.SHAPES`, as in "
            f"data.SHAPES[{name!r}] = ((28, 28, 1), 10)"
        )
    shape, num_classes = SHAPES[name]
    sides = tuple(side for side in shape if side is not None)
    return _arrays(sides, num_classes) if len(sides) == len(shape) else _jpeg_files(name, num_classes)


def _arrays(shape: tuple[int, ...], num_classes: int) -> Dataset:
    rng = np.random.default_rng(0)
    means = rng.normal(size=(num_classes, *shape))
    splits = {}
    for split, count in EXAMPLES.items():
        y = np.arange(count, dtype=np.int32) % num_classes
        splits[split] = Split((means[y] + rng.normal(size=(count, *shape))).astype(np.float32), y)
    return Dataset(**splits, num_classes=num_classes)


def _jpeg_files(name: str, num_classes: int) -> Encoded:
    """Encode noise of several sizes as genuine JPEG files, in memory."""
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(num_classes=num_classes),
            "file_name": tfds.features.Text(),
        }
    )
    rng = np.random.default_rng(0)
    colours = rng.integers(40, 216, (num_classes, 3))
    in_memory = {
        split: tuple(features.serialize_example(_record(rng, colours, split, index)) for index in range(count))
        for split, count in EXAMPLES.items()
    }
    return Encoded(name, "memory", {}, num_classes, in_memory)


def _record(rng: np.random.Generator, colours: np.ndarray, split: str, index: int) -> dict[str, Any]:
    label = index % len(colours)
    size = rng.integers(48, 97, 2)
    image = np.clip(colours[label] + rng.normal(scale=20, size=(*size, 3)), 0, 255).astype(np.uint8)
    return {"image": image, "label": label, "file_name": f"{split}_{index:03}.JPEG"}
