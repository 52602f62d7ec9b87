"""Who works on what: locks that the system takes back from a process that dies."""

import contextlib
import fcntl
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from tf_lottery.errors import RunError

_POLL_SECONDS = 0.05


@contextlib.contextmanager
def hold(path: Path, what: str, patience: float = 0.3) -> Iterator[None]:
    """Holds a lock file for this process, and makes it, with its folder, if it is not there.

    Args:
        path: The lock file. Another process can hold it only when this one lets go or is dead.
        what: What it protects, for the message.
        patience: How many seconds to wait for another process to let go; `holder` may be looking.

    Raises:
        RunError: another process holds it; the message names that process.
    """
    with _open(path) as file:
        _take(file, what, time.monotonic() + patience)
        file.truncate(0)
        file.write(f"{os.getpid()} on {platform.node()}")
        file.flush()
        yield


def holder(path: Path) -> str | None:
    """Who holds a lock file, as in "1234 on host"; None if nobody does. Changes nothing."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return path.read_text().strip()
    except OSError:
        pass
    return None


def _take(file: TextIO, what: str, until: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if time.monotonic() >= until:
                file.seek(0)
                raise RunError(f"Process {file.read().strip()} works on {what}; wait for it to end.") from error
            time.sleep(_POLL_SECONDS)


def _open(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+")
    except OSError as error:
        raise RunError(f"{path.parent} cannot be written: {error.strerror}") from error
