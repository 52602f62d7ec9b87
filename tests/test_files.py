"""Files exist whole or not at all, whatever happens to process and disk; JSON with a checksum hides no change."""

import errno
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from tf_lottery import failpoints, files
from tf_lottery.errors import RunError
from tf_lottery.files import seal, unseal

OLD, NEW = b"what was there", b"what is written in its place"
SITE = "report"


class Killed(BaseException):
    """Stands in for SIGKILL: a BaseException that nothing may catch to clean up."""


def die_at(monkeypatch, wanted):
    def reach(site, moment):
        if moment == wanted:
            raise Killed

    monkeypatch.setattr(failpoints, "reach", reach)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_the_folders_it_needs(tmp_path):
    files.write(tmp_path / "a/b/file", NEW, SITE)
    assert (tmp_path / "a/b/file").read_bytes() == NEW
    assert names(tmp_path / "a/b") == ["file"]


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 1000])
def test_any_content_comes_back(tmp_path, content):
    files.write(tmp_path / "file", content, SITE)
    assert files.read(tmp_path / "file", len(content)) == content


def test_a_write_passes_its_failpoints_in_order(tmp_path, monkeypatch):
    reached = []
    monkeypatch.setattr(failpoints, "reach", lambda site, moment: reached.append((site, moment)))
    files.write(tmp_path / "file", NEW, SITE)
    assert reached == [(SITE, moment) for moment in failpoints.WRITING]


@pytest.mark.parametrize("moment", failpoints.WRITING)
@pytest.mark.parametrize("old", [None, OLD])
def test_a_process_killed_at_any_moment_of_a_write_leaves_the_old_file_or_the_new_one(
    tmp_path, monkeypatch, moment, old
):
    path = tmp_path / "file"
    if old:
        path.write_bytes(old)
    die_at(monkeypatch, moment)
    with pytest.raises(Killed):
        files.write(path, NEW, SITE)
    monkeypatch.undo()
    is_renamed = moment in ("renamed", "done")
    assert (path.read_bytes() if path.exists() else None) == (NEW if is_renamed else old)
    others = [other for other in tmp_path.iterdir() if other != path]
    assert all(map(files.is_leftover, others))
    assert len(others) == (moment in ("half written", "not synced", "not renamed"))


def test_a_write_replaces_what_a_killed_one_left_behind(tmp_path, monkeypatch):
    die_at(monkeypatch, "half written")
    with pytest.raises(Killed):
        files.write(tmp_path / "file", NEW * 1000, SITE)
    monkeypatch.undo()
    files.write(tmp_path / "file", NEW, SITE)
    assert (tmp_path / "file").read_bytes() == NEW
    assert names(tmp_path) == ["file"]


def test_the_bytes_are_synced_before_the_rename_and_the_rename_before_the_end(tmp_path, monkeypatch):
    done, sizes = [], []
    monkeypatch.setattr(failpoints, "reach", lambda site, moment: done.append(moment))
    sync, replace = os.fsync, os.replace

    def synced(descriptor):
        synced = os.fstat(descriptor)
        done.append("sync folder" if stat.S_ISDIR(synced.st_mode) else "sync file")
        if not stat.S_ISDIR(synced.st_mode):
            sizes.append(synced.st_size)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("rename"), replace(*paths)))
    files.write(tmp_path / "file", NEW, SITE)
    assert done[2:] == ["not synced", "sync file", "not renamed", "rename", "renamed", "sync folder", "done"]
    assert sizes == [len(NEW)]


def _no_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_frees_the_disk(tmp_path, monkeypatch, step):
    (tmp_path / "file").write_bytes(OLD)
    monkeypatch.setattr(os, step, _no_space)
    with pytest.raises(RunError, match=r"file cannot be written: No space left on device"):
        files.write(tmp_path / "file", NEW, SITE)
    assert (tmp_path / "file").read_bytes() == OLD
    assert names(tmp_path) == ["file"]


