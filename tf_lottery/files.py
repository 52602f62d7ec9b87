"""Files that are there whole or not at all."""

import os
from pathlib import Path

from tf_lottery.errors import RunError


def write(path: Path, content: bytes) -> None:
    """Writes all of `content` or nothing, also when the machine goes down; makes the folders it needs.

    Raises:
        RunError: `path` cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}") from error
