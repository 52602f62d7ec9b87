import os
import subprocess
import sys

import numpy as np
import pytest

from tf_lottery import data
from tf_lottery.data.dataset import Dataset, Encoded, Shard, Split, checksum, split_off
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


def test_a_checksum_changes_with_every_number_of_every_split():
    def made(change=None):
        splits = [Split(np.zeros((2, 3), np.float32), np.zeros(2, np.int32)) for _ in range(3)]
        if change:
            split, part, value = change
            getattr(splits[split], part).flat[-1] = value
        return checksum(Dataset(*splits, num_classes=2))

    changes = [(split, part, 1) for split in range(3) for part in ("x", "y")]
    assert len({made(), *map(made, changes), made((0, "x", -0.0))}) == 8
    assert made() == made()
    flat = Split(np.zeros((6, 1), np.float32), np.zeros(6, np.int32))
    assert len({checksum(Dataset(split, flat, flat, 2)) for split in (flat, Split(flat.x[:, 0], flat.y))}) == 2


def test_a_checksum_of_files_depends_on_their_names_and_records_but_not_on_their_folder():
    def made(path="a/1.tfrecord", take=5, records=(b"x",)):
        shards = {"train": (Shard(path, 0, take),)}
        return checksum(Encoded("mine", "a", shards, 2, in_memory={"test": records}))

    assert made() == made(path="b/1.tfrecord")
    assert made() == made(records=(b"y",))
    assert len({made(), made(path="a/2.tfrecord"), made(take=4), made(records=(b"x", b"y"))}) == 4


@pytest.mark.slow
def test_the_checksum_of_synthetic_records_is_the_same_in_every_process():
    code = (
        "from tf_lottery import data; from tf_lottery.data.dataset import checksum;"
        "print(checksum(data.load('imagenet2012', synthetic=True)), checksum(data.load('mnist', synthetic=True)))"
    )
    found = {
        subprocess.check_output([sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, text=True)
        for seed in "12"
    }
    assert len(found) == 1


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
