"""The error messages about data that is missing, foreign or damaged."""

from contextlib import nullcontext

import archives
import pytest

from tf_lottery import data
from tf_lottery.data import imagenet, in_memory, prepared
from tf_lottery.errors import DataError


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A folder with CIFAR-10 prepared from a tiny archive."""
    archives.cifar(monkeypatch, tmp_path, "cifar10")
    prepared.prepare("cifar10", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", data.PREPARE)
def test_missing_data_is_one_line_with_the_folder_and_the_command_and_uses_no_network(tmp_path, name, monkeypatch):
    monkeypatch.setattr("socket.create_connection", None)
    load = imagenet.load if name == "imagenet2012" else getattr(in_memory, name)
    stored = name.removesuffix("_14")
    expected = rf"^{stored} is not in {tmp_path}/{stored}/\d.\d.\d .* python scripts/prepare_data.py {stored}$"
    with pytest.raises(DataError, match=expected):
        load(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "file", "address"),
    [
        ("cifar10", "cifar-10-binary.tar.gz", "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"),
        ("mnist", "t10k-images-idx3-ubyte.gz", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    ],
)
def test_without_archive_and_network_one_try_ends_in_what_to_put_where(tmp_path, monkeypatch, name, file, address):
    tried = []

    def unreachable(*arguments, **keywords):
        tried.append(arguments)
        raise OSError("Network is unreachable")

    monkeypatch.setattr("socket.create_connection", unreachable)
    with pytest.raises(DataError) as caught:
        prepared.prepare(name, str(tmp_path))
    assert len(tried) == 1  # TFDS would try for minutes
    for part in (f"{name} is not available", file, f"{tmp_path}/downloads/manual", "no network", address):
        assert part in str(caught.value)


def test_a_proxy_is_tried_where_one_is_set(monkeypatch):
    asked = []
    monkeypatch.setattr("socket.create_connection", lambda address, timeout: asked.append(address) or nullcontext())
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert prepared._reachable("https://data.example/archive")
    monkeypatch.delenv("https_proxy")
    assert prepared._reachable("https://data.example/archive")
    assert asked == [("proxy.example", 3128), ("data.example", 443)]


def test_an_archive_that_is_not_the_genuine_one_is_refused(tmp_path):
    folder = tmp_path / "downloads/manual"
    folder.mkdir(parents=True)
    (folder / "cifar-10-binary.tar.gz").write_bytes(b"forged")
    with pytest.raises(DataError, match=r"cifar10 could not be prepared from .*manual: NonMatchingChecksumError"):
        prepared.prepare("cifar10", str(tmp_path))


@pytest.mark.parametrize("share", [0.0, 0.4, 0.999])
def test_a_truncated_file_is_one_line_that_says_what_to_do(cifar, share):
    (file,) = cifar.glob("cifar10/*/*train*")
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    expected = rf"cifar10 in {file.parent} is damaged: .* Delete that folder .*prepare_data.py cifar10$"
    with pytest.raises(DataError, match=expected):
        in_memory.cifar10(str(cifar))


def test_a_flipped_byte_is_noticed(cifar):
    (file,) = cifar.glob("cifar10/*/*test*")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"is damaged: DataLossError"):
        in_memory.cifar10(str(cifar))


@pytest.mark.parametrize("content", ["", "{", '{"name": "cifar10"}'])
def test_a_damaged_description_is_one_line_that_says_what_to_do(cifar, content):
    (file,) = cifar.glob("cifar10/*/dataset_info.json")
    file.write_text(content)
    with pytest.raises(DataError, match=rf"cifar10 in {cifar}/cifar10.* is damaged: .* Delete that folder"):
        in_memory.cifar10(str(cifar))


def test_a_missing_file_is_noticed(cifar):
    (file,) = cifar.glob("cifar10/*/*test*")
    file.unlink()
    with pytest.raises(DataError, match=r"is damaged: .* Delete that folder"):
        in_memory.cifar10(str(cifar))
