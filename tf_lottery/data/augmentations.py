"""Which augmentation of the training images goes with which dataset."""

from tf_lottery.data import imagenet, noise
from tf_lottery.errors import ConfigError

_KINDS = ("signals", "images in memory", "JPEG files")
AUGMENTATIONS: dict[str, tuple[str, ...]] = {
    "none": _KINDS,  # JPEG files: the crop of evaluations, see `feeds.images.test_image`
    "flip_and_crop": ("images in memory",),  # see `feeds.images.flip_and_crop`
    "inception": ("JPEG files",),  # see `feeds.images.train_image`
}


def check(augment: str, dataset: str) -> None:
    """Check that an augmentation is known and fits a dataset, both given by name; reads no data.

    Raises:
        ConfigError: it is unknown or fits only other kinds of datasets.
    """
    if augment not in AUGMENTATIONS:
        raise ConfigError(f"`data.augment` must be one of {', '.join(AUGMENTATIONS)}. Received: {augment!r}")
    kind = _kind(dataset)
    if kind and kind not in AUGMENTATIONS[augment]:
        fitting = ", ".join(name for name, kinds in AUGMENTATIONS.items() if kind in kinds)
        raise ConfigError(
            f"`data.augment` {augment!r} is for {' and '.join(AUGMENTATIONS[augment])}; {dataset} has {kind}. "
            f"Possible there: {fitting}"
        )


def _kind(dataset: str) -> str | None:
    """None for a dataset that this package does not know."""
    if dataset == imagenet.NAME:
        return "JPEG files"
    if dataset not in noise.SHAPES:
        return None
    shape, _ = noise.SHAPES[dataset]
    return "images in memory" if len(shape) == 3 else "signals"
