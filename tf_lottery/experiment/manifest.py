"""The folder of a finished unit: its manifest, which is written last, holds the size and SHA-256 of each file."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tf_lottery import files
from tf_lottery.errors import DamageError, RunError
from tf_lottery.experiment import schemas


@dataclass(frozen=True)
class Folder:
    """The folder of a unit, finished or not.

    Attributes:
        path: The path of the folder.
        identity: The entries of the manifest that name the unit and its experiment.
    """

    path: Path
    identity: Mapping[str, Any]

    @property
    def manifest_path(self) -> Path:
        return self.path / "manifest.json"

    def is_final(self) -> bool:
        return files.exists(self.manifest_path)

    def finish(self, contents: Mapping[str, bytes]) -> None:
        """Write the manifest of files that are written already; this makes the folder final."""
        manifest = {**self.identity, "files": {name: _entry(content) for name, content in contents.items()}}
        files.write(self.manifest_path, files.seal(manifest), "manifest")

    def read(self, name: str, parse: Callable[[bytes], Any] = bytes) -> Any:
        """Return the parsed content of a file, after comparing it with the manifest.

        Raises:
            DamageError: the file or the manifest is damaged.
            RunError: the folder is not final, or the storage cannot be read.
        """
        if not self.is_final():
            raise RunError(f"{self.path} is not finished: there is no {self.manifest_path}.")
        entry = self.entries().get(name)
        with reading(path := self.path / name, self._advice):
            if entry is None:
                raise ValueError("the manifest does not list it")
            content = files.read(path, entry["bytes"])
            if _entry(content) != entry:
                raise ValueError("its checksum does not match")
            return parse(content)

    def entries(self) -> dict[str, dict[str, Any]]:
        """Return the size (`bytes`) and checksum (`sha256`) of each file from the manifest.

        Raises:
            DamageError: the manifest is damaged.
        """
        with reading(self.manifest_path, self._advice):
            content = files.unseal(files.read(self.manifest_path, files.MAX_BYTES))
            check_identity(self.identity, content)
            return schemas.manifest(content)

    def verify(self) -> Iterator[tuple[Path, str]]:
        """Yield the path of every file with what is wrong with it; `""` if it is intact."""
        fault = fault_of(self.entries)
        yield self.manifest_path, fault
        for name in {} if fault else self.entries():
            yield self.path / name, fault_of(partial(self.read, name))

    @property
    def _advice(self) -> str:
        return f"Delete {self.path} to have it redone."


def check_identity(identity: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Raise ValueError if a file belongs to another unit."""
    for name, value in identity.items():
        if type(found := content.get(name)) is not type(value) or found != value:
            raise ValueError("it belongs to another unit")


@contextlib.contextmanager
def reading(path: Path, advice: str = "") -> Iterator[None]:
    """Turn the errors of reading a damaged file into DamageError, and those of the storage into RunError."""
    try:
        yield
    except FileNotFoundError as error:
        raise DamageError(f"{path} cannot be read: {error.strerror}. {advice}".strip()) from error
    except OSError as error:  # a fault of the storage, not of the file
        raise RunError(f"{path} cannot be read: {error.strerror}. Once it can, run the same command again.") from error
    except MemoryError as error:
        raise RunError(f"{path} does not fit into memory. {advice}".strip()) from error
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError) as error:
        # A TicketError is a ValueError.
        raise DamageError(f"{path} is damaged: {str(error).rstrip('.')}. {advice}".strip()) from error


def fault_of(read: Callable[[], Any]) -> str:
    """Call `read` and return the message of its RunError; `""` if it raises none."""
    try:
        read()
    except RunError as error:
        return str(error)
    return ""


def _entry(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
