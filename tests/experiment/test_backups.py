"""A file that may change, or its backup, is whole at any moment."""

import os

import pytest

from tf_lottery import failpoints, files
from tf_lottery.errors import DamageError, RunError
from tf_lottery.experiment import backups

OLD, NEW = {"levels": 3}, {"levels": 4}
DAMAGES = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "one bit": lambda path: path.write_bytes(path.read_bytes().replace(b"3", b"2", 1)),
    "of zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "grown": lambda path: os.truncate(path, 2**34),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


class Killed(BaseException):
    """Raised in place of a SIGKILL."""


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def whole(tmp_path):
    backups.write(tmp_path, "config", OLD)
    return contents(tmp_path)


def test_the_file_and_its_backup_are_sealed_and_equal(tmp_path, whole):
    assert whole == {"config.json": files.seal(OLD), "config.backup.json": files.seal(OLD)}
    assert backups.read(tmp_path, "config") == OLD
    assert backups.paths(tmp_path, "config") == [tmp_path / "config.json", tmp_path / "config.backup.json"]


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "a folder"])
@pytest.mark.parametrize("generation", [0, 1])
def test_a_damaged_file_is_replaced_by_its_backup_and_vice_versa(tmp_path, whole, generation, damage):
    path = backups.paths(tmp_path, "config")[generation]
    DAMAGES[damage](path)
    assert backups.exists(tmp_path, "config")
    assert backups.fault(path)
    assert backups.read(tmp_path, "config") == OLD
    backups.write(tmp_path, "config", backups.read(tmp_path, "config"))
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("first", DAMAGES)
@pytest.mark.parametrize("second", ["gone", "one bit", "grown"])
def test_if_both_are_damaged_the_error_names_the_file_and_what_to_do(tmp_path, whole, first, second):
    for path, damage in zip(backups.paths(tmp_path, "config"), (first, second), strict=True):
        DAMAGES[damage](path)
    assert backups.exists(tmp_path, "config") == ((first, second) != ("gone", "gone"))
    with pytest.raises(DamageError, match=r"/config.json is damaged: .*\. So is its backup: restore one of them from"):
        backups.read(tmp_path, "config")


def test_a_fault_is_a_few_words(tmp_path, whole):
    path = tmp_path / "config.json"
    assert backups.fault(path) == ""
    DAMAGES["one bit"](path)
    assert backups.fault(path) == "its checksum does not match its content"
    DAMAGES["grown"](path)
    assert backups.fault(path) == "it has 17179869184 bytes, at most 16777216 are expected"
    DAMAGES["gone"](path)
    assert backups.fault(path) == "it cannot be read (No such file or directory)"


def kill_at(monkeypatch, number):
    """Raise Killed at the moment with this number; return the list of moments that are reached."""
    reached = []

    def reach(site, moment):
        reached.append(f"{site}: {moment}")
        if len(reached) == number:
            raise Killed

    monkeypatch.setattr(failpoints, "reach", reach)
    return reached


@pytest.mark.parametrize("number", range(1, 13))
def test_killed_at_any_moment_one_file_can_be_read_and_the_next_write_completes_both(
    tmp_path, whole, monkeypatch, number
):
    reached = kill_at(monkeypatch, number)
    with pytest.raises(Killed):
        backups.write(tmp_path, "config", NEW)
    monkeypatch.undo()
    assert reached == [f"config: {moment}" for moment in (2 * failpoints.WRITING)[:number]]
    assert backups.read(tmp_path, "config") == (NEW if number >= failpoints.WRITING.index("renamed") + 1 else OLD)
    backups.write(tmp_path, "config", NEW)
    assert contents(tmp_path) == {"config.json": files.seal(NEW), "config.backup.json": files.seal(NEW)}


def test_a_file_killed_in_its_first_write_is_whole_or_missing(tmp_path, monkeypatch):
    for number in range(1, 13):
        folder = tmp_path / str(number)
        kill_at(monkeypatch, number)
        with pytest.raises(Killed):
            backups.write(folder, "config", NEW)
        monkeypatch.undo()
        assert backups.exists(folder, "config") == (number >= 5)
        if number >= 5:
            assert backups.read(folder, "config") == NEW


def test_files_that_are_up_to_date_are_not_written(tmp_path, whole, monkeypatch):
    reached = kill_at(monkeypatch, 0)
    backups.write(tmp_path, "config", OLD)
    assert reached == []
    DAMAGES["one bit"](tmp_path / "config.backup.json")
    backups.write(tmp_path, "config", OLD)
    assert reached == [f"config: {moment}" for moment in failpoints.WRITING]


def test_a_disk_without_space_leaves_both_as_they_were(tmp_path, whole, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"config.json cannot be written: No space left on device"):
        backups.write(tmp_path, "config", NEW)
    assert contents(tmp_path) == whole
