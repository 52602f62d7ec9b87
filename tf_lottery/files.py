"""Files that are there whole or not at all: the only module that writes or removes any."""

import contextlib
import os
from pathlib import Path

from tf_lottery import failpoints
from tf_lottery.errors import RunError

_TEMPORARY = ".tmp"


def write(path: Path, content: bytes, site: str) -> None:
    """Writes all of `content` or nothing, also when the machine goes down; makes the folders it needs.

    Args:
        path: Where to.
        content: What.
        site: What is written, one of `failpoints.WRITTEN`.

    Raises:
        RunError: `path` cannot be written; what was there before still is, or `content` is there whole.
    """
    temporary = path.with_name(f".{path.name}{_TEMPORARY}")
    failpoints.reach(site, "begins")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content[: len(content) // 2])
            file.flush()
            failpoints.reach(site, "half written")
            file.write(content[len(content) // 2 :])
            file.flush()
            failpoints.reach(site, "not synced")
            os.fsync(file.fileno())
        failpoints.reach(site, "not renamed")
        os.replace(temporary, path)
        failpoints.reach(site, "renamed")
        _sync(path.parent)
    except OSError as error:
        _give_up(temporary)
        raise RunError(f"{path} cannot be written: {error.strerror}") from error
    failpoints.reach(site, "done")


def read(path: Path, max_bytes: int) -> bytes:
    """The content of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger than `max_bytes`, which is found out before it is read.
    """
    with path.open("rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > max_bytes:
            raise ValueError(f"it has {size} bytes, at most {max_bytes} are expected")
        return file.read(size)  # not `max_bytes`: Python makes room for all that it is asked for


def remove(path: Path, site: str) -> None:
    """Removes a file, if it is there.

    Args:
        path: Which.
        site: What is removed, one of `failpoints.REMOVED`.

    Raises:
        RunError: it cannot be removed.
    """
    failpoints.reach(site, "begins")
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{path} cannot be removed: {error.strerror}") from error
    failpoints.reach(site, "done")


def is_leftover(path: Path) -> bool:
    """Whether `path` is what a killed `write` has left behind."""
    return path.name.startswith(".") and path.name.endswith(_TEMPORARY)


def _sync(folder: Path) -> None:
    """Makes a rename last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give_up(temporary: Path) -> None:
    """Gives a full disk its space back."""
    with contextlib.suppress(OSError):  # the write's own error tells more
        temporary.unlink(missing_ok=True)
