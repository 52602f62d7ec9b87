"""Small files that may change, such as a run's config: each has a checksum and a backup, which is written after it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tf_lottery import files
from tf_lottery.errors import DamageError


def paths(folder: Path, name: str) -> list[Path]:
    """Return the paths of a file and of its backup, in the order in which they are read."""
    return [folder / f"{name}.json", folder / f"{name}.backup.json"]


def exists(folder: Path, name: str) -> bool:
    """Return whether the file or its backup exists; raise RunError if the folder cannot be read."""
    return any(map(files.exists, paths(folder, name)))


def write(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    """Write the file and then its backup, so that one of them is whole at any moment; skip one that is up to date.

    Raises:
        RunError: one of them cannot be written; the other is unchanged.
    """
    data = files.seal(content)
    for path in paths(folder, name):
        if _data(path) != data:
            files.write(path, data, name)


def read(folder: Path, name: str) -> dict[str, Any]:
    """Return the content of the file, or of its backup if the file is damaged.

    Raises:
        DamageError: both are damaged; the message says what is wrong with the file.
    """
    faults = {}
    for path in paths(folder, name):
        try:
            return _content(path)
        except DamageError as error:
            faults[path] = error
    path, wrong = next(iter(faults.items()))
    raise DamageError(f"{path} is damaged: {wrong}. So is its backup: restore one of them from a copy.") from wrong


def fault(path: Path) -> str:
    """Return what is wrong with a sealed file; `""` if it is intact."""
    try:
        _content(path)
    except DamageError as error:
        return str(error)
    return ""


def _content(path: Path) -> dict[str, Any]:
    try:
        return files.unseal(files.read(path, files.MAX_BYTES))
    except OSError as error:
        raise DamageError(f"it cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DamageError(str(error)) from error


def _data(path: Path) -> bytes | None:
    try:
        return files.read(path, files.MAX_BYTES)
    except (OSError, ValueError):
        return None
