"""Finds runs, tells how far they are, and verifies their files. It only reads, so it is safe while a run is active."""

import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tf_lottery import files, locks
from tf_lottery.core import steps
from tf_lottery.errors import RunError
from tf_lottery.experiment import backups, config as config_lib, plan
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.plan import Plan
from tf_lottery.experiment.storage import Run, Unit

_REPLACED = "The other generation is intact: run find_tickets.py again to restore this one."
_LOST = "So is the other generation: restore one from a copy, or resume with --any_environment, which is not bit-exact."
_CHECKPOINT_LOST = "Training resumes from the checkpoint before it, or from the start."


@dataclass(frozen=True)
class UnitStatus:
    """The status of a unit, which is one training run.

    Attributes:
        unit: The unit.
        is_done: Whether it is finished.
        step: The step of its newest checkpoint; None if it is finished or has none.
        metrics: Its results, see `Run.metrics`; empty if it is unfinished or damaged.
        seconds: The time that it took; None if it is unfinished or the time is unknown.
        fault: A description of the damage to its results, or `""`.
    """

    unit: Unit
    is_done: bool
    step: int | None
    metrics: Mapping[str, Any]
    seconds: float | None
    fault: str

    @property
    def state(self) -> str:
        """The status in words."""
        if self.is_done:
            return "damaged" if self.fault else "done"
        return "waiting" if self.step is None else f"under way at step {self.step}"


@dataclass(frozen=True)
class Overview:
    """The status of a run.

    Attributes:
        run: The run.
        units: The status of all units of its experiment, finished or not.
        holders: The processes that train its replicates, as in "1234 on host".
    """

    run: Run
    units: list[UnitStatus]
    holders: list[str]

    @property
    def done(self) -> int:
        """The number of finished units."""
        return sum(status.is_done for status in self.units)

    @property
    def faults(self) -> list[str]:
        """Descriptions of the damage to results, a sentence or two each."""
        return [status.fault for status in self.units if status.fault]

    @property
    def state(self) -> str:
        """The status in words, with the processes that train."""
        if self.holders:
            return f"going on, process {', '.join(self.holders)}"
        return "finished" if self.done == len(self.units) else "stopped"

    @property
    def plan(self) -> Plan | None:
        """The lengths of all units; None as long as neither results nor the config tell them."""
        steps = {label: self._steps(label, member) for label, member in config_lib.members(self.run.config).items()}
        return Plan(steps) if all(None not in found for found in steps.values()) else None

    @property
    def steps(self) -> tuple[int, int] | None:
        """The finished optimizer steps, including those in checkpoints, and all steps; None if `plan` is unknown."""
        if (lengths := self.plan) is None:
            return None
        done, needs = 0, plan.needs(self.run.config)
        work = lengths.work(plan.units_to_train(needs, needs))
        for status in self.units:
            if status.is_done:
                done += work.get(status.unit, 0)
            elif status.step is not None:
                start = lengths.steps[status.unit.variant][0] - lengths.length(status.unit)
                done += status.step - start
        return done, sum(work.values())

    @property
    def seconds_left(self) -> float | None:
        """The time that the remaining steps take one after another, at the median pace of the finished units.

        None if no pace or no number of steps is known.
        """
        if self.done == len(self.units):
            return 0.0
        paces = [status.seconds / length for status in self.units if (length := _timed_steps(status))]
        if not paces or (counted := self.steps) is None:
            return None
        done, total = counted
        return statistics.median(paces) * (total - done)

    def _steps(self, label: str, member: Experiment) -> tuple[int | None, int | None]:
        """Return T and k of a variant in steps, from its results or its config; None for each that is unknown."""
        reached = [status for status in self.units if status.metrics and status.unit.variant == label]
        totals = [status.metrics["to_step"] for status in reached]
        rewinds = [status.metrics["from_step"] for status in reached if not plan.starts_at_zero(status.unit)]
        return (
            totals[0] if totals else _steps_in_config(member.train.steps),
            rewinds[0] if rewinds else _steps_in_config(member.prune.rewind_to),
        )


def find(path: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Yield the run directories at or below `path`, in the order of their names, but none inside another run.

    Args:
        path: A folder.
        on_error: Called with the error of each folder that cannot be read. Defaults to None: such folders are skipped.
    """
    for name, inner, _ in os.walk(path, onerror=on_error):
        if _is_run(folder := Path(name)):
            inner.clear()
            yield folder
        inner.sort()


def read(run: Run) -> Overview:
    """Read the present status of a run."""
    held = [locks.holder(run.lock_path(replicate)) for replicate in range(1, run.config.replicates + 1)]
    holders = dict.fromkeys(holder for holder in held if holder is not None)
    return Overview(run, [_unit_status(run, unit) for unit in plan.units(run.config)], [*holders])


def verify(run: Run) -> Iterator[tuple[Path, str]]:
    """Verify the files of a run.

    The report and timing.json are not verified: the report can be built again, and nothing depends on the times.

    Yields:
        The path of each file, with a description of its damage and the remedy, or `""`.
    """
    for name in ("config", "environment"):
        yield from _verify_generations(run.path, name)
    for unit in plan.units(run.config):
        for path, fault in run.verify(unit):
            yield path, fault if not fault or run.is_done(unit) else f"{fault} {_CHECKPOINT_LOST}"


def _unit_status(run: Run, unit: Unit) -> UnitStatus:
    checkpoints = run.checkpoint_steps(unit)  # read before `is_done`: finished units have no checkpoints
    if not run.is_done(unit):
        step = checkpoints[0] if checkpoints else None
        return UnitStatus(unit, is_done=False, step=step, metrics={}, seconds=None, fault="")
    try:
        metrics, seconds, fault = run.metrics(unit), run.seconds(unit), ""
    except RunError as error:
        metrics, seconds, fault = {}, None, str(error)
    return UnitStatus(unit, is_done=True, step=None, metrics=metrics, seconds=seconds, fault=fault)


def _timed_steps(status: UnitStatus) -> int:
    """Return the steps of a finished unit whose time is known, otherwise 0."""
    if not status.metrics or status.seconds is None:
        return 0
    return status.metrics["to_step"] - status.metrics["from_step"]


def _steps_in_config(length: str) -> int | None:
    """Convert a length in the config to steps; None if it is in epochs, which depend on the data."""
    number, unit = steps.parse(length)
    return None if unit == "ep" and number else number


def _verify_generations(folder: Path, name: str) -> Iterator[tuple[Path, str]]:
    first, backup = backups.paths(folder, name)
    found = [first, backup] if files.exists(backup) else [first]  # the process may die before the first backup
    faults = {path: backups.fault(path) for path in found}
    remedy = _LOST if all(faults.values()) else _REPLACED
    for path, fault in faults.items():
        yield path, fault and f"{path} is damaged: {fault}. {remedy}"


def _is_run(folder: Path) -> bool:
    try:
        return backups.exists(folder, "config")
    except RunError:
        return True  # so that opening it tells why it cannot be read
