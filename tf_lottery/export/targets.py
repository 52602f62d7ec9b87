"""The files and directories that exports are written to."""

import os
from collections.abc import Callable
from pathlib import Path

from tf_lottery import files
from tf_lottery.errors import ExportError

_SAVED_MODEL = "saved_model.pb"  # the file that every SavedModel has


def write(path: str | os.PathLike[str], make: Callable[[], bytes], *, overwrite: bool = False) -> None:
    """Write what `make` returns to a file, whole or not at all.

    Args:
        path: The file; its folder is made.
        make: Returns the content. It is not called where `path` must not be replaced.
        overwrite: Whether a file at `path` may be replaced. Defaults to False.

    Raises:
        ExportError: something is at `path` that must not be replaced.
        RunError: the file cannot be written.
    """
    check_file(path := Path(path), overwrite)
    content = make()
    check_file(path, overwrite)  # another process may have written it meanwhile
    files.write(path, content, "exported file")


def check_file(path: Path, overwrite: bool) -> None:
    """Raise ExportError where something is at `path` that a file must not replace."""
    is_there = files.exists(path)
    if path.is_symlink():
        raise ExportError(f"{path} is a symbolic link. Give the file that it leads to.")
    if files.is_folder(path):
        raise ExportError(f"{path} is a directory. Give the name of the file to write, too.")
    if is_there and not overwrite:
        raise _exists(path)


def check_saved_model(path: Path, overwrite: bool) -> None:
    """Raise ExportError where something is at `path` that a SavedModel must not replace."""
    is_there = files.exists(path)
    if path.is_symlink():
        raise ExportError(f"{path} is a symbolic link. Give the directory that it leads to.")
    if not is_there:
        return
    if not overwrite:
        raise _exists(path)
    if not files.is_folder(path) or (files.names(path) and not (path / _SAVED_MODEL).is_file()):
        raise ExportError(
            f"{path} is not a SavedModel, so it is not replaced. Choose another name, or remove it first."
        )


def _exists(path: Path) -> ExportError:
    return ExportError(
        f"{path} exists. Choose another name, or have it replaced: overwrite=True (in scripts --overwrite)."
    )
