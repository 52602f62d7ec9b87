"""Lock files, which keep two processes from working on the same thing; the system frees those of a dead process."""

import contextlib
import fcntl
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tf_lottery.errors import RunError

_POLL_SECONDS = 0.05


@contextlib.contextmanager
def hold(path: Path, what: str, patience: float = 0.3) -> Iterator[None]:
    """Hold a lock file, which is created with its folder if it does not exist.

    Args:
        path: The lock file. Another process can hold it once this one has released it or is dead.
        what: What the lock protects, for the error message.
        patience: Seconds to wait for another process to release it; `holder` locks it for a moment, too. Defaults to
            0.3.

    Raises:
        RunError: another process holds it (the message names that process), or it cannot be created.
    """
    with _open(path) as file:
        _take(file, what, time.monotonic() + patience)
        _sign(file)
        yield


def holder(path: Path) -> str | None:
    """Return the process that holds a lock file, as in `"1234 on host"`, or None. Does not change the file."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _name(file)
    return None


def _take(file: BinaryIO, what: str, until: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise RunError(f"Process {_name(file)} is working on {what}; wait for it to end.") from error
            time.sleep(_POLL_SECONDS)
        except OSError as error:
            raise RunError(f"{file.name} cannot be locked: {error.strerror}. Choose another file system.") from error


def _sign(file: BinaryIO) -> None:
    with contextlib.suppress(OSError):  # on a full disk the lock is held without a name in the file
        file.truncate(0)
        file.write(f"{os.getpid()} on {platform.node()}".encode())


def _name(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip() or "with unknown id"


def _open(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+b", buffering=0)
    except OSError as error:
        raise RunError(f"{path.parent} cannot be written: {error.strerror}") from error
