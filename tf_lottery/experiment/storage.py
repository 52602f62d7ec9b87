"""The run directory: the only module that knows file names, and the only one that writes.

    run_dir/  config.json  environment.json  run.lock
              replicate_1/level_00/ {history.csv, metrics.json, ticket.tfl, timing.json, optimizer.tfl}
                          level_01/ …
                          controls/random_mask/level_05/ …   controls/reinit/ …
              report/ {tickets.csv, *.png, index.html}

A level is done when its `metrics.json` is there: it is written last, holds the SHA-256 of the files beside it, and is
never written again. Every write goes to a temporary file that is renamed when its bytes are safe on disk.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from tf_lottery import files, ticket as ticket_lib
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import RunError, TicketError
from tf_lottery.experiment import config as config_lib
from tf_lottery.experiment.config import Experiment
from tf_lottery.ticket import Ticket

_EXTENDABLE = ("replicates", "prune.levels", "controls")


@dataclass(frozen=True, order=True)
class Unit:
    """One training of an experiment: the smallest piece that is done or not done.

    Attributes:
        replicate: 1, 2, …
        level: Number of prunings before it; 0 is dense.
        control: `"random_mask"`, `"reinit"`, or `""` for the ticket itself.
    """

    replicate: int
    level: int
    control: str = ""

    def __str__(self) -> str:
        return f"replicate {self.replicate}, level {self.level}{f', {self.control}' if self.control else ''}"


class Run:
    """A run directory that exists. Use `open_run` or `Run.load`.

    Attributes:
        path: The directory.
        config: The experiment it belongs to.
    """

    def __init__(self, path: Path, config: Experiment):
        self.path, self.config = path, config

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Run":
        """Opens an existing run.

        Raises:
            RunError: there is none at `path`, or its config cannot be read.
        """
        path = Path(path)
        try:
            content = (path / "config.json").read_bytes()
        except OSError as error:
            raise RunError(f"{path} is not a run directory: it has no readable config.json.") from error
        try:
            config = config_lib.from_fields(json.loads(content))
            config_lib.check(config)
        except (ValueError, AttributeError, TypeError) as error:
            raise RunError(f"{path / 'config.json'} is damaged: {error}") from error
        return cls(path, config)

    def is_done(self, unit: Unit) -> bool:
        return (self._folder(unit) / "metrics.json").exists()

    def save(
        self,
        unit: Unit,
        *,
        ticket: Ticket,
        history: Sequence[Mapping[str, float]],
        metrics: Mapping[str, Any],
        seconds: float,
        optimizer: Mapping[str, Arrays],
    ) -> None:
        """Stores a finished training; afterwards `is_done(unit)`.

        Args:
            unit: Which training.
            ticket: Its masks, the weights it started from (`"rewind"`) and those it ended with (`"final"`).
            history: Rows of `Run.history`.
            metrics: What `Run.metrics` returns.
            seconds: How long it took.
            optimizer: Optimizer states that later levels start from, in groups like the ticket's; may be empty.

        Raises:
            RunError: it is done already: results are never overwritten.
        """
        if self.is_done(unit):
            raise RunError(f"{self._folder(unit)} is done; results are never written twice.")
        contents = {"ticket.tfl": ticket_lib.pack(ticket), "history.csv": _csv(pd.DataFrame(history))}
        if optimizer:
            contents["optimizer.tfl"] = ticket_lib.pack(Ticket({}, optimizer))
        folder = self._folder(unit)
        for name, content in contents.items():
            files.write(folder / name, content)
        files.write(folder / "timing.json", _json({"seconds": round(seconds, 3)}))
        checksums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        files.write(folder / "metrics.json", _json({**metrics, "sha256": checksums}))

    def ticket(self, unit: Unit) -> Ticket:
        """Masks and weights of a finished training."""
        return self._unpack(unit, "ticket.tfl")

    def optimizer(self, unit: Unit, group: str) -> Arrays:
        """A stored optimizer state: `"rewind"` of a level 0, or `"final"` where later levels need it."""
        return self._unpack(unit, "optimizer.tfl").weights[group]

    def history(self, unit: Unit) -> pd.DataFrame:
        """One row an evaluation: step, train_loss, validation_loss, validation_accuracy."""
        return pd.read_csv(io.BytesIO(self._read(unit, "history.csv")))

    def metrics(self, unit: Unit) -> dict[str, Any]:
        """What the training reached; see `imp.train_unit` for the fields."""
        path = self._folder(unit) / "metrics.json"
        try:
            content = json.loads(path.read_bytes())
        except OSError as error:
            raise RunError(f"{unit} is not done: {path} is not there.") from error
        except ValueError:
            content = None
        if not isinstance(content, dict) or not {"sha256", "density_by_weight"} <= set(content):
            raise RunError(f"{path} is damaged. {self._way_out(unit)}")
        return content

    def environment(self) -> dict[str, Any]:
        """What the run was made on: versions and devices. Only a record, so a run does without it."""
        try:
            content = json.loads((self.path / "environment.json").read_bytes())
        except (OSError, ValueError):
            content = None
        return content if isinstance(content, dict) else {"environment.json": "missing or damaged"}

    def write_report(self, contents: Mapping[str, bytes]) -> Path:
        """Replaces the files of the report; returns its folder."""
        for name, content in contents.items():
            files.write(self.path / "report" / name, content)
        return self.path / "report"

    def _folder(self, unit: Unit) -> Path:
        branch = Path("controls", unit.control) if unit.control else Path()
        return self.path / f"replicate_{unit.replicate}" / branch / f"level_{unit.level:02d}"

    def _read(self, unit: Unit, name: str) -> bytes:
        """A file's content, if it is what `metrics.json` says."""
        checksum = self.metrics(unit)["sha256"].get(name)
        path = self._folder(unit) / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error.strerror}. {self._way_out(unit)}") from error
        if hashlib.sha256(content).hexdigest() != checksum:
            raise RunError(f"{path} is damaged: its checksum does not match. {self._way_out(unit)}")
        return content

    def _way_out(self, unit: Unit) -> str:
        return f"Delete {self._folder(unit)} to have it redone."

    def _unpack(self, unit: Unit, name: str) -> Ticket:
        try:
            return ticket_lib.unpack(self._read(unit, name))
        except TicketError as error:
            raise RunError(f"{self._folder(unit) / name}: {error}") from error


