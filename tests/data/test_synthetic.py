import subprocess
import sys

import numpy as np
import pytest

from tf_lottery import data
from tf_lottery.data.dataset import SHAPES
from tf_lottery.errors import DataError

UNPREPARED = ["digits", "mnist1d"]  # need no preparation, so that noise can be compared with them


@pytest.mark.parametrize("name", sorted(SHAPES.keys() - {"imagenet2012"}))
def test_synthetic_data_has_the_shape_and_classes_of_the_dataset(name):
    made = data.load(name, synthetic=True)
    assert (len(made.train), len(made.validation), len(made.test)) == (64, 24, 24)
    assert made.num_classes == SHAPES[name][1]
    for split in (made.train, made.validation, made.test):
        assert (split.x.dtype, split.y.dtype) == (np.float32, np.int32)
        assert split.x.shape[1:] == made.input_shape == SHAPES[name][0]
        assert 0 <= split.y.min() <= split.y.max() < made.num_classes
    if name in UNPREPARED:
        real = data.load(name)
        assert (real.input_shape, real.num_classes) == (made.input_shape, made.num_classes)


def test_noise_is_the_same_in_every_call_and_differs_between_splits():
    one, two = data.load("cifar10", synthetic=True), data.load("cifar10", synthetic=True)
    assert np.array_equal(one.train.x, two.train.x)
    assert not np.array_equal(one.train.x[:24], one.test.x)


def test_classes_of_noise_can_be_told_apart_by_their_means():
    made = data.load("mnist", synthetic=True)
    means = np.stack([made.train.x[made.train.y == label].mean(0) for label in range(10)])
    distances = ((made.test.x[:, None] - means) ** 2).sum((2, 3, 4))
    assert (distances.argmin(1) == made.test.y).mean() > 0.9


def test_encoded_noise_is_the_same_in_every_call():
    made = data.load("imagenet2012", synthetic=True)
    assert made.examples == {"train": 64, "validation": 24, "test": 24}
    assert made.num_classes == 1000
    assert data.load("imagenet2012", synthetic=True) == made


def test_images_that_differ_in_size_are_encoded_whatever_the_dataset_is_called(monkeypatch):
    monkeypatch.setitem(data.SOURCES, "photos", lambda: None)
    monkeypatch.setitem(data.SHAPES, "photos", ((None, None, 3), 7))
    made = data.load("photos", synthetic=True)
    assert (made.name, made.input_shape, made.num_classes) == ("photos", (None, None, 3), 7)
    assert data.sizes("photos", image_size=24) == ((24, 24, 3), 7)


def test_an_unknown_name_is_refused_for_synthetic_data_too():
    with pytest.raises(DataError, match="Unknown dataset 'minst'"):
        data.load("minst", synthetic=True)


def test_the_tables_of_datasets_and_augmentations_are_imported_without_tensorflow():
    code = "import sys; from tf_lottery.data import SOURCES, augmentations; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_dataset_without_a_shape_says_where_to_enter_it(monkeypatch):
    monkeypatch.setitem(data.SOURCES, "waves", lambda: None)
    with pytest.raises(
        DataError, match=r"waves has no synthetic examples, .* Enter it in `data.SHAPES`, as in data.SHAPES"
    ):
        data.load("waves", synthetic=True)
