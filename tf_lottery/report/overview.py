"""What runs there are, how far each is, and whether its files are whole. Writes nothing; safe while a run goes on."""

import os
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tf_lottery.core import steps
from tf_lottery.errors import RunError
from tf_lottery.experiment import generations, locks, plan, variants
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.plan import Plan
from tf_lottery.experiment.storage import Run, Unit

_REPLACED = "The other generation is whole: find_tickets.py, run again, puts this one right."
_LOST = "So is the other generation: restore one from a copy, or go on with --any_environment, not bit-exact."
_STATE_LOST = "The training goes on from the state before it, or anew."


@dataclass(frozen=True)
class Training:
    """How far one training is.

    Attributes:
        unit: Which.
        is_done: Whether it is finished.
        step: That of the newest state kept of a training under way; None if there is none.
        metrics: What it reached, see `Run.metrics`; empty if it is not done, or damaged.
        seconds: How long it took; None if that is not known.
        fault: What is wrong with what it reached, `""` if nothing is.
    """

    unit: Unit
    is_done: bool
    step: int | None
    metrics: Mapping[str, Any]
    seconds: float | None
    fault: str

    @property
    def state(self) -> str:
        """In words."""
        if self.is_done:
            return "damaged" if self.fault else "done"
        return "waiting" if self.step is None else f"under way at step {self.step}"


@dataclass(frozen=True)
class Overview:
    """How far a run is.

    Attributes:
        run: The run.
        trainings: All of its experiment, done or not.
        holders: The processes that train replicates of it, as in "1234 on host".
    """

    run: Run
    trainings: list[Training]
    holders: list[str]

    @property
    def done(self) -> int:
        """The number of finished trainings."""
        return sum(training.is_done for training in self.trainings)

    @property
    def faults(self) -> list[str]:
        """What is wrong with what was read, a sentence or two each."""
        return [training.fault for training in self.trainings if training.fault]

    @property
    def state(self) -> str:
        """Who works on it, or that nobody does."""
        if self.holders:
            return f"going on, process {', '.join(self.holders)}"
        return "finished" if self.done == len(self.trainings) else "stopped"

    @property
    def plan(self) -> Plan | None:
        """The lengths of its trainings; None while they are known neither from results nor from the config."""
        steps = {label: self._steps(label, member) for label, member in variants.members(self.run.config).items()}
        return Plan(steps) if all(None not in found for found in steps.values()) else None

    @property
    def steps(self) -> tuple[int, int] | None:
        """The optimizer steps that are done, kept states included, and all of them; None if that is not known."""
        if (lengths := self.plan) is None:
            return None
        done, needs = 0, plan.needs(self.run.config)
        work = lengths.work(plan.trainings(needs, needs))
        for training in self.trainings:
            if training.is_done:
                done += work.get(training.unit, 0)
            elif training.step is not None:
                done += training.step - (lengths.steps[training.unit.variant][0] - lengths.length(training.unit))
        return done, sum(work.values())

    @property
    def seconds_left(self) -> float | None:
        """The time of the trainings that remain, one after another, at the median pace of the finished ones.

        None if that is not known.
        """
        if self.done == len(self.trainings):
            return 0.0
        paces = [training.seconds / length for training in self.trainings if (length := _timed_steps(training))]
        if not paces or (counted := self.steps) is None:
            return None
        done, total = counted
        return statistics.median(paces) * (total - done)

    def _steps(self, label: str, member: Experiment) -> tuple[int | None, int | None]:
        """T and k of a variant."""
        reached = [each for each in self.trainings if each.metrics and each.unit.variant == label]
        totals = [each.metrics["to_step"] for each in reached]
        rewinds = [each.metrics["from_step"] for each in reached if not plan.starts_at_zero(each.unit)]
        return (
            totals[0] if totals else _written(member.train.steps),
            rewinds[0] if rewinds else _written(member.prune.rewind_to),
        )


def find(path: Path) -> Iterator[Path]:
    """Every run directory at or below `path`, in the order of their names; what is inside a run is not looked at."""
    for name, inner, _ in os.walk(path):
        if _is_run(folder := Path(name)):
            inner.clear()
            yield folder
        inner.sort()


def overview(run: Run) -> Overview:
    """Return how far a run is now."""
    held = [locks.holder(run.lock_path(replicate)) for replicate in range(1, run.config.replicates + 1)]
    holders = dict.fromkeys(holder for holder in held if holder is not None)
    return Overview(run, [_training(run, unit) for unit in plan.units(run.config)], [*holders])


def verify(run: Run) -> Iterator[tuple[Path, str]]:
    """Every file of a run, with what is wrong with it and the way out, `""` if nothing is.

    Left out are the report, which is made anew from the rest, and the times that trainings took.
    """
    for name in ("config", "environment"):
        yield from _verify_generations(run.path, name)
    for unit in plan.units(run.config):
        for path, fault in run.verify(unit):
            yield path, fault if not fault or run.is_done(unit) else f"{fault} {_STATE_LOST}"


def _training(run: Run, unit: Unit) -> Training:
    kept = run.steps(unit)  # before `is_done`: once it is done, its states go
    if not run.is_done(unit):
        return Training(unit, False, kept[0] if kept else None, {}, None, "")
    try:
        return Training(unit, True, None, run.metrics(unit), run.seconds(unit), "")
    except RunError as error:
        return Training(unit, True, None, {}, None, str(error))


def _timed_steps(training: Training) -> int:
    """Return the steps of a training whose time is known; 0 of all others."""
    if not training.metrics or training.seconds is None:
        return 0
    return training.metrics["to_step"] - training.metrics["from_step"]


def _written(length: str) -> int | None:
    """Return the steps that a config's length means whatever the data."""
    number, unit = steps.parse(length)
    return None if unit == "ep" and number else number


def _verify_generations(folder: Path, name: str) -> Iterator[tuple[Path, str]]:
    first, backup = generations.paths(folder, name)
    found = [first, backup] if backup.exists() else [first]  # killed as it was made, a run has no backup yet
    faults = {path: generations.fault(path) for path in found}
    way_out = _LOST if all(faults.values()) else _REPLACED
    for path, fault in faults.items():
        yield path, fault and f"{path} is damaged: {fault}. {way_out}"


def _is_run(folder: Path) -> bool:
    try:
        return generations.exists(folder, "config")
    except OSError:
        return False
