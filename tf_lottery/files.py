"""Files that exist whole or not at all, and JSON that ends with its checksum.

Every file that this package writes, replaces or removes goes through this module, and any number of processes may do so
at once. `write`, `folder` and `remove` pass failpoints, at which tests kill the process. `seal` and `unseal` turn
settings and records into JSON in which any change is noticed.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tf_lottery import failpoints, locks
from tf_lottery.errors import RunError

MAX_BYTES = 2**24  # of a sealed file
_TEMPORARY = ".tmp"
_ASIDE = f".old{_TEMPORARY}"
_TOKEN_BYTES = 6
_PATIENCE_SECONDS = 60.0  # for other processes that exchange a folder, which takes them milliseconds
_END = b"\n}\n"
_SEAL = b',\n  "sha256": "'


def write(path: Path, content: bytes, site: str) -> None:
    """Write all of a file or nothing, even if the machine loses power, and make the folders it needs.

    Any number of processes can write one file at once: each writes a temporary file of its own, `.NAME.TOKEN.tmp`,
    which it keeps locked, and the last one that renames it wins. A link at `path` is replaced, not followed.

    Args:
        path: Path of the file. An older file is replaced.
        content: The whole content of the file.
        site: Name of this write, one of `failpoints.WRITTEN`.

    Raises:
        RunError: `path` cannot be written. It then holds the old content or all of the new content.
    """
    failpoints.reach(site, "begins")
    temporary = None
    try:
        _make_parent(path)
        _check_replaceable(path)
        _clear(path)
        temporary, descriptor = _create(path, _make_file)
        with open(descriptor, "wb") as file:
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
    except (OSError, ValueError, KeyboardInterrupt) as error:  # ValueError: a path with a NUL, or without a name
        if temporary is not None:
            with contextlib.suppress(OSError):  # the error of the write tells more
                temporary.unlink(missing_ok=True)  # which frees the space of a full disk
        if isinstance(error, KeyboardInterrupt):
            raise
        raise RunError(f"{path} cannot be written: {reason(error)}") from error
    failpoints.reach(site, "done")


@contextlib.contextmanager
def folder(path: Path, site: str) -> Iterator[Path]:
    """Make a folder that exists whole or not at all, and that replaces an older one.

    Any number of processes can make one folder at once: each fills a folder of its own, and the last one wins.

    A killed process leaves the old folder or the new one, except between two renames: then `path` is missing, and the
    old folder is beside it as `.NAME.old.tmp`. The next call for the same path begins by putting it back.

    Args:
        path: Path of the folder. Its parent folders are made.
        site: Name of this folder, one of `failpoints.FILLED`.

    Yields:
        An empty folder beside `path`, to be filled. It is renamed to `path` when the block ends without an error.

    Raises:
        RunError: `path` cannot be written. It then holds the old folder or all of the new one.
    """
    failpoints.reach(site, "begins")
    try:
        _make_parent(path)
        with locks.hold_folder(path.parent, str(path), _PATIENCE_SECONDS):
            _recover(path)
            temporary, descriptor = _create(path, _make_folder)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be written: {reason(error)}") from error
    try:
        failpoints.reach(site, "empty")
        yield temporary
        failpoints.reach(site, "not synced")
        for inside in (*temporary.rglob("*"), temporary):
            _sync(inside)
        with locks.hold_folder(path.parent, str(path), _PATIENCE_SECONDS):
            _recover(path)  # another process may have been killed meanwhile
            failpoints.reach(site, "not renamed")
            _exchange(path, temporary, site)
            failpoints.reach(site, "renamed")
            _sync(path.parent)
            shutil.rmtree(_aside(path), ignore_errors=True)  # if this fails, the next call tries again
    except (Exception, KeyboardInterrupt) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise RunError(f"{path} cannot be written: {reason(error)}") from error
        raise
    finally:
        os.close(descriptor)
    failpoints.reach(site, "done")


def _make_parent(path: Path) -> None:
    """Make the folder of a path; if it is a file, the next call of the system tells."""
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir(parents=True, exist_ok=True)


def _recover(path: Path) -> None:
    """Restore the old folder after a killed call of `folder`, and remove what killed calls left behind."""
    aside = _aside(path)
    if aside.is_symlink():
        aside.unlink()  # not made by `folder`
    elif aside.exists():
        if os.path.lexists(path):
            shutil.rmtree(aside)
        else:
            os.replace(aside, path)
    _clear(path)


def _exchange(path: Path, new: Path, site: str) -> None:
    """Rename `path`, if it exists, to the name aside, and `new` to `path`."""
    if not os.path.lexists(path):
        os.replace(new, path)
        return
    os.replace(path, aside := _aside(path))
    failpoints.reach(site, "put aside")
    try:
        os.replace(new, path)
    except OSError:
        os.replace(aside, path)
        raise


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}{_ASIDE}")


def _create(path: Path, make: Callable[[Path], int]) -> tuple[Path, int]:
    """Make a temporary file or folder beside `path`, locked, and return it with its descriptor."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(_TOKEN_BYTES)}{_TEMPORARY}")
        descriptor = make(temporary)
        if locks.try_lock(descriptor, otherwise=True) and os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)  # another process has removed it as a leftover, before it was locked


