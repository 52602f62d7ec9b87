"""The run directory: the only module that knows its file names.

    run_dir/  config.json  environment.json  (and a backup of each)  run.lock
              replicate_1/  replicate.lock
                  level_00/ {history.csv, metrics.json, ticket.tfl, optimizer.tfl, timing.json, manifest.json}
                  level_01/ {checkpoint_0000000200.tfl, checkpoint_0000000300.tfl}     (not finished)
                  controls/random_mask/level_05/ …   controls/reinit/ …
                  shuffle_seed_1/level_05/ {…, line.csv}   shuffle_seed_1/controls/random_mask/level_05/ …
                  (in a sweep, one such folder for each variant)
              report/ {index.html, *.png, tickets.csv, comparisons.csv, …, tables.md, report.lock}

A unit is finished when its `manifest.json` exists. The manifest is written last and holds the size and SHA-256 of the
other files, none of which is ever written again. A file that may change has a backup, and both have checksums. Every
write goes to a temporary file of its own that is renamed once its bytes are safe on disk (`files.write`). Nothing is
written through a link inside the directory.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from tf_lottery import files, locks
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import LotteryError, RunError
from tf_lottery.experiment import backups, config as config_lib, manifest, schemas, validation
from tf_lottery.experiment.config import Experiment
from tf_lottery.masking import ticket as ticket_lib
from tf_lottery.masking.ticket import Shapes, Ticket

_CHECKPOINT = re.compile(r"checkpoint_(\d{10})\.tfl")
FORMAT = 2  # of run directories; format 1 was that of the development versions of 0.1.0
_CHECKPOINTS_KEPT = 2
_PATIENCE_WITH_REPORTS = 60.0  # seconds: two commands on one run may end together
_MAX_CHECKPOINT_BYTES = 2**36


@dataclass(frozen=True, order=True)
class Unit:
    """One training run of an experiment, which is finished or not finished as a whole.

    Attributes:
        replicate: 1, 2, …
        level: Number of prunings before it; 0 is the dense network.
        control: `"random_mask"`, `"reinit"`, …, or `""` for the ticket itself. Defaults to `""`.
        variant: In a sweep, the label of its variant. Defaults to `""`.
        shuffle_seed: 0 for the data order of the experiment itself; 1, 2, … for further ones. Defaults to 0.

    Examples:
        >>> import tf_lottery as tfl
        >>> print(tfl.Unit(replicate=1, level=5, control="random_mask"))
        replicate 1, level 5, random_mask
    """

    replicate: int
    level: int
    control: str = ""
    variant: str = ""
    shuffle_seed: int = 0

    def __str__(self) -> str:
        order = f"shuffle seed {self.shuffle_seed}" if self.shuffle_seed else ""
        parts = (f"replicate {self.replicate}", self.variant, f"level {self.level}", self.control, order)
        return ", ".join(part for part in parts if part)


class Run:
    """An existing run directory. Use `Run.load`, or the run that `find_tickets` returns.

    A `unit` is one of its training runs. `shapes` are the shapes of the arrays that a file may hold (see
    `ticket.unpack`).

    Attributes:
        path: The directory.
        config: The experiment.

    Examples:
        >>> import tf_lottery as tfl
        >>> run = tfl.Run.load("runs/digits_lenet")  # doctest: +SKIP
        >>> unit = tfl.Unit(replicate=1, level=2)
        >>> run.is_done(unit), run.metrics(unit)["test_accuracy"]  # doctest: +SKIP
        (True, 0.9)
        >>> list(run.history(unit))  # doctest: +SKIP
        ['step', 'train_loss', 'validation_loss', 'validation_accuracy']
    """

    def __init__(self, path: Path, config: Experiment):
        self.path, self.config = path, config
        members = config_lib.members(config)
        self._experiments = {label: config_lib.fingerprint(member) for label, member in members.items()}
        self._networks: dict[str, tuple[Path, Shapes]] = {}  # of each variant, from the first ticket that was read

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Run":
        """Open an existing run.

        Args:
            path: The directory.

        Raises:
            RunError: there is no run at `path`, it cannot be read, or its config names something unknown, such as a
                network whose module is not imported.
            DamageError: the config and its backup are damaged.
        """
        path = Path(path)
        if not backups.exists(path, "config"):
            raise RunError(f"{path} is not a run directory: it has no readable config.json.")
        content = backups.read(path, "config")
        if type(found := content.pop("format", 1)) is not int or found != FORMAT:
            raise RunError(
                f"{path} is in run format {found!r}, of another version of tf_lottery; this version reads format "
                f"{FORMAT}. Use the version that made it, or choose another --run_dir."
            )
        with manifest.reading(path / "config.json"):
            return cls(path, _experiment(path, content))

    def write_config(self) -> None:
        """Write config.json, which makes the directory a run."""
        backups.write(self.path, "config", {"format": FORMAT, **config_lib.fields(self.config)})

    def is_done(self, unit: Unit) -> bool:
        """Return whether a unit is finished and stored."""
        return self._folder(unit).is_final()

    def save(
        self,
        unit: Unit,
        *,
        ticket: Ticket,
        history: Sequence[Mapping[str, float]],
        metrics: Mapping[str, Any],
        seconds: float,
        optimizer: Mapping[str, Arrays],
        line: Sequence[Mapping[str, float]] = (),
    ) -> None:
        """Store the results of a unit, which is finished then.

        Args:
            unit: The unit.
            ticket: Its masks, the weights it started with (`"rewind"`) and those it ended with (`"final"`).
            history: Rows of `Run.history`.
            metrics: The content of `Run.metrics`.
            seconds: How long training took.
            optimizer: Optimizer states that later levels start from, in groups like the ticket's; may be empty.
            line: Rows of `Run.line`, for a unit with a further shuffle seed. Defaults to none.

        Raises:
            RunError: the unit is stored already, or a file cannot be written.
        """
        folder = self.folder(unit)
        self._check_writable(folder)
        if self.is_done(unit):
            raise RunError(f"{folder} is finished already; results are never overwritten.")
        contents = {"history.csv": _csv(history), "metrics.json": _json(metrics)}
        if line:
            contents["line.csv"] = _csv(line)
        if optimizer:
            contents["optimizer.tfl"] = ticket_lib.pack(Ticket({}, optimizer))
        contents["ticket.tfl"] = ticket_lib.pack(ticket)
        for name, content in contents.items():
            files.write(folder / name, content, name.partition(".")[0])
        files.write(folder / "timing.json", _json({"seconds": round(seconds, 3)}), "timing")
        self._folder(unit).finish(contents)
        self.tidy(unit)

    def ticket(self, unit: Unit, shapes: Shapes | None = None) -> Ticket:
        """Return the masks and weights of a finished unit; see `ticket.unpack` for `shapes`."""

        def parse(content: bytes) -> Ticket:
            ticket = schemas.ticket(ticket_lib.unpack(content, shapes=shapes))
            named = asdict(unit).keys() & ticket.metadata.keys()
            manifest.check_identity({name: getattr(unit, name) for name in named}, ticket.metadata)
            self._check_network(unit, ticket)
            return ticket

        return self._folder(unit).read("ticket.tfl", parse)

    def optimizer(self, unit: Unit, group: str, shapes: Shapes | None = None) -> Arrays:
        """Return a stored optimizer state: `"rewind"` of level 0, or `"final"` if later levels need it."""

        def parse(content: bytes) -> Arrays:
            stored = ticket_lib.unpack(content, shapes=shapes).weights
            if group not in stored:
                raise ValueError(f"it lacks the state {group!r}")
            return stored[group]

        return self._folder(unit).read("optimizer.tfl", parse)

    def history(self, unit: Unit) -> pd.DataFrame:
        """Return a table with one row for each evaluation: step, train_loss, validation_loss, validation_accuracy."""
        return self._folder(unit).read("history.csv", schemas.history)

    def line(self, unit: Unit) -> pd.DataFrame:
        """Return the error along the line from the unit with the first shuffle seed; see `connectivity.along`."""
        return self._folder(unit).read("line.csv", schemas.line)

    def metrics(self, unit: Unit) -> dict[str, Any]:
        """Return the metrics of a finished unit, such as its density and its accuracies (0-1)."""
        return self._folder(unit).read("metrics.json", schemas.metrics)

    def seconds(self, unit: Unit) -> float | None:
        """Return how many seconds a finished unit took, in all processes that trained it; None if unknown."""
        try:
            return schemas.seconds(files.read(self.folder(unit) / "timing.json", files.MAX_BYTES))
        except (OSError, ValueError, RecursionError):
            return None

    def environments(self) -> list[dict[str, Any]]:
        """Return the environments (versions and devices) of the run: several if it was resumed with `any_environment`.

        Raises:
            DamageError: the record is damaged, and so is its backup.
        """
        content = backups.read(self.path, "environment")
        with manifest.reading(self.path / "environment.json"):
            return schemas.environments(content)

    def save_checkpoint(self, unit: Unit, step: int, state: Ticket) -> None:
        """Save a checkpoint of a unit; remove all older ones but the newest.

        Raises:
            RunError: it cannot be written; the older checkpoints are still there.
        """
        self._check_writable(self.folder(unit))
        state = Ticket(state.masks, state.weights, {**state.metadata, **self._identity(unit), "step": step})
        files.write(self.checkpoint_path(unit, step), ticket_lib.pack(state), "state")
        for old in self.checkpoint_steps(unit)[_CHECKPOINTS_KEPT:]:
            self.remove_checkpoint(unit, old)

    def checkpoint_steps(self, unit: Unit) -> list[int]:
        """Return the steps of the checkpoints of an unfinished unit, the newest first."""
        found = map(_CHECKPOINT.fullmatch, files.names(self.folder(unit)))
        return sorted((int(name[1]) for name in found if name), reverse=True)

    def checkpoint(self, unit: Unit, step: int, shapes: Shapes | None = None) -> Ticket:
        """Return a checkpoint.

        Raises:
            DamageError: it is damaged, belongs to another unit, or does not fit `shapes`.
        """
        with manifest.reading(path := self.checkpoint_path(unit, step)):
            most = _MAX_CHECKPOINT_BYTES if shapes is None else ticket_lib.most_bytes(shapes)
            state = ticket_lib.unpack(files.read(path, most), max_bytes=_MAX_CHECKPOINT_BYTES, shapes=shapes)
            manifest.check_identity(self._identity(unit) | {"step": step}, state.metadata)
        return state

    def remove_checkpoint(self, unit: Unit, step: int) -> None:
        """Remove a checkpoint."""
        self._check_writable(self.folder(unit))
        files.remove(self.checkpoint_path(unit, step), "old state")

    def tidy(self, unit: Unit) -> None:
        """Remove what killed writes have left in the folder of a unit and, once it is finished, its checkpoints."""
        folder = self.folder(unit)
        self._check_writable(folder)
        for name in files.names(folder):
            if files.is_leftover(folder / name) or (self.is_done(unit) and _CHECKPOINT.fullmatch(name)):
                files.remove(folder / name, "leftover")

    def verify(self, unit: Unit) -> Iterator[tuple[Path, str]]:
        """Yield each file of a unit with what is wrong with it, `""` if it is intact; safe while the unit trains."""
        if self.is_done(unit):
            yield from self._folder(unit).verify()
            return
        for step in self.checkpoint_steps(unit):
            fault = manifest.fault_of(partial(self.checkpoint, unit, step))
            if files.exists(path := self.checkpoint_path(unit, step)):  # else a newer one has replaced it meanwhile
                yield path, fault

    def write_report(self, make: Callable[[], Mapping[str, bytes]]) -> Path:
        """Replace the files of the report and return its folder.

        Args:
            make: Returns their contents by name. It is called under a lock, so that no older report comes last.

        Raises:
            RunError: another process has held the lock for a minute, or a file cannot be written.
        """
        folder = self.path / "report"
        self._check_writable(folder)
        with locks.hold(folder / "report.lock", f"the report of {self.path}", _PATIENCE_WITH_REPORTS):
            for name, content in make().items():
                files.write(folder / name, content, "report")
        return folder

    def folder(self, unit: Unit) -> Path:
        """Return the folder of a unit."""
        order = f"shuffle_seed_{unit.shuffle_seed}" if unit.shuffle_seed else ""
        branch = Path(unit.variant, order, *(("controls", unit.control) if unit.control else ()))
        return self.path / f"replicate_{unit.replicate}" / branch / f"level_{unit.level:02d}"

    def lock(self, replicate: int) -> AbstractContextManager[None]:
        """Hold the lock of a replicate, as a process does while it trains the replicate.

        Raises:
            RunError: another process holds it.
        """
        self._check_writable((path := self.lock_path(replicate)).parent)
        return locks.hold(path, f"replicate {replicate} of {self.path}")

    def lock_path(self, replicate: int) -> Path:
        """Return the path of the lock of a replicate."""
        return self.path / f"replicate_{replicate}" / "replicate.lock"

    def checkpoint_path(self, unit: Unit, step: int) -> Path:
        """Return the path of a checkpoint."""
        return self.folder(unit) / f"checkpoint_{step:010d}.tfl"

    def _check_writable(self, folder: Path) -> None:
        """Raise RunError if `folder` is a link or below one: a run that someone else made may lead anywhere.

        Raise it, too, if the directory was moved or deleted: files written now would not belong to a run.
        """
        files.check_inside(folder, self.path)
        if not backups.exists(self.path, "config"):
            raise RunError(
                f"{self.path} was moved or deleted while it was in use. Find it, and give its new path as --run_dir."
            )

    def _check_network(self, unit: Unit, ticket: Ticket) -> None:
        """Raise ValueError if a ticket has other arrays than those of its variant that were read before."""
        groups = {"masks": ticket.masks, **ticket.weights}
        shapes = {group: {name: array.shape for name, array in arrays.items()} for group, arrays in groups.items()}
        first, known = self._networks.setdefault(unit.variant, (self.folder(unit), shapes))
        if shapes != known:
            raise ValueError(f"its arrays do not have the names and shapes of those in {first}")

    def _folder(self, unit: Unit) -> manifest.Folder:
        return manifest.Folder(self.folder(unit), self._identity(unit))

    def _identity(self, unit: Unit) -> dict[str, Any]:
        """Return the entries by which a file names its unit and experiment."""
        return asdict(unit) | {"experiment": self._experiments[unit.variant]}


def _experiment(path: Path, fields: dict[str, Any]) -> Experiment:
    try:
        config = config_lib.from_fields(fields)
        validation.check(config)
    except LotteryError as error:
        raise RunError(
            f"{path / 'config.json'} cannot be used here: {error} If it names a plugin, import the module that defines "
            "the plugin first (in scripts: --plugins=MODULE). It may also come from another version of tf_lottery."
        ) from error
    return config


def _csv(rows: Sequence[Mapping[str, float]]) -> bytes:
    return pd.DataFrame(rows).to_csv(index=False).encode()


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(files.finite(content), indent=2, allow_nan=False) + "\n").encode()
