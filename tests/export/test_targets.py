import pytest

from tf_lottery.errors import ExportError
from tf_lottery.export import targets


def fail():
    raise AssertionError("the content must not be made")


def test_a_file_is_written_with_the_folders_it_needs(tmp_path):
    targets.write(tmp_path / "a/b.tfl", lambda: b"content")
    assert (tmp_path / "a/b.tfl").read_bytes() == b"content"


def test_a_file_is_replaced_only_on_demand(tmp_path):
    path = tmp_path / "a.tfl"
    path.write_bytes(b"old")
    with pytest.raises(ExportError, match=r"a\.tfl exists\. Choose another name, or have it replaced: overwrite=True"):
        targets.write(path, fail)
    assert path.read_bytes() == b"old"
    targets.write(path, lambda: b"new", overwrite=True)
    assert path.read_bytes() == b"new"
    with pytest.raises(ExportError, match="is a directory"):
        targets.write(tmp_path, fail, overwrite=True)


def test_an_error_while_the_content_is_made_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.tfl"
    path.write_bytes(b"old")
    with pytest.raises(AssertionError):
        targets.write(path, fail, overwrite=True)
    assert [other.name for other in tmp_path.iterdir()] == ["a.tfl"]
    assert path.read_bytes() == b"old"
