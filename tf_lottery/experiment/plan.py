"""The trainings of an experiment, in the order in which they are best done, and how long they are."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tf_lottery.core import seeds
from tf_lottery.core.controls import CONTROLS
from tf_lottery.experiment import variants
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.execution import Execution
from tf_lottery.experiment.storage import Unit

Needs = Mapping[Unit, Unit | None]


@dataclass(frozen=True)
class Plan:
    """What was found out about an experiment.

    Attributes:
        steps: T and k of each variant, by label.
        environment: Versions and device, for the record.
        execution: How trainings are executed where the config leaves the choice; None if that was not asked.
        seconds_per_step: About how long an optimizer step takes with its share of evaluations; None if not measured.
        jobs: Trainings side by side.
    """

    steps: Mapping[str, tuple[int, int]]
    environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    execution: Execution | None = None
    seconds_per_step: float | None = None
    jobs: int = 1

    def length(self, unit: Unit) -> int:
        """Optimizer steps that `unit` trains for."""
        total, rewind = self.steps[unit.variant]
        return total - (0 if starts_at_zero(unit) else rewind)

    def seconds(self, work: Mapping[Unit, int]) -> float | None:
        """About how long all of it takes; None if that is not known. Lines come on top: they are not measured."""
        return None if self.seconds_per_step is None else sum(work.values()) * self.seconds_per_step / self.jobs

    def work(self, trainings: Iterable[Unit]) -> dict[Unit, int]:
        """Trainings with their optimizer steps."""
        return {unit: self.length(unit) for unit in trainings}


def is_dense(unit: Unit) -> bool:
    """Return whether a unit is a dense network, whose state at step k the other units start from."""
    return unit.level == 0 and not unit.shuffle_seed


def is_level(unit: Unit) -> bool:
    """Return whether a unit is a level of iterative pruning itself: no control, and with the first shuffle seed."""
    return not unit.control and not unit.shuffle_seed


def starts_at_zero(unit: Unit) -> bool:
    """Return whether a training starts at step 0 whatever k is."""
    return CONTROLS[unit.control].at_zero if unit.control else is_dense(unit)


def needs(config: Experiment) -> dict[Unit, Unit | None]:
    """Return all trainings of an experiment, tickets first, each with the one that must be done before it.

    A level needs the ticket of the level before; a further data order the training in the first one. Of variants that
    share a dense network, each has it from the one before, or trains it for all that come after.
    """
    members = variants.members(config)
    every = {unit: _needed(unit) for label, member in members.items() for unit in _units(label, member)}
    before: dict[tuple[int, str], Unit] = {}
    for label, member in members.items():
        for replicate in range(1, member.replicates + 1):
            dense, place = Unit(replicate, 0, variant=label), (replicate, variants.dense_network(member))
            every[dense] = before.get(place)
            before[place] = dense
    places = {label: place for place, label in enumerate(members)}

    def urgency(unit: Unit) -> tuple[Any, ...]:
        return unit.shuffle_seed > 0, unit.control != "", unit.level, places[unit.variant], unit.replicate

    return {unit: every[unit] for unit in sorted(every, key=urgency)}


def trainings(todo: Collection[Unit], needs: Needs) -> Needs:
    """Return the trainings behind the units `todo`, each with the one it waits for: what variants share is trained once.

    Args:
        todo: What is not done yet.
        needs: From `needs`.
    """
    todo = set(todo)
    # A dense network comes with that of the variant before, if that is trained now.
    comes_with = {unit: needs[unit] for unit in todo if is_dense(unit) and needs[unit] in todo}

    def trained(unit: Unit | None) -> Unit | None:
        return trained(comes_with[unit]) if unit in comes_with else unit

    return {unit: trained(needs[unit]) for unit in needs if unit in todo and unit not in comes_with}


def width(trainings: Needs) -> int:
    """Return the most of the trainings, from `trainings`, that could run side by side: those equally far from the first."""
    place: dict[Unit, int] = {}
    for unit, needed in trainings.items():  # what is needed comes first
        place[unit] = place[needed] + 1 if needed in place else 0
    return max(Counter(place.values()).values(), default=0)


def units(config: Experiment) -> list[Unit]:
    """Return all trainings, tickets first: they are what the others wait for."""
    return list(needs(config))


def _units(label: str, member: Experiment) -> Iterator[Unit]:
    measured = {level for level in member.stability.levels if level <= member.prune.levels}
    orders = range(1, member.stability.shuffle_seeds + 1) if measured else ()
    for replicate in range(1, member.replicates + 1):
        for level in range(member.prune.levels + 1):
            for control in ("", *member.controls) if level else ("",):
                unit = Unit(replicate, level, control, label)
                yield unit
                if not level or (level in measured and control in ("", "random_mask")):
                    yield from (dataclasses.replace(unit, shuffle_seed=order) for order in orders)


def _needed(unit: Unit) -> Unit | None:
    if unit.shuffle_seed:
        return dataclasses.replace(unit, shuffle_seed=0)
    return Unit(unit.replicate, unit.level - 1, variant=unit.variant) if unit.level else None


def seeds_of(config: Experiment, unit: Unit) -> dict[str, int]:
    """Return all seeds that a training may draw from.

    Returns:
        `"initialisation"` of the weights, `"dropout"` (of all layers that draw while they train), `"shuffle"` and
        `"augmentation"` (with `shuffle="fresh"` others at each level; those of a further data order are the same at
        all levels), `"criterion"` (of the random one), `"random_mask"` and `"treatment"` (of the controls). A replicate
        shares them, with all variants, but for what its levels and its reinitialised controls draw anew.
    """

    def derive(purpose: str, *place: str | int) -> int:
        return seeds.derive(config.seed, "replicate", unit.replicate, purpose, *place)

    is_fresh = config.shuffle == "fresh" and unit.level
    fresh = ("order", unit.shuffle_seed) if unit.shuffle_seed else ("level", unit.level) if is_fresh else ()
    is_new = bool(unit.control) and CONTROLS[unit.control].weights == "new"
    return {
        "initialisation": derive("reinit", unit.level) if is_new else derive("initialisation"),
        "dropout": derive("dropout"),
        "shuffle": derive("data_order", *fresh),
        "augmentation": derive("augmentation", *fresh),
        "criterion": derive("criterion", unit.level),
        "random_mask": derive("random_mask", unit.level),
        "treatment": derive("treatment", unit.level),
    }
