"""Fashion-MNIST from Debian's package: the genuine files and the genuine builder, without a network."""

import gzip
import shutil

import numpy as np
import pytest

from tf_lottery.data import debian, in_memory, prepared
from tf_lottery.errors import DataError


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The folder with the files of Debian's package, installed or fetched."""
    if debian.INSTALLED.exists():
        return debian.INSTALLED
    folder = debian.fetch(tmp_path_factory.mktemp("package"))
    if folder is None:
        pytest.skip("Debian's package dataset-fashion-mnist is not available here")
    return folder


def test_no_package_and_no_network_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(debian, "INSTALLED", tmp_path / "nothing")
    monkeypatch.setattr(debian, "fetch", lambda scratch: None)
    monkeypatch.setattr(prepared, "_reachable", lambda url: False)
    with pytest.raises(DataError, match=r"no network .* Put the archives there: apt-get install dataset-fashion-mnist"):
        in_memory.prepare_fashion_mnist(str(tmp_path))


def test_a_header_gets_back_its_name_and_time():
    packed = gzip.compress(b"content", mtime=0)
    restored = debian.restore_header(packed, "a.gz", 1504176606)
    assert restored[3] == 8
    assert int.from_bytes(restored[4:8], "little") == 1504176606
    assert restored[10:12] == b"a\0"
    assert gzip.decompress(restored) == b"content"
    assert debian.restore_header(restored, "b.gz", 0) == restored


def test_a_file_that_is_not_the_genuine_one_is_refused(package, tmp_path, monkeypatch):
    shutil.copytree(package, tmp_path / "forged")
    (tmp_path / "forged" / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"forged"))
    monkeypatch.setattr(debian, "INSTALLED", tmp_path / "forged")
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.gz is not the genuine file"):
        in_memory.prepare_fashion_mnist(str(tmp_path / "data"))


@pytest.mark.nightly
def test_the_genuine_builder_reads_the_files_of_the_package(package, tmp_path, monkeypatch):
    monkeypatch.setattr(debian, "INSTALLED", package)
    folder = in_memory.prepare_fashion_mnist(str(tmp_path))
    assert in_memory.prepare_fashion_mnist(str(tmp_path)) == folder
    dataset = in_memory.fashion_mnist(str(tmp_path))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (55_000, 5_000, 10_000)
    assert dataset.input_shape == (28, 28, 1)
    # Read without tensorflow-datasets, the images are the same, in whatever order.
    with gzip.open(package / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(10_000, -1)
    ours = np.rint(dataset.test.x * 255).astype(np.uint8).reshape(10_000, -1)
    assert sorted(map(bytes, ours)) == sorted(map(bytes, images))
    assert np.bincount(dataset.test.y).tolist() == [1000] * 10
    small = in_memory.fashion_mnist_14(str(tmp_path))
    assert (len(small.train), len(small.validation), len(small.test)) == (10_000, 5_000, 10_000)
    assert small.input_shape == (14, 14, 1)
