"""What an experiment is: typed fields with their defaults.

Config files return an `Experiment`; `--config.prune.fraction=0.3` overrides a field.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tf_lottery.errors import ConfigError

# What can be added to a run.
EXTENDABLE = ("replicates", "prune.levels", "controls", "variants", "stability.levels", "stability.orders")


@dataclass(slots=True)
class Model:
    """Which network."""

    name: str = "lenet_300_100"


@dataclass(slots=True)
class Data:
    """Which dataset, and what becomes of its training examples."""

    name: str = "digits"
    augment: str = "none"  # or "flip_and_crop", of images in memory, or "inception", of ImageNet
    image_size: int = 224  # pixels a side that ImageNet is cropped to; other images keep their size
    made_up: bool = False  # noise instead of the data, for trying things out


@dataclass(slots=True)
class Train:
    """How every training goes."""

    optimizer: str = "adam"  # or "sgd" or "rmsprop"
    learning_rate: float = 1.2e-3
    momentum: float = 0.9  # of "sgd" and "rmsprop"
    nesterov: bool = False  # of "sgd"
    epsilon: float = 1e-7  # of "adam" and "rmsprop"
    decay: str = "drops"  # or "linear": from learning_rate to final_learning_rate at the end of training
    drops: tuple[str, ...] = ()  # when the rate is multiplied by drop_factor: ("20000it", "25000it"), ("every 3ep",)
    drop_factor: float = 0.1
    final_learning_rate: float = 0.0  # drops do not go below it
    warmup: str = "0it"  # linear, from 0
    weight_decay: float = 0.0  # L2 in the gradient of the kernels of layers, those never pruned included
    label_smoothing: float = 0.0
    auxiliary_weight: float = 0.4  # of the loss of a network's auxiliary head
    average: float = 0.0  # momentum of averages that evaluations then use; pruning ranks, and tickets hold, the weights
    precision: str = "float32"  # or "mixed_float16" or "mixed_bfloat16"
    batch_size: int = 60  # of all replicas together
    steps: str = "10000it"  # T, the length of the dense training
    evaluate_every: str = "100it"
    # What is None here is chosen by device, strategy and layers when a run is begun (execution.py), and kept.
    threads: int | None = None  # of one training; results differ with it in the last bits
    jit_compile: bool | None = None  # XLA for op determinism, on one replica; here too, results differ in the last bits
    steps_per_execution: int | None = None  # at most, between looks at a stop or a due checkpoint; changes no result


@dataclass(slots=True)
class Prune:
    """What a level removes and where it restarts."""

    levels: int = 10  # prunings; level 0 is the dense network
    fraction: float = 0.2  # share of the kept weights that a level removes
    rates: tuple[str, ...] = ()  # other shares for some weights, "regex=share"; needs scope "layerwise"
    scope: str = "global"  # or "layerwise"
    criterion: str = "magnitude"  # see core/criteria.py
    exclude: tuple[str, ...] = ()  # regexes of weights never to prune
    rewind: str = "weights"  # or "learning_rate" or "none"
    rewind_to: str = "0it"  # k
    reset_optimizer: bool = False  # whether a rewound level starts with the slots of a new optimizer


@dataclass(slots=True)
class Stability:
    """Which networks are trained again in other data orders, to see how far apart they end (see stability.py)."""

    levels: tuple[int, ...] = ()  # tickets and random masks of these, and the dense network from step k; () for none
    orders: int = 2  # how many further data orders
    points: int = 30  # at which error and loss are measured on the line between two ends; 0 for none
    fresh_statistics: bool = True  # BatchNorm statistics are recomputed at each point of the line


@dataclass(slots=True)
class Experiment:
    """The whole experiment."""

    seed: int = 0
    replicates: int = 3
    model: Model = field(default_factory=Model)
    data: Data = field(default_factory=Data)
    train: Train = field(default_factory=Train)
    prune: Prune = field(default_factory=Prune)
    controls: tuple[str, ...] = ("random_mask", "reinit")  # see controls.py
    data_order: str = "replay"  # every level sees the batches of the dense training; or "fresh"
    stability: Stability = field(default_factory=Stability)
    variants: tuple[str, ...] = ()  # what a sweep compares: ("k=0: prune.rewind_to=0it", "k=60: …"); see variants.py


def fields(config: Any, prefix: str = "") -> dict[str, Any]:
    """All fields by dotted name: `{"seed": 0, …, "prune.fraction": 0.2, …}`; tuples as lists, as JSON has them."""
    flat: dict[str, Any] = {}
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if dataclasses.is_dataclass(value):
            flat |= fields(value, f"{prefix}{entry.name}.")
        else:
            flat[prefix + entry.name] = list(value) if isinstance(value, tuple) else value
    return flat


def fingerprint(config: Experiment) -> str:
    """A checksum of all that decides a result: the same for a run and for its extensions."""
    without = {*EXTENDABLE, "train.steps_per_execution"}
    deciding = {name: value for name, value in fields(config).items() if name not in without}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def from_fields(flat: dict[str, Any]) -> Experiment:
    """The experiment that `fields` described; raises ConfigError where a field is unknown or missing.

    Fields that need no value may be missing: there are older runs.
    """
    config = Experiment()
    needed = {name for name, value in fields(config).items() if value is not None}
    if wrong := (set(flat) - set(fields(config))) | (needed - set(flat)):
        raise ConfigError(f"Unknown or missing fields: {', '.join(sorted(wrong))}")
    for name, value in flat.items():
        *path, last = name.split(".")
        owner = config
        for part in path:
            owner = getattr(owner, part)
        setattr(owner, last, tuple(value) if isinstance(value, list) else value)
    return config
