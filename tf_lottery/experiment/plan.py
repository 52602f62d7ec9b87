"""The units of an experiment in the order in which they are trained, what each waits for, and their lengths."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tf_lottery.core import seeds
from tf_lottery.core.controls import CONTROLS
from tf_lottery.experiment import config as config_lib
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.storage import Unit
from tf_lottery.models import names

Needs = Mapping[Unit, Unit | None]


@dataclass(frozen=True)
class Execution:
    """Settings for the speed of a training run, which change results in the last bits at most; see `config.Train`."""

    threads: int
    jit_compile: bool
    steps_per_execution: int


@dataclass(frozen=True)
class Plan:
    """The lengths of the units of an experiment, and how they will be trained.

    Attributes:
        steps: T and k of each variant, by label.
        environment: Versions and devices, to be recorded in the run. Defaults to empty.
        execution: Values for the execution settings that the config leaves open. Defaults to None: not determined.
        seconds_per_step: Approximate time of an optimizer step with its share of evaluations. Defaults to None: not
            measured.
        jobs: Number of units that train side by side. Defaults to 1.
    """

    steps: Mapping[str, tuple[int, int]]
    environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    execution: Execution | None = None
    seconds_per_step: float | None = None
    jobs: int = 1

    def length(self, unit: Unit) -> int:
        """Return the number of optimizer steps that a unit trains for."""
        total, rewind = self.steps[unit.variant]
        return total - (0 if starts_at_zero(unit) else rewind)

    def seconds(self, work: Mapping[Unit, int]) -> float | None:
        """Estimate how long units take, from `work`; None if unknown. Lines between networks take extra time."""
        return None if self.seconds_per_step is None else sum(work.values()) * self.seconds_per_step / self.jobs

    def work(self, units: Iterable[Unit]) -> dict[Unit, int]:
        """Return the number of optimizer steps of each unit."""
        return {unit: self.length(unit) for unit in units}


def is_dense(unit: Unit) -> bool:
    """Return whether a unit is a dense network, whose state at step k the other units start from."""
    return unit.level == 0 and not unit.shuffle_seed


def is_level(unit: Unit) -> bool:
    """Return whether a unit is a level of iterative pruning: not a control, and not with a further shuffle seed."""
    return not unit.control and not unit.shuffle_seed


def starts_at_zero(unit: Unit) -> bool:
    """Return whether a unit starts at step 0, whatever k is."""
    return CONTROLS[unit.control].at_zero if unit.control else is_dense(unit)


def needs(config: Experiment) -> dict[Unit, Unit | None]:
    """Return all units of an experiment, tickets first, each with the unit that must be finished before it.

    A level needs the ticket of the level before, and a unit with a further shuffle seed needs the one with the first.
    If variants share a dense network, each variant needs that of the variant before; the first trains it for all.
    """
    members = config_lib.members(config)
    every = {unit: _needed(unit) for label, member in members.items() for unit in _units(label, member)}
    before: dict[tuple[int, str], Unit] = {}
    for label, member in members.items():
        for replicate in range(1, member.replicates + 1):
            dense, place = Unit(replicate, 0, variant=label), (replicate, config_lib.dense_network_key(member))
            every[dense] = before.get(place)
            before[place] = dense
    places = {label: place for place, label in enumerate(members)}

    def urgency(unit: Unit) -> tuple[Any, ...]:
        return unit.shuffle_seed > 0, unit.control != "", unit.level, places[unit.variant], unit.replicate

    return {unit: every[unit] for unit in sorted(every, key=urgency)}


def units_to_train(unfinished: Collection[Unit], needs: Needs) -> Needs:
    """Return the units to train, each with the unit it waits for; a dense network that variants share comes once.

    Args:
        unfinished: The units that are not stored yet.
        needs: From `needs`.
    """
    unfinished = set(unfinished)
    # Training the dense network of the variant before stores this one too, unless that variant is finished already.
    comes_with = {unit: needs[unit] for unit in unfinished if is_dense(unit) and needs[unit] in unfinished}

    def trained(unit: Unit | None) -> Unit | None:
        return trained(comes_with[unit]) if unit in comes_with else unit

    return {unit: trained(needs[unit]) for unit in needs if unit in unfinished and unit not in comes_with}


def width(to_train: Needs) -> int:
    """Return how many of the units, from `units_to_train`, can train side by side: those with equally long chains."""
    depth: dict[Unit, int] = {}
    for unit, needed in to_train.items():  # a unit comes after the one it needs
        depth[unit] = depth[needed] + 1 if needed in depth else 0
    return max(Counter(depth.values()).values(), default=0)


def units(config: Experiment) -> list[Unit]:
    """Return all units of an experiment, tickets first: the other units wait for them."""
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
    """Return the seeds of a unit, by purpose.

    The units of a replicate, in all variants, share their seeds, except for those that a level or a reinitialised
    control draws anew.

    Returns:
        `"initialisation"`: of the weights. `"dropout"`: of all layers that draw random numbers in training. `"shuffle"`
        and `"augmentation"`: with `shuffle="fresh"` they differ at each level; those of a further shuffle seed are the
        same at all levels. `"criterion"`: of the random criterion. `"random_mask"`: of that control.
        `"control_weights"`: of the controls that reshuffle weights or draw signs.
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
        "control_weights": derive("treatment", unit.level),
    }


_DENSE = frozenset({"dense"})
_DEFAULT = Execution(1, False, 100)
# Device kind, strategy and layer kinds -> the fastest settings (docs/benchmarks.md, measured by
# scripts/benchmark/execution_settings.py). GPUs, TPUs and several devices have not been measured.
_MEASURED = {("CPU", "default", _DENSE): Execution(1, True, 500)}


def choose_execution(device: str, strategy: str, kinds: Collection[str]) -> Execution:
    """Return the settings from the table; nothing is timed here.

    Args:
        device: Kind of the device that trains: `"CPU"`, `"GPU"` or `"TPU"`.
        strategy: One of `topology.STRATEGIES`.
        kinds: The kinds of layers in all networks, from `layer_kinds`.

    >>> choose_execution("CPU", "default", {"dense"}).jit_compile
    True
    >>> choose_execution("CPU", "default", {"convolution", "dense"}).jit_compile
    False
    """
    return _MEASURED.get((device, strategy, frozenset(kinds)), _DEFAULT)


def layer_kinds(config: Experiment) -> set[str]:
    """Return the kinds of layers, `"dense"` and `"convolution"`, in the networks of all variants."""
    return {kind for member in config_lib.members(config).values() for kind in names.layer_kinds(member.model.name)}


def settled(config: Experiment, execution: Execution) -> Experiment:
    """Return the experiment with the fields that are None set to those of `execution`."""
    open_fields = {
        name: value for name, value in dataclasses.asdict(execution).items() if getattr(config.train, name) is None
    }
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **open_fields))
