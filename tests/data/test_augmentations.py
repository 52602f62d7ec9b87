import pytest

from tf_lottery import data
from tf_lottery.data import augmentations
from tf_lottery.errors import ConfigError


def test_no_augmentation_goes_with_everything():
    for name in data.SOURCES:
        augmentations.check("none", name)


@pytest.mark.parametrize(
    ("augment", "dataset"), [("flip_and_crop", "cifar10"), ("flip_and_crop", "mnist"), ("inception", "imagenet2012")]
)
def test_what_fits_passes(augment, dataset):
    augmentations.check(augment, dataset)


@pytest.mark.parametrize(
    ("augment", "dataset", "message"),
    [
        ("flip_and_crop", "mnist1d", "is for images in memory; mnist1d has signals. Possible there: none$"),
        ("flip_and_crop", "imagenet2012", "imagenet2012 has JPEG files. Possible there: none, inception$"),
        (
            "inception",
            "cifar10",
            "is for JPEG files; cifar10 has images in memory. Possible there: none, flip_and_crop$",
        ),
        ("flip", "cifar10", "must be one of none, flip_and_crop, inception. Received: 'flip'"),
    ],
)
def test_what_does_not_fit_says_what_would(augment, dataset, message):
    with pytest.raises(ConfigError, match=message):
        augmentations.check(augment, dataset)


def test_a_dataset_of_ones_own_is_left_to_its_author():
    augmentations.check("flip_and_crop", "my_images")


def test_every_source_is_of_a_known_kind():
    assert None not in {augmentations._kind(name) for name in data.SOURCES}
