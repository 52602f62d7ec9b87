"""Files that are there whole or not at all: the only module that writes or removes any."""

import contextlib
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tf_lottery import failpoints
from tf_lottery.errors import RunError

_TEMPORARY = ".tmp"
_ASIDE = f".old{_TEMPORARY}"


def write(path: Path, content: bytes, site: str) -> None:
    """Write all of `content` or nothing, also when the machine goes down; makes the folders it needs.

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


@contextlib.contextmanager
def folder(path: Path, site: str) -> Iterator[Path]:
    """Make a folder that is there whole or not at all, in the place of an older one if there is one.

    Whoever is killed leaves the old one or the new one; but for the moment between two renames, when the old one lies
    beside as `.name.old.tmp`: the next call for the same path begins by putting it back.

    Args:
        path: Where to. The folders around it are made.
        site: What is made, one of `failpoints.FILLED`.

    Yields:
        An empty folder beside, to be filled; it takes its place when the block ends, unless by an error.

    Raises:
        RunError: `path` cannot be written; what was there before still is, or the new one is there whole.
    """
    temporary, aside = (path.with_name(f".{path.name}{suffix}") for suffix in (_TEMPORARY, _ASIDE))
    failpoints.reach(site, "begins")
    try:
        _recover(path, temporary, aside)
        temporary.mkdir(parents=True)
        failpoints.reach(site, "empty")
        yield temporary
        failpoints.reach(site, "not synced")
        for inside in (*temporary.rglob("*"), temporary):
            _sync(inside)
        failpoints.reach(site, "not renamed")
        _exchange(path, temporary, aside, site)
        failpoints.reach(site, "renamed")
        _sync(path.parent)
        shutil.rmtree(aside, ignore_errors=True)  # the new one is there; the next call tries again
    except (Exception, KeyboardInterrupt) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise RunError(f"{path} cannot be written: {error.strerror}") from error
        raise
    failpoints.reach(site, "done")


def _recover(path: Path, temporary: Path, aside: Path) -> None:
    """Take up where a killed `folder` has stopped."""
    if aside.exists() and not path.exists():
        os.replace(aside, path)
    for leftover in (temporary, aside):
        if leftover.exists():
            shutil.rmtree(leftover)


def _exchange(path: Path, new: Path, aside: Path, site: str) -> None:
    """Rename `new` to `path`, and what is at `path` to `aside`."""
    if not path.exists():
        os.replace(new, path)
        return
    os.replace(path, aside)
    failpoints.reach(site, "put aside")
    try:
        os.replace(new, path)
    except OSError:
        os.replace(aside, path)
        raise


def read(path: Path, max_bytes: int) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger than `max_bytes`, which is found out before it is read.
    """
    with path.open("rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > max_bytes:
            raise ValueError(f"it has {size} bytes, at most {max_bytes} are expected")
        return file.read(size)  # not `max_bytes`: Python makes room for all that it is asked for


def remove(path: Path, site: str) -> None:
    """Remove a file, if it is there.

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
    """Return whether `path` is what a killed `write` or `folder` has left behind."""
    return path.name.startswith(".") and path.name.endswith(_TEMPORARY)


def _sync(path: Path) -> None:
    """Make what is written to a file, or renamed in a folder, last."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give_up(temporary: Path) -> None:
    """Give a full disk its space back."""
    with contextlib.suppress(OSError):  # the write's own error tells more
        temporary.unlink(missing_ok=True)


MAX_BYTES = 2**24
_END = b"\n}\n"
_SEAL = b',\n  "sha256": "'


def seal(content: Mapping[str, Any]) -> bytes:
    """Return the text of a sealed file; the same content always gives the same bytes.

    Args:
        content: What JSON can hold, finite numbers only; not empty, and without a `"sha256"` of its own.
    """
    return _sealed((json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def unseal(data: bytes) -> dict[str, Any]:
    """Return the content of a sealed file. Nothing of it is interpreted before its checksum has been found to match.

    Raises:
        ValueError: it is not what `seal` wrote, to the last byte.

    >>> unseal(seal({"level": 3}))
    {'level': 3}
    """
    body, mark, _ = data.rpartition(_SEAL)
    if not mark:
        raise ValueError("it has no checksum at its end")
    if data != _sealed(text := body + _END):
        raise ValueError("its checksum does not match its content")
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError("it cannot be read") from error


def finite(content: Any) -> Any:
    """What strict JSON can hold, which knows no NaN: what is not a finite number becomes null.

    >>> finite({"loss": float("nan"), "steps": (1, 2)})
    {'loss': None, 'steps': [1, 2]}
    """
    if isinstance(content, Mapping):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _sealed(text: bytes) -> bytes:
    return text.removesuffix(_END) + _SEAL + hashlib.sha256(text).hexdigest().encode() + b'"' + _END


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")
