"""What must be true of a directory after every kill, and what was seen in it."""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

from crash_attempts import CHECKPOINT_EVERY, Attempt

from tf_lottery import files
from tf_lottery.masking.ticket import load_ticket

_STATE = re.compile(r"checkpoint_\d+\.tfl")
_STEPS = re.compile(r"steps (\d+) (.+)")


class Watch:
    """Follows one directory from attempt to attempt.

    Attributes:
        directory: Which.
        redone: Finished trainings that were touched again.
        states: How often a training went on from a state of an earlier attempt.
        repeated: The most steps of a training that were seen to be done twice.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self._finished: dict[Path, tuple[int, int]] = {}
        self._under_way: set[str] = set()
        self._reached: Counter[str] = Counter()
        self.redone = self.states = self.repeated = 0

    @property
    def has_begun(self) -> bool:
        """Whether an earlier attempt has left something to go on from."""
        return bool(self._finished or self._under_way)

    def look(self, attempt: Attempt) -> None:
        """Look at what an attempt has left.

        Raises:
            RuntimeError: a finished training was touched, a file is not whole, or too many steps were done again.
        """
        self._check_steps(attempt.lines())
        for path in self.directory.rglob("*.*"):
            _check_whole(path)
        now = _finished(self.directory)
        if touched := [path for path, written in self._finished.items() if now.get(path) != written]:
            self.redone += len({path.parent for path in touched})
            raise RuntimeError(f"levels redone: {', '.join(map(str, touched))}")
        self._finished, self._under_way = now, _under_way(self.directory)

    def _check_steps(self, lines: list[str]) -> None:
        reached: Counter[str] = Counter()
        for steps, unit in (match.groups() for match in map(_STEPS.fullmatch, lines) if match):
            if unit not in reached:  # the first report of a training that goes on says where
                goes_on = unit in self._under_way
                repeated = self._reached[unit] - (int(steps) if goes_on else 0)
                self.states, self.repeated = self.states + goes_on, max(self.repeated, repeated)
                if repeated > CHECKPOINT_EVERY:
                    raise RuntimeError(f"{repeated} steps were done again of {unit}")
            reached[unit] += int(steps)
        self._reached |= reached


def digest(directory: Path) -> dict[str, str]:
    """Return a checksum of every file but those that hold wall-clock times, and locks."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != "timing.json" and path.suffix != ".lock"
    }


def _check_whole(path: Path) -> None:
    try:
        if path.suffix == ".tfl":
            load_ticket(path)
        elif path.suffix == ".json":
            json.loads(path.read_bytes())
    except ValueError as error:  # a TicketError is one
        raise RuntimeError(f"{path} is not whole: {error}") from error


def _finished(directory: Path) -> dict[Path, tuple[int, int]]:
    """Return the files of finished trainings, each with its inode and the time when it was written."""
    found = [path for manifest in directory.rglob("manifest.json") for path in manifest.parent.iterdir()]
    results = [path for path in found if not (_STATE.fullmatch(path.name) or files.is_leftover(path))]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in results}


def _under_way(directory: Path) -> set[str]:
    """Return the folders of trainings that have a state to go on from."""
    folders = {path.parent for path in directory.rglob("checkpoint_*") if _STATE.fullmatch(path.name)}
    return {str(folder) for folder in folders if not (folder / "manifest.json").exists()}
