"""The genuine builders of tensorflow-datasets on tiny archives, without a network."""

import archives
import numpy as np
import pytest

from tf_lottery import data
from tf_lottery.data import prepared, small_images


def pairs(images, labels):
    """Images with their labels, whatever their order."""
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


@pytest.mark.parametrize(("name", "num_classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_comes_out_as_it_went_in_standardised_by_its_training_images(tmp_path, monkeypatch, name, num_classes):
    made = archives.cifar(monkeypatch, tmp_path, name)
    folder = prepared.prepare(name, str(tmp_path))
    assert prepared.prepare(name, str(tmp_path)) == folder
    dataset = getattr(small_images, name)(str(tmp_path))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (90, 10, 20)
    assert (dataset.input_shape, dataset.num_classes) == ((32, 32, 3), num_classes)
    splits = (dataset.train, dataset.validation, dataset.test)
    assert {split.x.dtype.name for split in splits} == {"float32"}
    assert {split.y.dtype.name for split in splits} == {"int32"}
    # Standardising is affine in each channel: the extremes of the test images tell its two numbers.
    low, high = (extreme(made["test"][0], axis=(0, 1, 2)).astype(float) for extreme in (np.min, np.max))
    x_low, x_high = (extreme(dataset.test.x, axis=(0, 1, 2)).astype(float) for extreme in (np.min, np.max))
    deviation = (high - low) / (x_high - x_low)
    mean = low - deviation * x_low
    train, validation, test = (np.rint(split.x * deviation + mean).astype(np.uint8) for split in splits)
    np.testing.assert_allclose(train.mean((0, 1, 2)), mean, rtol=1e-4)
    np.testing.assert_allclose(train.std((0, 1, 2)), deviation, rtol=1e-4)
    both, labels = np.concatenate([train, validation]), np.concatenate([dataset.train.y, dataset.validation.y])
    assert pairs(both, labels) == pairs(*made["train"])
    assert pairs(test, dataset.test.y) == pairs(*made["test"])


def test_mnist_comes_out_as_it_went_in_scaled_to_one(tmp_path, monkeypatch):
    made = archives.mnist(monkeypatch, tmp_path)
    prepared.prepare("mnist", str(tmp_path))
    dataset = small_images.mnist(str(tmp_path))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (44, 4, 10)
    x = np.concatenate([dataset.train.x, dataset.validation.x])
    y = np.concatenate([dataset.train.y, dataset.validation.y])
    whole = np.rint(x * 255).astype(np.uint8)
    assert np.array_equal(x, whole / np.float32(255))
    assert pairs(whole, y) == pairs(*made["train"])
    assert pairs(np.rint(dataset.test.x * 255).astype(np.uint8), dataset.test.y) == pairs(*made["test"])


def test_the_official_sizes_are_split_as_the_paper_splits_them():
    assert round(60_000 * small_images.GREY_HELD_OUT) == 5_000
    assert round(50_000 * small_images.COLOUR_HELD_OUT) == 5_000


def test_channel_statistics_are_those_of_numpy():
    x = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3)).astype(np.float32)
    mean, deviation = small_images.channel_statistics(x)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2), dtype=float), rtol=1e-6)
    np.testing.assert_allclose(deviation, x.std((0, 1, 2), dtype=float), rtol=1e-6)


def test_every_network_of_the_paper_finds_its_data():
    assert {"mnist", "cifar10", "imagenet2012"} <= set(data.SOURCES) & set(data.PREPARE)
