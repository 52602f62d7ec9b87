"""Locks, which keep two processes from working on the same thing; the system frees those of a dead process.

A lock is on a file of its own, which tells who holds it (`hold`), on a folder (`hold_folder`), or on any open file
(`try_lock`).
"""

import contextlib
import fcntl
import os
import platform
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tf_lottery.errors import RunError

_POLL_SECONDS = 0.05
_LONGEST_NAME = 200  # bytes of a lock file that are read


@contextlib.contextmanager
def hold(path: Path, what: str, patience: float = 0.3) -> Iterator[None]:
    """Hold a lock file, which is created with its folder if it does not exist.

    Args:
        path: The lock file. Another process can hold it once this one has released it or is dead.
        what: What the lock protects, for the error message.
        patience: Seconds to wait for another process to release it; `holder` locks it for a moment, too. Defaults to
            0.3.

    Raises:
        RunError: another process holds it (the message names that process), it cannot be created, or it is a link.
    """
    with _open(path) as file:
        _take(file, path, what, time.monotonic() + patience)
        _sign(file)
        yield


@contextlib.contextmanager
def hold_folder(path: Path, what: str, patience: float) -> Iterator[None]:
    """Hold a lock on a folder itself, without a lock file. Some network file systems have no such locks: no error.

    Args:
        path: The folder, which exists.
        what: What the lock protects, for the error message.
        patience: Seconds to wait for another process to release it.

    Raises:
        OSError: the folder cannot be opened.
        RunError: another process holds it.
    """
    until = time.monotonic() + patience
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while not try_lock(descriptor, otherwise=True):
            if time.monotonic() >= until:
                process = _holder(descriptor)
                raise RunError(f"Process {process} is writing {what} or something beside it; wait for it to end.")
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, *, otherwise: bool) -> bool:
    """Lock an open file or folder until it is closed, and return whether this succeeded; do not wait.

    Args:
        descriptor: The descriptor of the file or folder.
        otherwise: What to return where the file system has no such locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return otherwise
    return True


def holder(path: Path) -> str | None:
    """Return the process that holds a lock file, as in `"1234 on host"`, or None. Does not change the file."""
    with contextlib.suppress(OSError), open(os.open(path, _FLAGS), "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _name(file)
    return None


def _holder(descriptor: int) -> str:
    """Return the id of the process that has locked an open folder, which Linux lists."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():  # 1: FLOCK ADVISORY WRITE 1234 fe:00:5678 0 EOF
            _, kind, _, _, process, device_and_inode, *_ = line.replace("-> ", "").split()
            if kind == "FLOCK" and device_and_inode.endswith(f":{os.fstat(descriptor).st_ino}"):
                return process
    return "with unknown id"


def _take(file: BinaryIO, path: Path, what: str, until: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise RunError(f"Process {_name(file)} is working on {what}; wait for it to end.") from error
            time.sleep(_POLL_SECONDS)
        except OSError as error:
            raise RunError(f"{path} cannot be locked: {error.strerror}. Choose another file system.") from error


def _sign(file: BinaryIO) -> None:
    with contextlib.suppress(OSError):  # on a full disk the lock is held without a name in the file
        file.truncate(0)
        file.write(f"{os.getpid()} on {platform.node()}".encode())


def _name(file: BinaryIO) -> str:
    file.seek(0)
    name = file.read(_LONGEST_NAME).decode(errors="replace").strip() or "with unknown id"
    return name if name.isprintable() else ascii(name)


_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a lock file that is a link or a pipe was not made here


def _open(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            raise _not_a_lock(path)
        flags = _FLAGS & ~os.O_RDONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND
        file = os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"{path.parent} cannot be written: {reason}") from error
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        file.close()
        raise _not_a_lock(path)
    return file


def _not_a_lock(path: Path) -> RunError:
    return RunError(f"{path} is a link or not a plain file, so it is not used as a lock. Remove it, and try again.")
