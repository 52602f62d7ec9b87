import pytest

from tf_lottery import data
from tf_lottery.data.augmentations import AUGMENTATIONS
from tf_lottery.errors import ConfigError
from tf_lottery.feeds import encoded, images, make_feed
from tf_lottery.feeds.resident import Resident
from tf_lottery.feeds.streamed import Streamed

NAMES = {"signals": "mnist1d", "images in memory": "cifar10", "JPEG files": "imagenet2012"}


def make(name, augment):
    dataset = data.load(name, synthetic=True)
    return make_feed(dataset, augment=augment, batch_size=4, longest=3, steps=9, image_size=8, threads=1)


@pytest.mark.parametrize(
    ("name", "feed", "shape", "classes"),
    [
        ("mnist1d", Resident, (40, 1), 10),
        ("cifar100", Resident, (32, 32, 3), 100),
        ("imagenet2012", Streamed, (8, 8, 3), 1000),
    ],
)
def test_arrays_stay_in_memory_and_files_are_streamed(name, feed, shape, classes):
    made = make(name, "none")
    assert type(made) is feed
    assert (made.input_shape, made.num_classes, made.batch_size) == (shape, classes, 4)


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_augmentations_are_accepted_for_the_datasets_that_they_fit_and_refused_for_others(augment, kind):
    if kind in AUGMENTATIONS[augment]:
        assert make(NAMES[kind], augment)
    else:
        with pytest.raises(ConfigError, match=rf"{augment!r} is for .*; this dataset has {kind}. Possible there: none"):
            make(NAMES[kind], augment)


@pytest.mark.parametrize(("name", "augment"), [("cifar10", "flip_and_crop"), ("imagenet2012", "inception")])
def test_augmentations_change_training_images(name, augment):
    plain, changed = (make(name, choice) for choice in ("none", augment))
    (x, y), (other, same) = (feed.examples_of(*feed.take(feed.segment(1, 1, 0, 3), 0)) for feed in (plain, changed))
    assert y.numpy().tolist() == same.numpy().tolist()
    assert (x.numpy() != other.numpy()).any(axis=(1, 2, 3)).all()


def test_without_augmentation_files_get_the_centre_crop_of_evaluations():
    x, y = next(make("imagenet2012", "none").segment(1, 1, 0, 1)[0])
    made = data.load("imagenet2012", synthetic=True)
    centres = {int(record["label"]): images.test_image(record, 8).numpy() for record in encoded.records(made, "train")}
    assert all((image == centres[int(label)]).all() for image, label in zip(x.numpy(), y.numpy(), strict=True))
