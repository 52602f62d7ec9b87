"""The levels that a LotteryTicket has finished: in memory, or in a directory that the next process resumes.

    directory/  settings.json  rewind.tfl  level_00.tfl  level_01.tfl …  state_03.tfl  records.json  levels.lock

A level is finished when it is in `records.json`, which is written last, with the checksums of the level's files. Every
file is either whole or missing. `levels.lock` is locked by the process whose `fit` writes to the directory.
"""

import contextlib
import fnmatch
import json
import math
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tf_lottery import files, locks
from tf_lottery.callbacks import schemas
from tf_lottery.core import pruning, steps
from tf_lottery.errors import ConfigError, DamageError, PruningError, RunError, TicketError
from tf_lottery.masking import ticket as ticket_lib
from tf_lottery.masking.state import State
from tf_lottery.masking.ticket import Ticket

_LOCK = "levels.lock"
_WAY_OUT = "Restore it from a copy, or choose another directory."


class LevelStore:
    """The tickets and records of finished levels, and the state at step k.

    Args:
        directory: The directory in which everything is stored, and which is resumed. Defaults to None: everything stays
            in memory.

    Attributes:
        records: One entry for each finished level.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None):
        if not isinstance(directory, str | os.PathLike | None):
            raise ConfigError(
                f"`directory` must be the path of a directory, or None. Received: directory={directory!r}"
            )
        self.path = None if directory is None else Path(directory)
        self.records: list[dict[str, Any]] = []
        self._settings: Any = None
        self._memory: dict[str, bytes] = {}
        self._digests: dict[str, str] = {}  # checksums of the written arrays, by name
        self._lock: contextlib.ExitStack | None = None
        self._thread: threading.Thread | None = None  # that holds the lock
        self._load()

    def stored(self, setting: str) -> Any:
        """Return a setting of the stored levels; None if there are no levels, or they do not tell."""
        return (self._settings or {}).get(setting)

    def hold(self) -> None:
        """Keep other processes from writing to the directory until `release`, and read what they have stored.

        A store of this process that holds the directory gives it up, because a `fit` that was broken off does not say
        so; unless its thread is still running.

        Raises:
            RunError: another process or thread writes to the directory, or it cannot be written.
        """
        if self.path is None:
            return
        place = self.path.resolve()
        if (other := _HOLDING.get(place)) is not None:
            thread = other._thread
            if thread is not None and thread.is_alive() and thread is not threading.current_thread():
                raise RunError(f"The thread {thread.name!r} is working on {self.path}; wait for it to end.")
            other.release()
        with contextlib.ExitStack() as lock:
            lock.enter_context(locks.hold(self.path / _LOCK, str(self.path)))
            self._load()
            self._lock, self._thread = lock.pop_all(), threading.current_thread()
        _HOLDING[place] = self

    def release(self) -> None:
        """Let other processes write to the directory."""
        if self._lock is not None:
            self._lock.close()
        self._lock = self._thread = None

    def open(self, settings: Mapping[str, Any]) -> None:
        """Resume the stored levels.

        Args:
            settings: The settings that decide the results of the experiment, as JSON values; lists may grow.

        Raises:
            RunError: the stored levels belong to another experiment, or the directory cannot be written.
            DamageError: a file is damaged.
        """
        self._check(settings)
        self._settings = _as_stored(settings)
        if self.path is not None:
            files.write(self.path / "settings.json", files.seal(files.finite(settings)), "callback settings")
            for name in files.names(self.path):
                if fnmatch.fnmatch(name, "state_*.tfl") and name != f"{_state(len(self.records) - 1)}.tfl":
                    files.remove(self.path / name, "callback leftover")  # left by a process that was killed

    def add(self, record: Mapping[str, Any], ticket: Ticket, rest: State | None = None) -> None:
        """Store a finished level.

        Args:
            record: Its record.
            ticket: Its ticket.
            rest: What the next level starts from besides the weights. Defaults to None, nothing.
        """
        level = record["level"]
        self.write(f"level_{level:02d}", ticket)
        if rest:
            self.write(_state(level), Ticket({}, rest))
        self.records.append(dict(record))
        if self.path is not None:
            content = {"levels": files.finite(self.records), "files": self._digests}
            files.write(self.path / "records.json", files.seal(content), "callback records")
        if rest and level:
            self.forget(_state(level - 1))

    def ticket(self, level: int) -> Ticket:
        """Return the ticket of a finished level."""
        is_number = isinstance(level, int | np.integer) and not isinstance(level, bool)
        if not is_number or not 0 <= level < len(self.records):
            raise TicketError(f"Levels 0 to {len(self.records) - 1} are finished. Received: level={level!r}")
        return self.read(f"level_{level:02d}")

    def state_before(self, level: int, moment: str) -> State:
        """Return a state that a level can start from.

        Args:
            level: The number of the level, from 1.
            moment: `"rewind"`: the state of the dense network at step k. `"final"`: the weights at the end of the
                previous level, and the rest of the state if it was stored; only that of the last level is.

        Raises:
            TicketError: a file is damaged or missing.
        """
        if moment == "rewind":
            return self.read("rewind").weights
        rest = self.read(_state(level - 1)).weights if _state(level - 1) in self._digests else {}
        return {"weights": self.ticket(level - 1).weights["final"], **rest}

    def write(self, name: str, ticket: Ticket) -> None:
        """Store arrays under a name."""
        content = ticket_lib.pack(ticket)
        self._digests[name] = content[-ticket_lib.CHECKSUM_BYTES :].hex()
        if self.path is None:
            self._memory[name] = content
        else:
            files.write(self.path / f"{name}.tfl", content, "callback arrays")

    def has(self, name: str) -> bool:
        """Return whether there are arrays under a name."""
        return name in self._memory if self.path is None else files.exists(self.path / f"{name}.tfl")

    def read(self, name: str) -> Ticket:
        """Return the arrays under a name.

        Raises:
            TicketError: the file is damaged.
            DamageError: the file is from another run.
        """
        if self.path is None:
            return ticket_lib.unpack(self._memory[name])
        ticket = ticket_lib.load_ticket(path := self.path / f"{name}.tfl")
        if self._digests.get(name) != _checksum(path):
            raise DamageError(f"{path} belongs to another run: do two runs use {self.path} at once? {_WAY_OUT}")
        with _checking(path):
            return schemas.arrays(name, ticket)

    def digest(self, name: str) -> str:
        """Return the checksum of the arrays that were written under a name."""
        return self._digests[name]

    def forget(self, name: str) -> None:
        """Remove the arrays under a name, if there are any."""
        self._memory.pop(name, None)
        if self.path is not None:
            files.remove(self.path / f"{name}.tfl", "callback leftover")

    def _load(self) -> None:
        """Read the settings and records of the directory, if it has any."""
        if self.path is None or not files.exists(self.path):
            return
        if not files.exists(self.path / "settings.json"):
            others = [name for name in files.names(self.path) if name != _LOCK]
            if not files.is_folder(self.path) or not all(files.is_leftover(self.path / name) for name in others):
                raise RunError(f"{self.path} holds other files than lottery tickets. Choose a new or empty directory.")
            return
        self._settings = _unsealed(self.path / "settings.json", schemas.settings)
        if files.exists(self.path / "records.json"):
            self.records, self._digests = _unsealed(self.path / "records.json", schemas.records)
        for record in self.records:
            numbers = record["metrics"].items()
            record["metrics"] = {name: math.nan if value is None else value for name, value in numbers}

    def _check(self, settings: Mapping[str, Any]) -> None:
        if (stored := self._settings) is None:
            return
        asked = _as_stored(settings)
        different = [name for name in {**stored, **asked} if not _continues(stored.get(name), asked.get(name))]
        if not self.records or "learning_rate" not in stored:  # version 0.1 did not store it
            different = [name for name in different if name != "learning_rate"]
        if different:
            pairs = {name: (stored.get(name), asked.get(name)) for name in different}
            differences = "; ".join(f"{name}={old} (stored), {new} (now)" for name, (old, new) in pairs.items())
            place = self.path or "This LotteryTicket"
            other = "directory" if self.path else "LotteryTicket"
            raise RunError(
                f"{place} belongs to another experiment: {differences}. Use the stored arguments, or choose another "
                f"{other}."
            )


_HOLDING: weakref.WeakValueDictionary[Path, LevelStore] = weakref.WeakValueDictionary()  # that hold locks, by directory


def _state(level: int) -> str:
    return f"state_{level:02d}"


def _unsealed(path: Path, check: Callable[[Mapping[str, Any]], Any]) -> Any:
    with _checking(path):
        return check(files.unseal(files.read(path, files.MAX_BYTES)))


@contextlib.contextmanager
def _checking(path: Path) -> Iterator[None]:
    """Turn the errors of a file that cannot be read, or holds something else than expected, into DamageError."""
    try:
        yield
    except OSError as error:
        raise DamageError(f"{path} cannot be read: {files.reason(error)}. {_WAY_OUT}") from error
    except ValueError as error:
        raise DamageError(f"{path} is damaged: {error}. {_WAY_OUT}") from error


def _checksum(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(-ticket_lib.CHECKSUM_BYTES, os.SEEK_END)
            return file.read().hex()
    except OSError as error:
        raise DamageError(f"{path} cannot be read: {files.reason(error)}. {_WAY_OUT}") from error


def _continues(stored: Any, asked: Any) -> bool:
    if isinstance(stored, list) and isinstance(asked, list):
        common = min(len(stored), len(asked))
        return stored[:common] == asked[:common]
    return stored == asked or (_number(stored) is not None and _number(stored) == _number(asked))


def _number(setting: Any) -> Fraction | int | None:
    """Return the share or number of steps that a setting is, however it is written: "0" or "0.0", 500 or "500it"."""
    with contextlib.suppress(PruningError):
        return pruning.exact(setting)
    with contextlib.suppress(ConfigError):
        number, unit = steps.parse(str(setting))
        return None if unit == "ep" else number
    return None


def _as_stored(settings: Mapping[str, Any]) -> Any:
    """Return the settings as they come back from a JSON file, where tuples have become lists."""
    return json.loads(json.dumps(files.finite(settings)))
