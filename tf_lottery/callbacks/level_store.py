"""The levels that a LotteryTicket has finished: in memory, or in a directory that the next process resumes.

    directory/  settings.json   rewind.tfl   level_00.tfl  level_01.tfl …   optimizer_03.tfl   records.json

A level is done when it is in `records.json`, which is written last, with the checksums of the level's files; every file
is there whole or not at all.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tf_lottery import files
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import DamageError, RunError, TicketError
from tf_lottery.masking import ticket as ticket_lib
from tf_lottery.masking.state import State
from tf_lottery.masking.ticket import Ticket

_RECORD = {"level", "density", "density_by_weight", "epochs", "step", "metrics"}
_WAY_OUT = "Restore it from a copy, or choose another directory."


class LevelStore:
    """Tickets, records and the state at step k.

    Args:
        directory: Where everything is stored, and what is resumed. Defaults to None: everything is kept in memory.

    Attributes:
        records: One entry for each finished level.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None):
        self.path = None if directory is None else Path(directory)
        self.records: list[dict[str, Any]] = []
        self._settings: Any = None
        self._memory: dict[str, bytes] = {}
        self._digests: dict[str, str] = {}  # of all that was written
        self._load()

    def open(self, settings: Mapping[str, Any]) -> None:
        """Resume what is stored.

        Args:
            settings: What decides the results of the experiment, as JSON holds it; lists may grow.

        Raises:
            RunError: what is stored belongs to another experiment, is damaged (DamageError) or cannot be written.
        """
        self._load()
        self._check(settings)
        self._settings = _as_stored(settings)
        if self.path is not None:
            files.write(self.path / "settings.json", files.seal(files.finite(settings)), "callback settings")
            for stale in set(self.path.glob("optimizer_*.tfl")) - {
                self.path / f"optimizer_{len(self.records) - 1:02d}.tfl"
            }:
                files.remove(stale, "callback leftover")  # of a process that ended before it could

    def add(self, record: Mapping[str, Any], ticket: Ticket, optimizer: Arrays | None = None) -> None:
        """Keep a finished level, with the optimizer's state where the next level starts from it."""
        level = record["level"]
        self.write(f"level_{level:02d}", ticket)
        if optimizer is not None:
            self.write(_optimizer(level), Ticket({}, {"optimizer": optimizer}))
        self.records.append(dict(record))
        if self.path is not None:
            content = {"levels": files.finite(self.records), "files": self._digests}
            files.write(self.path / "records.json", files.seal(content), "callback records")
        if optimizer is not None and level:
            self.forget(_optimizer(level - 1))

    def ticket(self, level: int) -> Ticket:
        """Return the ticket of a finished level."""
        if not 0 <= level < len(self.records):
            raise TicketError(f"Levels 0 to {len(self.records) - 1} are done. Received: level={level}")
        return self.read(f"level_{level:02d}")

    def optimizer(self, level: int) -> Arrays:
        """Return the optimizer's state at the end of a level; only the last one is kept."""
        return self.read(_optimizer(level)).weights["optimizer"]

    def state_before(self, level: int, moment: str) -> State:
        """Return a state that a level can start from.

        Args:
            level: Its number, from 1.
            moment: `"rewind"`: the state of the dense network at step k. `"final"`: the weights at the end of the level
                before, with the state of the optimizer where it was kept.
        """
        if moment == "rewind":
            return self.read("rewind").weights
        state = {"weights": self.ticket(level - 1).weights["final"]}
        return state | {"optimizer": self.optimizer(level - 1)} if self.has(_optimizer(level - 1)) else state

    def write(self, name: str, ticket: Ticket) -> None:
        """Keep arrays under a name."""
        content = ticket_lib.pack(ticket)
        self._digests[name] = content[-ticket_lib.CHECKSUM_BYTES :].hex()
        if self.path is None:
            self._memory[name] = content
        else:
            files.write(self.path / f"{name}.tfl", content, "callback arrays")

    def has(self, name: str) -> bool:
        """Return whether there are arrays under a name."""
        return name in self._memory if self.path is None else (self.path / f"{name}.tfl").exists()

    def read(self, name: str) -> Ticket:
        """Return the arrays kept under a name.

        Raises:
            TicketError: the file is damaged.
            DamageError: it is not the one that the levels were made with.
        """
        if self.path is None:
            return ticket_lib.unpack(self._memory[name])
        ticket = ticket_lib.load_ticket(path := self.path / f"{name}.tfl")
        if self._digests.get(name) != _checksum(path):
            raise DamageError(f"{path} is of another run: do two use {self.path} at once? {_WAY_OUT}")
        return ticket

    def digest(self, name: str) -> str:
        """Return the checksum of the arrays that were written under a name."""
        return self._digests[name]

    def forget(self, name: str) -> None:
        """Drop the arrays under a name, if there are any."""
        self._memory.pop(name, None)
        if self.path is not None:
            files.remove(self.path / f"{name}.tfl", "callback leftover")

    def _load(self) -> None:
        """Read settings and records of a directory that has them."""
        if self.path is None or not self.path.exists():
            return
        if not (self.path / "settings.json").exists():
            if not self.path.is_dir() or not all(map(files.is_leftover, self.path.iterdir())):
                raise RunError(f"{self.path} holds something else than lottery tickets. Choose a new or an empty one.")
            return
        self._settings = _unsealed(self.path / "settings.json")
        if (self.path / "records.json").exists():
            content = _unsealed(self.path / "records.json")
            records, digests = content.get("levels"), content.get("files")
            if not isinstance(records, list) or not isinstance(digests, dict):
                raise DamageError(f"{self.path / 'records.json'} is damaged: it holds no levels. {_WAY_OUT}")
            self.records, self._digests = records, digests
        for level, record in enumerate(self.records):
            if not _is_record(record, level):
                raise DamageError(f"{self.path / 'records.json'} is damaged: record {level} is not one. {_WAY_OUT}")
            numbers = record["metrics"].items()
            record["metrics"] = {name: math.nan if value is None else value for name, value in numbers}

    def _check(self, settings: Mapping[str, Any]) -> None:
        if (stored := self._settings) is None:
            return
        asked = _as_stored(settings)
        different = [name for name in {**stored, **asked} if not _continues(stored.get(name), asked.get(name))]
        if different:
            differences = "; ".join(f"{name}={stored.get(name)} (there), {asked.get(name)} (now)" for name in different)
            place = self.path or "This LotteryTicket"
            other = "directory" if self.path else "LotteryTicket"
            raise RunError(
                f"{place} belongs to another experiment: {differences}. Use the arguments that are there, or "
                f"take another {other}."
            )


def _optimizer(level: int) -> str:
    return f"optimizer_{level:02d}"


def _unsealed(path: Path) -> dict[str, Any]:
    try:
        return files.unseal(files.read(path, files.MAX_BYTES))
    except (OSError, ValueError) as error:
        raise DamageError(f"{path} is damaged: {error}. {_WAY_OUT}") from error


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(-ticket_lib.CHECKSUM_BYTES, os.SEEK_END)
        return file.read().hex()


def _is_record(record: Any, level: int) -> bool:
    is_one = isinstance(record, dict) and record.get("level") == level and set(record) >= _RECORD
    return is_one and isinstance(record["metrics"], dict)


def _continues(stored: Any, asked: Any) -> bool:
    if isinstance(stored, list) and isinstance(asked, list):
        common = min(len(stored), len(asked))
        return stored[:common] == asked[:common]
    return stored == asked


def _as_stored(settings: Mapping[str, Any]) -> Any:
    """Return the settings as they come back from a file, which knows lists and no tuples."""
    return json.loads(json.dumps(files.finite(settings)))
