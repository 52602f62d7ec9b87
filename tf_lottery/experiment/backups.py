"""Small files that do change, such as a run's config: sealed, and each with a backup that is written after it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tf_lottery import files
from tf_lottery.errors import DamageError


def paths(folder: Path, name: str) -> list[Path]:
    """Both generations of a file, the one that counts first."""
    return [folder / f"{name}.json", folder / f"{name}.backup.json"]


def exists(folder: Path, name: str) -> bool:
    """Return whether there is at least one of them; raises OSError where that cannot be found out."""
    return any(path.exists() for path in paths(folder, name))


def write(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    """Write both, one after the other, so that one is whole at any moment; leaves alone what is right already.

    Raises:
        RunError: one cannot be written; the other is as it was.
    """
    data = files.seal(content)
    for path in paths(folder, name):
        if _data(path) != data:
            files.write(path, data, name)


def read(folder: Path, name: str) -> dict[str, Any]:
    """Return the content of the first that is whole.

    Raises:
        DamageError: none is; the message says what is wrong with the first.
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
    """What is wrong with a sealed file, `""` if nothing is."""
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