def test_a_disk_that_fills_up_leaves_the_old_file_and_is_freed(tmp_path):
    # A limit on the size of files stands in for the disk: the system itself refuses further writes.
    (tmp_path / "file").write_bytes(OLD)
    code = (
        "import resource, sys; from pathlib import Path; from tf_lottery import files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n files.write(Path(sys.argv[1]), bytes(int(sys.argv[2])), 'report')\n"
        "except files.RunError as error:\n print(error)"
    )
    for size in (100_001, 150_000, 1_000_000):
        command = [sys.executable, "-c", code, tmp_path / "file", str(size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == f"{tmp_path / 'file'} cannot be written: File too large\n"
        assert (tmp_path / "file").read_bytes() == OLD
        assert names(tmp_path) == ["file"]


def test_a_path_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(RunError, match=r"file/folder/new cannot be written: Not a directory"):
        files.write(tmp_path / "file/folder/new", NEW, SITE)
    with pytest.raises(RunError, match=r"cannot be written: File name too long"):
        files.write(tmp_path / ("x" * 300), NEW, SITE)
    (tmp_path / "folder/inside").mkdir(parents=True)
    with pytest.raises(RunError, match=r"folder cannot be written: Is a directory"):
        files.write(tmp_path / "folder", NEW, SITE)
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == OLD


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder in which not even root can write")
def test_a_folder_that_is_read_only_is_one_error():
    with pytest.raises(RunError, match=r"/proc/self/file cannot be written"):
        files.write(Path("/proc/self/file"), NEW, SITE)
    with pytest.raises(RunError, match=r"/proc/self/stat cannot be removed: Operation not permitted"):
        files.remove(Path("/proc/self/stat"), "leftover")


def test_a_file_is_read_up_to_the_expected_size(tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    assert files.read(tmp_path / "file", len(OLD)) == OLD
    with pytest.raises(ValueError, match=r"^it has 14 bytes, at most 13 are expected$"):
        files.read(tmp_path / "file", 13)
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(OSError, match=r"No such file|Is a directory"):
            files.read(path, 10)


def test_reading_takes_the_memory_of_the_file_whatever_the_limit(tmp_path):
    (tmp_path / "small").write_bytes(OLD)
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 2**34)
    tracemalloc.start()
    assert files.read(tmp_path / "small", 2**40) == OLD
    with pytest.raises(ValueError, match="it has 17179869184 bytes"):
        files.read(tmp_path / "large", 2**20)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_a_file_is_removed_if_it_exists(tmp_path, monkeypatch):
    reached = []
    monkeypatch.setattr(failpoints, "reach", lambda site, moment: reached.append((site, moment)))
    (tmp_path / "file").write_bytes(OLD)
    for _ in range(2):
        files.remove(tmp_path / "file", "leftover")
        assert names(tmp_path) == []
    assert reached == 2 * [("leftover", moment) for moment in failpoints.REMOVING]
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match=r"folder cannot be removed: "):
        files.remove(tmp_path / "folder", "leftover")


@pytest.mark.parametrize(
    ("name", "expected"), [(".file.tmp", True), ("file.tmp", False), (".file", False), ("file", False)]
)
def test_a_leftover_is_known_by_its_name(name, expected):
    assert files.is_leftover(Path("folder") / name) is expected


def fill(path, content=NEW, then=lambda: None):
    with files.folder(path, "saved model") as folder:
        assert names(folder) == []
        (folder / "inside").mkdir()
        (folder / "inside/file").write_bytes(content)
        then()


def raise_(error):
    raise error


def content_of(path):
    return (path / "inside/file").read_bytes() if path.exists() else None


@pytest.mark.parametrize("old", [None, OLD])
def test_a_folder_is_made_with_its_parents_and_replaces_an_older_one(tmp_path, old):
    path = tmp_path / "a/b"
    if old:
        fill(path, old)
        (path / "more").touch()
    fill(path)
    assert content_of(path) == NEW
    assert names(path) == ["inside"]
    assert names(tmp_path / "a") == ["b"]


@pytest.mark.parametrize(
    ("old", "moment"),
    [(old, moment) for old in (None, OLD) for moment in failpoints.FILLING if old or moment != "put aside"],
)
def test_a_process_killed_at_any_moment_leaves_the_old_folder_or_the_new_one(tmp_path, monkeypatch, old, moment):
    path, aside = tmp_path / "folder", tmp_path / ".folder.old.tmp"
    if old:
        fill(path, old)
    die_at(monkeypatch, moment)
    with pytest.raises(Killed):
        fill(path)
    monkeypatch.undo()
    is_renamed = moment in ("renamed", "done")
    assert content_of(aside if moment == "put aside" else path) == (NEW if is_renamed else old)
    assert all(files.is_leftover(other) for other in tmp_path.iterdir() if other != path)
    with pytest.raises(ValueError, match="cannot be filled"):  # the next one begins
        fill(path, then=lambda: raise_(ValueError("cannot be filled")))
    assert content_of(path) == (NEW if is_renamed else old)
    assert all(name == "folder" for name in names(tmp_path))
    fill(path, b"another one")
    assert content_of(path) == b"another one"
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_folder_that_cannot_be_filled_leaves_the_old_one_alone(tmp_path, error):
    fill(tmp_path / "folder", OLD)
    with pytest.raises(error):
        fill(tmp_path / "folder", then=lambda: raise_(error))
    assert content_of(tmp_path / "folder") == OLD
    assert names(tmp_path) == ["folder"]


def test_the_content_of_a_folder_is_synced_before_the_rename_and_the_rename_before_the_end(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(failpoints, "reach", lambda site, moment: done.append(moment))
    sync, replace = os.fsync, os.replace

    def synced(descriptor):
        done.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("rename"), replace(*paths)))
    fill(tmp_path / "folder")
    assert done[:3] == ["begins", "empty", "not synced"]
    assert re.fullmatch(r"sync \.folder\.[0-9a-f]{12}\.tmp", min(done[3:6]))
    assert sorted(done[3:6])[1:] == ["sync file", "sync inside"]
    assert done[6:] == ["not renamed", "rename", "renamed", f"sync {tmp_path.name}", "done"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_folder_that_cannot_be_renamed_leaves_the_old_one_in_its_place(tmp_path, monkeypatch, failing):
    fill(tmp_path / "folder", OLD)
    replace, calls = os.replace, []

    def fail(*paths):
        calls.append(paths)
        return _no_space() if len(calls) == failing else replace(*paths)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RunError, match=r"folder cannot be written: No space left on device"):
        fill(tmp_path / "folder")
    assert content_of(tmp_path / "folder") == OLD
    assert names(tmp_path) == ["folder"]


