import pytest

from tf_lottery import data
from tf_lottery.data import augmentations
from tf_lottery.errors import ConfigError


def test_every_dataset_can_do_without_augmentation():
    for name in data.SOURCES:
        augmentations.check("none", name)


@pytest.mark.parametrize(
    ("augment", "dataset"), [("flip_and_crop", "cifar10"), ("flip_and_crop", "mnist"), ("inception", "imagenet2012")]
)
def test_an_augmentation_that_fits_the_dataset_passes(augment, dataset):
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
def test_an_augmentation_that_does_not_fit_says_which_do(augment, dataset, message):
    with pytest.raises(ConfigError, match=message):
        augmentations.check(augment, dataset)


def test_a_dataset_of_unknown_shape_passes_until_it_is_loaded():
    augmentations.check("flip_and_crop", "my_images")
    with pytest.raises(ConfigError, match=r"must be one of none, flip_and_crop, inception. Received: 'flip'"):
        augmentations.check("flip", "my_images")
    with pytest.raises(ConfigError, match=r"is for images in memory; this dataset has signals. Possible there: none$"):
        augmentations.function_name("flip_and_crop", data.load("mnist1d", synthetic=True))


def test_every_dataset_has_a_known_shape():
    assert data.SHAPES.keys() == data.SOURCES.keys()
