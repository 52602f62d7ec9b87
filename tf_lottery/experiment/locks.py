"""Who works on what: locks that the system takes back from a process that dies."""

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
    """Hold a lock file for this process, and makes it, with its folder, if it is not there.

    Args:
        path: The lock file. Another process can hold it only when this one lets go or is dead.
        what: What it protects, for the message.
        patience: How many seconds to wait for another process to let go; `holder` may be looking.

    Raises:
        RunError: another process holds it (the message names that process), or it cannot be made.
    """
    with _open(path) as file:
        _take(file, what, time.monotonic() + patience)
        _sign(file)
        yield


def holder(path: Path) -> str | None:
    """Who holds a lock file, as in "1234 on host"; None if nobody does. Changes nothing."""
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
                raise RunError(f"Process {_name(file)} works on {what}; wait for it to end.") from error
            time.sleep(_POLL_SECONDS)
        except OSError as error:
            raise RunError(f"{file.name} cannot be locked: {error.strerror}. Choose another file system.") from error


def _sign(file: BinaryIO) -> None:
    with contextlib.suppress(OSError):  # on a full disk it holds without a name
        file.truncate(0)
        file.write(f"{os.getpid()} on {platform.node()}".encode())


def _name(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip() or "of unknown number"


def _open(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+b", buffering=0)
    except OSError as error:
        raise RunError(f"{path.parent} cannot be written: {error.strerror}") from error
