"""The devices and machines that a program trains on, as far as they are known without TensorFlow."""

import difflib
import json
import os
from dataclasses import dataclass
from typing import Any

from tf_lottery.errors import ConfigError

# Name -> the devices that train together; `distribution.make` has a function for each.
STRATEGIES = {
    "default": "one device",
    "mirrored": "several devices of this machine",
    "multi_worker": "several machines (see TF_CONFIG)",
    "tpu": "the cores of a TPU",
}
_EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Topology:
    """The devices that train together.

    Attributes:
        strategy: `"default"`: one device. `"mirrored"`: several devices of this machine. `"multi_worker"`: several
            machines, each of which runs the same command with its own `TF_CONFIG`. `"tpu"`: the cores of a TPU.
            Defaults to `"default"`.
        devices: Number of devices of `"mirrored"`; 0 for all GPUs. On a machine without GPUs the CPU is divided into
            that many logical devices, which is slower than one device and serves for trying things out. Defaults to 0.

    Examples:
        >>> import tf_lottery as tfl
        >>> tfl.Topology("mirrored", devices=2).is_alone
        False
    """

    strategy: str = "default"
    devices: int = 0

    def check(self) -> None:
        """Raise ConfigError if the topology is impossible."""
        if self.strategy not in STRATEGIES:
            near = difflib.get_close_matches(self.strategy, STRATEGIES, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"`strategy` must be one of {', '.join(STRATEGIES)}. Received: {self.strategy!r}.{hint}")
        if self.devices < 0 or (self.devices and self.strategy != "mirrored"):
            raise ConfigError(
                "`devices` is the number of devices of strategy 'mirrored', 0 for all. "
                f"Received: devices={self.devices}, strategy={self.strategy!r}"
            )
        if self.strategy == "multi_worker":
            _cluster()

    @property
    def is_alone(self) -> bool:
        """True if one device trains, so that several units can train side by side."""
        return self.strategy == "default"

    @property
    def is_chief(self) -> bool:
        """True if this process writes the results: it is the only one, or the first of the cluster."""
        if self.strategy != "multi_worker":
            return True
        cluster, kind, index = _cluster()
        return kind == "chief" if "chief" in cluster else (kind, index) == ("worker", 0)


ONE_DEVICE = Topology()


def _cluster() -> tuple[dict[str, Any], str, int]:
    """Return the cluster, and the type and index of this worker, from `TF_CONFIG`."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        content = json.loads(text)
        cluster, kind, index = content["cluster"], content["task"]["type"], content["task"]["index"]
        cluster[kind][index]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ConfigError(
            f"Strategy 'multi_worker' needs the environment variable TF_CONFIG, as in {_EXAMPLE}, with another index "
            f"for each worker. Received: {text!r}"
        ) from error
    return cluster, kind, index
