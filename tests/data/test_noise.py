import subprocess
import sys

import numpy as np
import pytest

from tf_lottery import data
from tf_lottery.data import noise
from tf_lottery.errors import DataError

SMALL = ["digits", "mnist1d"]  # the ones that need no preparation, to compare with


@pytest.mark.parametrize("name", sorted(noise.SHAPES))
def test_noise_is_arrays_like_the_data_it_stands_for(name):
    made = data.load(name, synthetic=True)
    assert (len(made.train), len(made.validation), len(made.test)) == (64, 24, 24)
    assert made.num_classes == noise.SHAPES[name][1]
    for split in (made.train, made.validation, made.test):
        assert (split.x.dtype, split.y.dtype) == (np.float32, np.int32)
        assert split.x.shape[1:] == made.input_shape == noise.SHAPES[name][0]
        assert 0 <= split.y.min() <= split.y.max() < made.num_classes
    if name in SMALL:
        true = data.load(name)
        assert (true.input_shape, true.num_classes) == (made.input_shape, made.num_classes)


def test_noise_is_the_same_every_time_and_other_noise_in_every_split():
    one, two = data.load("cifar10", synthetic=True), data.load("cifar10", synthetic=True)
    assert np.array_equal(one.train.x, two.train.x)
    assert not np.array_equal(one.train.x[:24], one.test.x)


def test_there_is_something_to_learn():
    made = data.load("mnist", synthetic=True)
    means = np.stack([made.train.x[made.train.y == label].mean(0) for label in range(10)])
    distances = ((made.test.x[:, None] - means) ** 2).sum((2, 3, 4))
    assert (distances.argmin(1) == made.test.y).mean() > 0.9


def test_encoded_noise_is_the_same_every_time():
    made = data.load("imagenet2012", synthetic=True)
    assert made.examples == {"train": 64, "validation": 24, "test": 24}
    assert made.num_classes == 1000
    assert data.load("imagenet2012", synthetic=True) == made


def test_an_unknown_name_is_unknown_synthetic_too():
    with pytest.raises(DataError, match="Unknown dataset 'minst'"):
        data.load("minst", synthetic=True)


def test_naming_the_sources_starts_no_tensorflow():
    code = "import sys; from tf_lottery.data import SOURCES, augmentations; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_source_without_a_shape_says_where_to_enter_it(monkeypatch):
    monkeypatch.setitem(data.SOURCES, "waves", lambda: None)
    with pytest.raises(
        DataError, match=r"waves cannot be synthetic: enter the shape of its examples in `data.noise.SHA"
    ):
        data.load("waves", synthetic=True)
