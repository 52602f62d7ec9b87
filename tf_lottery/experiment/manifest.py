"""A folder of files that are final: its manifest, written last, has the size and the SHA-256 of each."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tf_lottery import files
from tf_lottery.errors import DamageError, RunError


@dataclass(frozen=True)
class Folder:
    """One finished training's folder, or one that is to be.

    Attributes:
        path: Where it is.
        identity: What its manifest says that belongs to this training and no other.
    """

    path: Path
    identity: Mapping[str, Any]

    @property
    def manifest_path(self) -> Path:
        return self.path / "manifest.json"

    def is_final(self) -> bool:
        return self.manifest_path.exists()

    def finish(self, contents: Mapping[str, bytes]) -> None:
        """Write the manifest of files that are there; afterwards `is_final()`."""
        manifest = {**self.identity, "files": {name: _entry(content) for name, content in contents.items()}}
        files.write(self.manifest_path, files.seal(manifest), "manifest")

    def read(self, name: str, parse: Callable[[bytes], Any] = bytes) -> Any:
        """Return a file's content, parsed, if it is what the manifest says.

        Raises:
            DamageError: it or the manifest is damaged.
            RunError: the folder is not final, or it cannot be read for now.
        """
        if not self.is_final():
            raise RunError(f"{self.path} is not done: {self.manifest_path} is not there.")
        entry = self.entries().get(name)
        with reading(path := self.path / name, self._way_out):
            if entry is None:
                raise ValueError("the manifest does not know it")
            content = files.read(path, entry["bytes"])
            if _entry(content) != entry:
                raise ValueError("its checksum does not match")
            return parse(content)

    def entries(self) -> dict[str, dict[str, Any]]:
        """What the manifest says of each file: bytes, sha256.

        Raises:
            DamageError: it is damaged.
        """
        with reading(self.manifest_path, self._way_out):
            content = files.unseal(files.read(self.manifest_path, files.MAX_BYTES))
            check_identity(self.identity, content)
            for name, entry in content["files"].items():
                if set(entry) != {"bytes", "sha256"} or Path(name).name != name:
                    raise ValueError("it is no manifest")
        return content["files"]

    def verify(self) -> Iterator[tuple[Path, str]]:
        """Every file with what is wrong with it, `""` if nothing is."""
        fault = fault_of(self.entries)
        yield self.manifest_path, fault
        for name in {} if fault else self.entries():
            yield self.path / name, fault_of(partial(self.read, name))

    @property
    def _way_out(self) -> str:
        return f"Delete {self.path} to have it redone."


def check_identity(identity: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Raise ValueError where a file says that it belongs to another training."""
    if any(content.get(name) != value for name, value in identity.items()):
        raise ValueError("it belongs to another training")


@contextlib.contextmanager
def reading(path: Path, way_out: str = "") -> Iterator[None]:
    """Raise DamageError in the place of what reading a damaged file gives, RunError where it cannot be read."""
    try:
        yield
    except FileNotFoundError as error:
        raise DamageError(f"{path} cannot be read: {error.strerror}. {way_out}".strip()) from error
    except OSError as error:  # of the storage, not of the file
        raise RunError(f"{path} cannot be read: {error.strerror}. Once it can, the same command goes on.") from error
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:  # a TicketError is a ValueError
        raise DamageError(f"{path} is damaged: {str(error).rstrip('.')}. {way_out}".strip()) from error


def fault_of(read: Callable[[], Any]) -> str:
    """What reading found wrong, `""` if nothing."""
    try:
        read()
    except RunError as error:
        return str(error)
    return ""


def _entry(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
