import os

import pytest

from tf_lottery import files
from tf_lottery.errors import RunError


def test_a_file_is_written_with_the_folders_it_needs(tmp_path):
    files.write(tmp_path / "a/b/file", b"content")
    assert (tmp_path / "a/b/file").read_bytes() == b"content"
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    files.write(tmp_path / "file", b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"file cannot be written: No space left on device"):
        files.write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