@contextlib.contextmanager
def lock(path: str | os.PathLike[str]) -> Iterator[None]:
    """Holds a run directory for this process, and makes it if it is not there.

    Raises:
        RunError: another process holds it; the message names that process.
    """
    with _open_lock(Path(path)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it when a process dies
        except OSError as error:
            file.seek(0)
            raise RunError(f"Process {file.read().strip()} works on {path}; wait for it to end.") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def existing_run(path: str | os.PathLike[str], config: Experiment) -> Run | None:
    """The run at `path` if there is one, with all that it has or `config` adds. Writes nothing.

    Raises:
        RunError: the directory holds something else, or another experiment (with the difference).
    """
    path = Path(path)
    try:
        is_run, is_foreign = (path / "config.json").exists(), path.exists() and _is_foreign(path)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    if not is_run:
        if is_foreign:
            raise RunError(f"{path} exists and is not a run directory. Choose a new or an empty one.")
        return None
    stored, asked = config_lib.fields(Run.load(path).config), config_lib.fields(config)
    different = [name for name in asked if stored[name] != asked[name] and name not in _EXTENDABLE]
    if different:
        differences = "; ".join(f"{name}={stored[name]} (run), {name}={asked[name]} (asked for)" for name in different)
        raise RunError(
            f"{path} belongs to another experiment: {differences}. Choose another --run_dir; only "
            f"{', '.join(_EXTENDABLE)} can be added to a run."
        )
    return Run(path, config_lib.from_fields(asked | {name: _more(stored[name], asked[name]) for name in _EXTENDABLE}))


def open_run(path: str | os.PathLike[str], config: Experiment, environment: Mapping[str, Any]) -> Run:
    """Makes a new run directory, or opens one of the same experiment to go on with it.

    A run only grows: more levels, replicates or controls extend it, fewer leave it as it is.

    Raises:
        RunError: the directory cannot be written, is no run, belongs to another experiment (with the difference), or
            was begun with another Keras or number of replicas.
    """
    run = existing_run(path, config)
    if run is None:
        run = Run(Path(path), config)
        files.write(run.path / "environment.json", _json(environment))
    _check_same(run, environment)
    files.write(run.path / "config.json", _json(config_lib.fields(run.config)))  # makes it a run
    return run


def opened_by_chief(path: str | os.PathLike[str], config: Experiment) -> Run:
    """The run that another worker has made or opened; writes nothing.

    Raises:
        RunError: it cannot be seen from here.
    """
    run = existing_run(path, config)
    if run is None:
        raise RunError(
            f"{path} is not there, yet the chief has made it. All workers need one run directory, on storage that all "
            "can read."
        )
    if config_lib.fields(run.config) != config_lib.fields(Run.load(path).config):
        raise RunError(
            f"The chief was asked for less than this worker ({', '.join(_EXTENDABLE)}). Give all the same command."
        )
    return run


def _check_same(run: Run, environment: Mapping[str, Any]) -> None:
    """Refuses to go on with another Keras or number of replicas: what is trained then cannot be compared."""
    before = run.environment()
    for name in ("keras_flavour", "replicas"):
        now = environment.get(name)
        if name in before and now not in (None, before[name]):
            raise RunError(
                f"{run.path} was begun with {name}={before[name]}. Received: {name}={now}. Go on with the same Keras "
                "(TF_USE_LEGACY_KERAS) and devices (--strategy, --devices), or choose another --run_dir."
            )


def _is_foreign(path: Path) -> bool:
    """Whether something is there that no run has before its config.json."""
    ours = ("run.lock", "environment.json")
    return not path.is_dir() or not all(
        file.name in ours or (file.name[0] == "." and file.suffix == ".tmp") for file in path.iterdir()
    )


def _more(stored: Any, asked: Any) -> Any:
    return [*asked, *(item for item in stored if item not in asked)] if isinstance(stored, list) else max(stored, asked)


def _open_lock(path: Path) -> TextIO:
    try:
        path.mkdir(parents=True, exist_ok=True)
        return (path / "run.lock").open("a+")
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}") from error


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def _json(content: Mapping[str, Any]) -> bytes:
    """Strict JSON: what is not a finite number (training diverged) becomes null."""
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in content.items()
    }
    return (json.dumps(finite, indent=2, allow_nan=False) + "\n").encode()