def _make_file(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)


def _make_folder(path: Path) -> int:
    os.mkdir(path)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _clear(path: Path) -> None:
    """Remove what killed calls for the same path have left behind, as far as possible."""
    leftover = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{{2 * _TOKEN_BYTES}}}{re.escape(_TEMPORARY)}")
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):
            if leftover.fullmatch(name):
                with contextlib.suppress(OSError):
                    _discard(path.with_name(name))


def _discard(leftover: Path) -> None:
    """Remove a temporary file or folder, unless its writer is alive; a link, but not what it leads to."""
    if leftover.is_symlink():
        leftover.unlink(missing_ok=True)
        return
    try:
        descriptor = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    try:
        if locks.try_lock(descriptor, otherwise=False):
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                shutil.rmtree(leftover)
            else:
                leftover.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _check_replaceable(path: Path) -> None:
    """Raise OSError if something other than a file or a link is at `path`, such as a device, which must stay."""
    with contextlib.suppress(FileNotFoundError):
        mode = os.lstat(path).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise OSError(errno.EINVAL, "It is not a plain file")


def check_inside(path: Path, root: Path) -> None:
    """Raise RunError if `path`, or a folder between it and `root`, is a link, which may lead out of `root`.

    Args:
        path: A path below `root`; it need not exist.
        root: A folder that is received, perhaps, but whose own path the user has given.
    """
    for part in (path, *path.parents):
        if part == root:
            return
        with contextlib.suppress(OSError):  # of what cannot be read, the write tells more
            if part.is_symlink():
                raise RunError(f"{part} is a symbolic link: nothing is written there. Replace it by the folder itself.")


def exists(path: Path) -> bool:
    """Return whether a path exists.

    Raises:
        RunError: the file system does not tell.
    """
    return _mode(path) is not None


def is_folder(path: Path) -> bool:
    """Return whether a path is that of a folder, or of a link to one.

    Raises:
        RunError: the file system does not tell.
    """
    return stat.S_ISDIR(_mode(path) or 0)


def _mode(path: Path) -> int | None:
    """Return the type and the permissions of what is at a path; None if there is nothing."""
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {reason(error)}") from error


def names(path: Path) -> list[str]:
    """Return the sorted names in a folder; none if it does not exist.

    Raises:
        RunError: the folder cannot be read.
    """
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Return why a call of the system failed, in the words of the system."""
    return getattr(error, "strerror", None) or str(error)


def read(path: Path, max_bytes: int) -> bytes:
    """Return the content of a file.

    Args:
        path: Path of the file.
        max_bytes: The largest size that is read.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is larger than `max_bytes`; its size is checked before it is read.
    """
    # Without O_NONBLOCK, opening a pipe would wait for ever.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if (size := os.fstat(file.fileno()).st_size) > max_bytes:
            raise ValueError(f"it has {size} bytes, at most {max_bytes} are expected")
        return file.read(size)  # not `max_bytes`, because Python allocates as much as it is asked for


def remove(path: Path, site: str) -> None:
    """Remove a file, if it exists; a leftover (see `is_leftover`) only once its writer is dead.

    Args:
        path: Path of the file.
        site: Name of this removal, one of `failpoints.REMOVED`.

    Raises:
        RunError: the file cannot be removed.
    """
    failpoints.reach(site, "begins")
    try:
        if is_leftover(path):
            _discard(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{path} cannot be removed: {reason(error)}") from error
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
