"""Exports that are one file."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tf_lottery import files
from tf_lottery.errors import ExportError
from tf_lottery.export import tracing


def write(path: str | os.PathLike[str], make: Callable[[], bytes], *, overwrite: bool = False) -> None:
    """Write what `make` returns, whole or not at all.

    Raises:
        ExportError: something is at `path` and may not be replaced; `make` is not called then.
        RunError: the file cannot be written.
    """
    check_free(path := Path(path), overwrite)
    files.write(path, make(), "exported file")


def check_free(path: Path, overwrite: bool) -> None:
    """Raise ExportError where something is at `path` that may not be replaced by a file."""
    if path.is_dir():
        raise ExportError(f"{path} is a directory. Give the name of the file to write, too.")
    if os.path.lexists(path) and not overwrite:
        raise ExportError(
            f"{path} exists. Choose another name, or have it replaced: overwrite=True (in scripts --overwrite)."
        )


def keras_file(model: Any) -> bytes:
    """Return the content of a `.keras` file of a plain model.

    Raises:
        ExportError: a weight is NaN or infinite.
    """
    tracing.check_finite(model)
    with tempfile.TemporaryDirectory() as folder:
        model.save(path := Path(folder, "model.keras"))
        return path.read_bytes()
