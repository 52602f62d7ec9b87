"""The genuine builders of tensorflow-datasets on tiny archives, without a network."""

import archives
import numpy as np
import pytest

from tf_lottery import data
from tf_lottery.data import in_memory, prepared


def pairs(images, labels):
    """Images with their labels, whatever their order."""
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


def statistics_used(x, images):
    """The mean and deviation of each channel by which `images` became `x`, found from their extremes."""
    low, high, x_low, x_high = (
        extreme(array, axis=(0, 1, 2)).astype(float) for array in (images, x) for extreme in (np.min, np.max)
    )
    deviation = (high - low) / (x_high - x_low)
    return low - deviation * x_low, deviation


def sums_of_2x2(images):
    return sum(images[:, down::2, right::2].astype(int) for down in (0, 1) for right in (0, 1))


@pytest.mark.parametrize(("name", "num_classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_has_the_images_of_the_archive_standardised_by_those_for_training(
    tmp_path, monkeypatch, name, num_classes
):
    made = archives.cifar(monkeypatch, tmp_path, name)
    folder = prepared.prepare(name, str(tmp_path))
    assert prepared.prepare(name, str(tmp_path)) == folder
    dataset = getattr(in_memory, name)(str(tmp_path))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (90, 10, 20)
    assert (dataset.input_shape, dataset.num_classes) == ((32, 32, 3), num_classes)
    splits = (dataset.train, dataset.validation, dataset.test)
    assert {split.x.dtype.name for split in splits} == {"float32"}
    assert {split.y.dtype.name for split in splits} == {"int32"}
    mean, deviation = statistics_used(dataset.test.x, made["test"][0])
    train, validation, test = (np.rint(split.x * deviation + mean).astype(np.uint8) for split in splits)
    np.testing.assert_allclose(train.mean((0, 1, 2)), mean, rtol=1e-4)
    np.testing.assert_allclose(train.std((0, 1, 2)), deviation, rtol=1e-4)
    both, labels = np.concatenate([train, validation]), np.concatenate([dataset.train.y, dataset.validation.y])
    assert pairs(both, labels) == pairs(*made["train"])
    assert pairs(test, dataset.test.y) == pairs(*made["test"])


def test_mnist_has_the_images_of_the_archive_scaled_to_one(tmp_path, monkeypatch):
    made = archives.mnist(monkeypatch, tmp_path)
    prepared.prepare("mnist", str(tmp_path))
    dataset = in_memory.mnist(str(tmp_path))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (44, 4, 10)
    x = np.concatenate([dataset.train.x, dataset.validation.x])
    y = np.concatenate([dataset.train.y, dataset.validation.y])
    whole = np.rint(x * 255).astype(np.uint8)
    assert np.array_equal(x, whole / np.float32(255))
    assert pairs(whole, y) == pairs(*made["train"])
    assert pairs(np.rint(dataset.test.x * 255).astype(np.uint8), dataset.test.y) == pairs(*made["test"])


def test_fashion_mnist_14_has_fewer_and_smaller_images_of_the_same_splits(tmp_path, monkeypatch):
    made = archives.mnist(monkeypatch, tmp_path, "fashion_mnist")
    monkeypatch.setattr(in_memory, "FASHION_14_TRAIN", 30)
    data.PREPARE["fashion_mnist_14"](str(tmp_path))
    whole, small = in_memory.fashion_mnist(str(tmp_path)), in_memory.fashion_mnist_14(str(tmp_path))
    assert (len(small.train), len(small.validation), len(small.test)) == (30, 4, 10)
    assert (small.input_shape, small.num_classes) == ((14, 14, 1), 10)
    mean, deviation = statistics_used(small.test.x, sums_of_2x2(made["test"][0]))
    found, expected = {}, {}
    for split in small.examples:
        ours, theirs = getattr(small, split), getattr(whole, split)
        found[split] = pairs(np.rint(ours.x * deviation + mean).astype(int), ours.y)
        expected[split] = pairs(sums_of_2x2(np.rint(255 * theirs.x)), theirs.y)
    assert (found["validation"], found["test"]) == (expected["validation"], expected["test"])
    assert len(set(found["train"])) == 30
    assert set(found["train"]) < set(expected["train"])
    np.testing.assert_allclose((small.train.x.mean(), small.train.x.std()), (0, 1), atol=1e-6)


def test_the_official_training_images_are_split_as_in_the_paper():
    assert round(60_000 * in_memory.GREY_HELD_OUT) == 5_000
    assert round(50_000 * in_memory.COLOUR_HELD_OUT) == 5_000


@pytest.mark.parametrize("greatest", [1, 255, 1020])
def test_channel_statistics_are_those_of_numpy_in_any_order_of_the_images(greatest):
    x = np.random.default_rng(0).integers(0, greatest + 1, (50, 8, 8, 3)).astype(np.float32)
    mean, deviation = in_memory.channel_statistics(x)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2), dtype=float), rtol=1e-6)
    np.testing.assert_allclose(deviation, x.std((0, 1, 2), dtype=float), rtol=1e-6)
    np.testing.assert_array_equal(in_memory.channel_statistics(x[::-1]), (mean, deviation))


def test_a_small_image_has_the_sum_of_each_2x2_and_no_sum_overflows():
    image = np.array([[1, 2, 255, 255], [3, 4, 255, 255]], np.uint8)[None, :, :, None]
    assert in_memory.sums_of_four(image)[0, ..., 0].tolist() == [[10, 1020]]


def test_the_datasets_of_the_paper_are_there():
    assert {"mnist", "cifar10", "imagenet2012"} <= set(data.SOURCES) & set(data.PREPARE)
