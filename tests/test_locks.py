"""Only one process at a time holds a lock; that of a dead process is free."""

import contextlib
import fcntl
import os
import platform
import subprocess
import sys
import threading
import time

import pytest

from tf_lottery import locks
from tf_lottery.errors import RunError

HOLD = (
    "import sys; from pathlib import Path; from tf_lottery import locks\n"
    "with locks.hold(Path(sys.argv[1]), 'it'):\n print('held', flush=True); sys.stdin.read()"
)


@contextlib.contextmanager
def another_process(path):
    command = [sys.executable, "-c", HOLD, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def released_after(seconds, path, kind):
    """Lock a file for some seconds, through another descriptor, as another process would."""
    with path.open("a") as file:
        fcntl.flock(file, kind)
        timer = threading.Timer(seconds, fcntl.flock, (file, fcntl.LOCK_UN))
        timer.start()
        try:
            yield
        finally:
            timer.join()


def test_a_second_process_is_refused_until_the_first_which_the_error_names_is_dead(tmp_path):
    path = tmp_path / "folder/it.lock"
    with another_process(path) as first:
        name = f"{first.pid} on {platform.node()}"
        assert locks.holder(path) == name
        with pytest.raises(RunError, match=rf"^Process {name} is working on the dishes; wait for it to end\.$"):
            locks.hold(path, "the dishes").__enter__()
        assert locks.holder(path) == name
        first.kill()
        first.wait()
        assert locks.holder(path) is None
        with locks.hold(path, "the dishes", patience=0):
            assert path.read_text() == f"{os.getpid()} on {platform.node()}"


def test_a_lock_is_released_at_the_end_and_after_an_error(tmp_path):
    path = tmp_path / "it.lock"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), locks.hold(path, "it", patience=0):
            raise KeyboardInterrupt
    assert locks.holder(path) is None


def test_one_process_does_not_hold_a_lock_twice(tmp_path):
    path = tmp_path / "it.lock"
    with locks.hold(path, "it"), pytest.raises(RunError, match=rf"Process {os.getpid()} on"):
        locks.hold(path, "it").__enter__()


def test_looking_up_the_holder_changes_nothing(tmp_path):
    path = tmp_path / "folder/it.lock"
    assert locks.holder(path) is locks.holder(tmp_path / "it.lock") is None
    assert list(tmp_path.iterdir()) == []
    with locks.hold(path, "it"):
        before = path.stat().st_mtime_ns
        assert locks.holder(path) == f"{os.getpid()} on {platform.node()}"
    path.write_bytes(b"99 on earth")
    before = path.stat()
    assert locks.holder(path) is None
    assert path.read_bytes() == b"99 on earth"
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_looking_up_the_holder_does_not_keep_others_from_taking_the_lock(tmp_path):
    with released_after(0.1, path := tmp_path / "it.lock", fcntl.LOCK_SH):  # as `holder` does, if only for a moment
        assert locks.holder(path) is None
        with locks.hold(path, "it"):
            pass


def test_a_process_waits_for_a_lock_until_its_patience_ends(tmp_path):
    path = tmp_path / "it.lock"
    with released_after(0.2, path, fcntl.LOCK_EX), locks.hold(path, "it", patience=30):
        pass
    started = time.monotonic()
    with released_after(1.0, path, fcntl.LOCK_EX), pytest.raises(RunError, match="wait for it to end"):
        locks.hold(path, "it", patience=0.2).__enter__()
    assert time.monotonic() >= started + 0.2


@pytest.mark.parametrize(("content", "name"), [(b"", "with unknown id"), (b"\xff\xfe", "\ufffd\ufffd")])
def test_a_lock_whose_file_holds_no_readable_name_is_still_held(tmp_path, content, name):
    path = tmp_path / "it.lock"
    path.write_bytes(content)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert locks.holder(path) == name
        with pytest.raises(RunError, match=f"Process {name} is working on it"):
            locks.hold(path, "it", patience=0).__enter__()


def test_a_lock_that_cannot_be_created_is_one_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"file cannot be written: File exists"):
        locks.hold(tmp_path / "file/it.lock", "it").__enter__()

    def unknown(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with pytest.raises(RunError, match=r"it.lock cannot be locked: No locks available. Choose another file system"):
        locks.hold(tmp_path / "it.lock", "it").__enter__()
    assert locks.holder(tmp_path / "it.lock") is None


def test_on_a_full_disk_a_lock_is_held_without_a_name(tmp_path):
    code = HOLD.replace("import sys;", "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0));")
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "it.lock"], input="", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "held\n"), done.stderr
