import numpy as np
import pytest

from tf_lottery import data
from tf_lottery.data.dataset import split_off
from tf_lottery.errors import DataError


@pytest.mark.parametrize(
    ("name", "shape", "sizes"),
    [("digits", (8, 8, 1), (200, 600, 997)), ("mnist1d", (40, 1), (3500, 500, 1000))],
)
def test_small_datasets_have_the_documented_sizes_and_are_the_same_in_every_call(name, shape, sizes):
    first, second = data.load(name), data.load(name)
    assert first.input_shape == shape
    assert (len(first.train), len(first.validation), len(first.test)) == sizes
    for split in ("train", "validation", "test"):
        one, two = getattr(first, split), getattr(second, split)
        assert one.x.dtype == np.float32
        assert one.y.dtype == np.int32
        assert set(one.y.tolist()) == set(range(first.num_classes))
        assert np.array_equal(one.x, two.x)
        assert np.array_equal(one.y, two.y)


def test_splits_are_disjoint_and_complete():
    x = np.arange(10)[:, None]
    parts = split_off(x, np.arange(10), (3, 2))
    assert [len(part) for part in parts] == [3, 2, 5]
    assert sorted(np.concatenate([part.x.ravel() for part in parts]).tolist()) == list(range(10))
    assert all((part.x.ravel() == part.y).all() for part in parts)


def test_generating_a_dataset_leaves_the_global_random_state_alone():
    np.random.seed(3)
    before = np.random.get_state()[1].tolist()
    data.load("mnist1d")
    assert np.random.get_state()[1].tolist() == before


def test_an_unknown_dataset_lists_the_known_ones():
    known = "cifar10, cifar100, digits, fashion_mnist, fashion_mnist_14, imagenet2012, mnist, mnist1d"
    with pytest.raises(DataError, match=f"Unknown dataset 'minst'. Known: {known}"):
        data.load("minst")


def test_sizes_of_a_dataset_without_an_entry_are_read_from_it(monkeypatch):
    monkeypatch.setitem(data.SOURCES, "own", data.SOURCES["digits"])
    assert data.sizes("own", image_size=224) == ((8, 8, 1), 10)


def test_a_dataset_that_needs_no_preparation_says_so():
    with pytest.raises(DataError, match=r"cifar10, .*, mnist \(digits, .* need no preparation\). Received: 'digits'"):
        data.prepare("digits")
