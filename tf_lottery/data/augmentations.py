"""The augmentations of training images, and the kinds of datasets that each of them fits."""

from tf_lottery.data.dataset import SHAPES, Dataset, Encoded, Shape
from tf_lottery.errors import ConfigError

SIGNALS, IMAGES, FILES = "signals", "images in memory", "JPEG files"

# By augmentation and kind of dataset: the function of `feeds.images` that changes training images. None leaves examples
# as they are; JPEG files then get the crop of evaluations, `feeds.images.test_image`.
AUGMENTATIONS: dict[str, dict[str, str | None]] = {
    "none": {SIGNALS: None, IMAGES: None, FILES: None},
    "flip_and_crop": {IMAGES: "flip_and_crop"},
    "inception": {FILES: "train_image"},
}


def check(augment: str, dataset: str) -> None:
    """Check that an augmentation exists and fits a dataset, without reading the dataset.

    A dataset that is not in `SHAPES` passes: `function_name` checks it when it has been loaded.

    Args:
        augment: Name of the augmentation.
        dataset: Name of the dataset.

    Raises:
        ConfigError: the augmentation is unknown, or does not fit the dataset.
    """
    kind = _kind(SHAPES[dataset][0]) if dataset in SHAPES else None
    _check(augment, kind, dataset)


def function_name(augment: str, dataset: Dataset | Encoded) -> str | None:
    """Return the name of the function of `feeds.images` that augments a dataset; None for no augmentation.

    Args:
        augment: Name of the augmentation.
        dataset: The loaded dataset.

    Raises:
        ConfigError: the augmentation is unknown, or does not fit the dataset.
    """
    kind = _kind(dataset.input_shape)
    _check(augment, kind, "this dataset")
    return AUGMENTATIONS[augment][kind]


def _kind(shape: Shape) -> str:
    """Return the kind of a dataset whose examples have this shape."""
    if None in shape:
        return FILES
    return IMAGES if len(shape) == 3 else SIGNALS


def _check(augment: str, kind: str | None, dataset: str) -> None:
    if augment not in AUGMENTATIONS:
        raise ConfigError(f"`data.augment` must be one of {', '.join(AUGMENTATIONS)}. Received: {augment!r}")
    if kind and kind not in AUGMENTATIONS[augment]:
        fitting = ", ".join(name for name, kinds in AUGMENTATIONS.items() if kind in kinds)
        raise ConfigError(
            f"`data.augment` {augment!r} is for {' and '.join(AUGMENTATIONS[augment])}; {dataset} has {kind}. "
            f"Possible there: {fitting}"
        )
