"""Files that exist whole or not at all, and JSON that ends with its checksum.

Every file that this package writes, replaces or removes goes through this module. `write`, `folder` and `remove` pass
failpoints, at which tests kill the process. `seal` and `unseal` turn settings and records into JSON in which any change
is noticed.
"""

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

MAX_BYTES = 2**24  # of a sealed file
_TEMPORARY = ".tmp"
_ASIDE = f".old{_TEMPORARY}"
_END = b"\n}\n"
_SEAL = b',\n  "sha256": "'


def write(path: Path, content: bytes, site: str) -> None:
    """Write all of a file or nothing, even if the machine loses power, and make the folders it needs.

    Args:
        path: Path of the file. An older file is replaced.
        content: The whole content of the file.
        site: Name of this write, one of `failpoints.WRITTEN`.

    Raises:
        RunError: `path` cannot be written. It then holds the old content or all of the new content.
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
        _discard(temporary)
        raise RunError(f"{path} cannot be written: {error.strerror}") from error
    failpoints.reach(site, "done")


@contextlib.contextmanager
def folder(path: Path, site: str) -> Iterator[Path]:
    """Make a folder that exists whole or not at all, and that replaces an older one.

    A killed process leaves the old folder or the new one, except between two renames: then `path` is missing, and the
    old folder is beside it as `.name.old.tmp`. The next call for the same path begins by putting it back.

    Args:
        path: Path of the folder. Its parent folders are made.
        site: Name of this folder, one of `failpoints.FILLED`.

    Yields:
        An empty folder beside `path`, to be filled. It is renamed to `path` when the block ends without an error.

    Raises:
        RunError: `path` cannot be written. It then holds the old folder or all of the new one.
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
        shutil.rmtree(aside, ignore_errors=True)  # if this fails, the next call tries again
    except (Exception, KeyboardInterrupt) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise RunError(f"{path} cannot be written: {error.strerror}") from error
        raise
    failpoints.reach(site, "done")


def _recover(path: Path, temporary: Path, aside: Path) -> None:
    """Restore the old folder after a killed call of `folder`, and remove what that call left behind."""
    if aside.exists() and not path.exists():
        os.replace(aside, path)
    for leftover in (temporary, aside):
        if leftover.exists():
            shutil.rmtree(leftover)


def _exchange(path: Path, new: Path, aside: Path, site: str) -> None:
    """Rename `path`, if it exists, to `aside`, and `new` to `path`."""
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

    Args:
        path: Path of the file.
        max_bytes: The largest size that is read.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is larger than `max_bytes`; its size is checked before it is read.
    """
    with path.open("rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > max_bytes:
            raise ValueError(f"it has {size} bytes, at most {max_bytes} are expected")
        return file.read(size)  # not `max_bytes`, because Python allocates as much as it is asked for


def remove(path: Path, site: str) -> None:
    """Remove a file, if it exists.

    Args:
        path: Path of the file.
        site: Name of this removal, one of `failpoints.REMOVED`.

    Raises:
        RunError: the file cannot be removed.
    """
    failpoints.reach(site, "begins")
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{path} cannot be removed: {error.strerror}") from error
    failpoints.reach(site, "done")


def is_leftover(path: Path) -> bool:
    """Return whether a killed `write` or `folder` has left this path behind, judging by its name."""
    return path.name.startswith(".") and path.name.endswith(_TEMPORARY)


def _sync(path: Path) -> None:
    """Flush a file, or the renames in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(temporary: Path) -> None:
    """Remove a temporary file, which frees the space of a full disk."""
    with contextlib.suppress(OSError):  # the error of the write tells more
        temporary.unlink(missing_ok=True)


def seal(content: Mapping[str, Any]) -> bytes:
    """Return content as JSON with its checksum at the end; the same content always gives the same bytes.

    Args:
        content: JSON values with finite numbers only, as from `finite`; not empty, and without a key `"sha256"`.

    Raises:
        ValueError: a number is not finite.
    """
    return _sealed((json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def unseal(data: bytes) -> dict[str, Any]:
    """Return the content of sealed JSON, without its checksum. It is parsed only after the checksum has been verified.

    Args:
        data: What `seal` returned.

    Raises:
        ValueError: the data differs from what `seal` returned; the message, which begins with "it", says how.

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
    """Replace numbers that are not finite by None, for strict JSON, which has no NaN; tuples become lists.

    Args:
        content: JSON values, nested to any depth.

    >>> finite({"loss": float("nan"), "steps": (1, 2)})
    {'loss': None, 'steps': [1, 2]}
    """
    if isinstance(content, Mapping):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _sealed(text: bytes) -> bytes:
    """Insert the checksum of a JSON text before its last line."""
    return text.removesuffix(_END) + _SEAL + hashlib.sha256(text).hexdigest().encode() + b'"' + _END


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")
