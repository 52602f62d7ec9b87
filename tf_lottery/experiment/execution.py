"""How trainings are executed: threads, XLA and steps an execution, from a table that was measured."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass

from tf_lottery.experiment import variants
from tf_lottery.experiment.config import Experiment
from tf_lottery.models import names


@dataclass(frozen=True)
class Execution:
    """What decides how fast a training is, and hardly what it results in; see the fields of `Train`."""

    threads: int
    jit_compile: bool
    steps_per_execution: int


_DENSE = frozenset({"dense"})
_DEFAULT = Execution(1, False, 100)
# Device kind, strategy and layer kinds -> what was fastest there (docs/benchmarks.md, by
# scripts/benchmark/execution_settings.py). Not measured: GPUs, TPUs, several devices.
_MEASURED = {("CPU", "default", _DENSE): Execution(1, True, 500)}


def chosen(device: str, strategy: str, kinds: Collection[str]) -> Execution:
    """Return how to execute trainings; nothing is timed.

    Args:
        device: Kind of the device that trains: `"CPU"`, `"GPU"` or `"TPU"`.
        strategy: One of `topology.STRATEGIES`.
        kinds: Of the layers of all networks, from `layer_kinds`.

    >>> chosen("CPU", "default", {"dense"}).jit_compile, chosen("CPU", "default", {"convolution", "dense"}).jit_compile
    (True, False)
    """
    return _MEASURED.get((device, strategy, frozenset(kinds)), _DEFAULT)


def layer_kinds(config: Experiment) -> set[str]:
    """Of the networks of all variants: `"dense"`, `"convolution"`."""
    return {kind for member in variants.members(config).values() for kind in names.layer_kinds(member.model.name)}


def settled(config: Experiment, execution: Execution) -> Experiment:
    """Return the experiment with `execution` wherever it leaves the choice."""
    open_fields = {
        name: value for name, value in dataclasses.asdict(execution).items() if getattr(config.train, name) is None
    }
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **open_fields))
