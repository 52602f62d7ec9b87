"""How training runs are executed: threads, XLA and steps per execution, from a table of measurements."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass

from tf_lottery.experiment import variants
from tf_lottery.experiment.config import Experiment
from tf_lottery.models import names


@dataclass(frozen=True)
class Execution:
    """Settings for the speed of a training run, which change results in the last bits at most; see `config.Train`."""

    threads: int
    jit_compile: bool
    steps_per_execution: int


_DENSE = frozenset({"dense"})
_DEFAULT = Execution(1, False, 100)
# Device kind, strategy and layer kinds -> the fastest settings (docs/benchmarks.md, measured by
# scripts/benchmark/execution_settings.py). GPUs, TPUs and several devices have not been measured.
_MEASURED = {("CPU", "default", _DENSE): Execution(1, True, 500)}


def chosen(device: str, strategy: str, kinds: Collection[str]) -> Execution:
    """Return the settings from the table; nothing is timed here.

    Args:
        device: Kind of the device that trains: `"CPU"`, `"GPU"` or `"TPU"`.
        strategy: One of `topology.STRATEGIES`.
        kinds: The kinds of layers in all networks, from `layer_kinds`.

    >>> chosen("CPU", "default", {"dense"}).jit_compile, chosen("CPU", "default", {"convolution", "dense"}).jit_compile
    (True, False)
    """
    return _MEASURED.get((device, strategy, frozenset(kinds)), _DEFAULT)


def layer_kinds(config: Experiment) -> set[str]:
    """Return the kinds of layers, `"dense"` and `"convolution"`, in the networks of all variants."""
    return {kind for member in variants.members(config).values() for kind in names.layer_kinds(member.model.name)}


def settled(config: Experiment, execution: Execution) -> Experiment:
    """Return the experiment with the fields that are None set to those of `execution`."""
    open_fields = {
        name: value for name, value in dataclasses.asdict(execution).items() if getattr(config.train, name) is None
    }
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **open_fields))