def test_where_no_folder_can_be_made_is_one_error(tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    for name, reason in (("file/folder", "Not a directory"), ("x" * 300, "File name too long")):
        with pytest.raises(RunError, match=rf"cannot be written: {reason}"):
            fill(tmp_path / name)
    assert names(tmp_path) == ["file"]


CONTENT = {
    "seed": 3,
    "prune.fraction": 0.2,
    "controls": ["reinit"],
    "name": "größer",
    "deep": {"none": None, "no": False},
}
SEALED = seal(CONTENT)
NAMES = st.text(max_size=5).filter(lambda name: name != "sha256")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def refused(data):
    try:
        unseal(data)
    except ValueError:
        return True
    return False


@settings(max_examples=100)
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4))
def test_what_is_sealed_comes_back(content):
    assert unseal(seal(content)) == content


def test_a_sealed_file_is_text_that_a_person_can_read():
    assert seal({"level": 3}).decode().splitlines()[:2] == ["{", '  "level": 3,']


def test_every_other_byte_is_found():
    for position in range(len(SEALED)):
        for bit in range(8):
            damaged = bytearray(SEALED)
            damaged[position] ^= 1 << bit
            assert refused(bytes(damaged)), (position, bit)


def test_every_truncation_and_every_added_byte_is_found():
    for length in range(len(SEALED)):
        assert refused(SEALED[:length])
        for added in (b" ", b"\n", b"\0", b"x"):
            assert refused(SEALED[:length] + added + SEALED[length:]), (length, added)
    assert refused(SEALED + b"\n")


def test_the_same_content_in_another_form_is_found():
    whole = json.loads(SEALED)
    assert json.dumps(whole, indent=2) + "\n" == SEALED.decode()
    for other in (
        json.dumps(whole),
        json.dumps(whole, indent=2),
        json.dumps(whole, indent=2, ensure_ascii=False) + "\n",
        json.dumps(dict(reversed(whole.items())), indent=2) + "\n",
        json.dumps(whole | {"seed": 3.0}, indent=2) + "\n",
    ):
        assert json.loads(other) == whole
        assert refused(other.encode())
    assert refused(SEALED.decode().encode("utf-16"))
    assert refused(b"\xef\xbb\xbf" + SEALED)


def test_a_key_that_occurs_twice_is_refused():
    twice = SEALED.replace(b'"seed": 3', b'"seed": 4,\n  "seed": 3')
    assert json.loads(twice) == json.loads(SEALED)
    assert refused(twice)


@pytest.mark.parametrize("content", [{"loss": float("nan")}, {"loss": float("inf")}])
def test_numbers_that_are_not_finite_cannot_be_sealed(content):
    with pytest.raises(ValueError, match="not JSON compliant"):
        seal(content)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"null", b"3", b'"text"', b"[]", b'["sha256"]', b"{}", b'{"sha256": 1}', b'{"sha256": null}'),
        *(b"\xff", b"\x89PNG\r\n", b"[" * 100_000, b'{"a":' * 100_000),
    ],
    ids=lambda data: data[:20],
)
def test_data_that_was_never_sealed_is_one_error(data):
    with pytest.raises(ValueError, match=r"^it has no checksum at its end$"):
        unseal(data)
    with pytest.raises(ValueError, match=r"^its checksum does not match its content$"):
        unseal(data + b',\n  "sha256": "cafe"\n}\n')


def forged(body):
    """Any content with a valid checksum, as an attacker could write it."""
    checksum = hashlib.sha256(body + b"\n}\n").hexdigest()
    return body + b',\n  "sha256": "%s"\n}\n' % checksum.encode()


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[", b"null", b'{"a": NaN', b'{"a": -Infinity', b'{"a": "\xff"', b'{"a": ' + b"9" * 5000),
        *(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000, b'{"a": 1}, {"b": 2', b"[{"),
    ],
    ids=lambda body: body[:20],
)
def test_a_valid_checksum_of_impossible_content_is_one_error(body):
    with pytest.raises(ValueError, match=r"^it cannot be read$"):
        unseal(forged(body))


def test_content_made_to_expand_when_it_is_read_takes_little_memory():
    # Nested deep and wide: with the spaces of its indentation it would have 300 times its size.
    body = b'{"a": ' + b"[" * 800 + b"1," * 100_000 + b"1" + b"]" * 800
    tracemalloc.start()
    unseal(forged(body))
    assert tracemalloc.get_traced_memory()[1] < 10 * len(body)
    tracemalloc.stop()
