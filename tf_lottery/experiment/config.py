"""What an experiment is: typed fields with their defaults, and the check that they make sense.

Config files return an `Experiment`; `--config.prune.fraction=0.3` overrides a field.
"""

import dataclasses
import difflib
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tf_lottery.core import criteria, pruning, schedules, steps
from tf_lottery.data import SOURCES, augmentations
from tf_lottery.errors import ConfigError, PruningError
from tf_lottery.models import names

REWINDS = ("weights", "learning_rate", "none")
DATA_ORDERS = ("replay", "fresh")
CONTROLS = ("random_mask", "reinit")
OPTIMIZERS = ("adam", "sgd", "rmsprop")
DECAYS = ("drops", "linear")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
EXTENDABLE = ("replicates", "prune.levels", "controls")  # what can be added to a run
_EVERY = "every "
_SMOKE_BATCH = 8
_SMOKE_PIXELS = 75  # the least that Inception-v3 takes
_MAX_THREADS = 1024
_LARGEST, _SMALLEST = 3e38, 2e-38  # of float32, in which a training computes
_MOST_DROPS = 10_000


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
    threads: int = 1  # of one training; results differ with it in the last bits
    jit_compile: bool = False  # XLA for op determinism, on one replica: on a CPU dense layers gain, convolutions lose


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
class Experiment:
    """The whole experiment."""

    seed: int = 0
    replicates: int = 3
    model: Model = field(default_factory=Model)
    data: Data = field(default_factory=Data)
    train: Train = field(default_factory=Train)
    prune: Prune = field(default_factory=Prune)
    controls: tuple[str, ...] = CONTROLS
    data_order: str = "replay"  # every level sees the batches of the dense training; or "fresh"


def smoke(config: Experiment, devices: int = 1) -> Experiment:
    """The same experiment at a size that shows in a minute whether it runs: 6 steps on a little noise, 1 level.

    Args:
        config: Its other sizes are not looked at.
        devices: How many share a batch, which is at least 8.
    """
    train, prune, devices = config.train, config.prune, max(devices, 1)
    return dataclasses.replace(
        config,
        replicates=1,
        data=dataclasses.replace(config.data, made_up=True, image_size=min(config.data.image_size, _SMOKE_PIXELS)),
        train=dataclasses.replace(
            train,
            steps="6it",
            evaluate_every="3it",
            batch_size=-(-_SMOKE_BATCH // devices) * devices,
            warmup="2it" if steps.to_steps(train.warmup, 1) else "0it",
            drops=tuple("every 2it" if drop.startswith(_EVERY) else "4it" for drop in train.drops[:1]),
        ),
        prune=dataclasses.replace(
            prune, levels=min(prune.levels, 1), rewind_to="2it" if steps.to_steps(prune.rewind_to, 1) else "0it"
        ),
    )


@dataclass(frozen=True)
class Lengths:
    """The lengths of an experiment in optimizer steps."""

    total: int
    rewind: int
    evaluate_every: int
    drops: tuple[int, ...]
    warmup: int


def lengths(config: Experiment, examples: int) -> Lengths:
    """Resolves `"2ep"` and the like, now that the number of training examples is known.

    Raises:
        ConfigError: a length that cannot be read, or a rewind step after the end.
    """
    epoch = Fraction(examples, config.train.batch_size)
    if config.train.batch_size > examples:
        raise ConfigError(
            f"`train.batch_size` must be at most the number of training examples, {examples}. "
            f"Received: {config.train.batch_size}"
        )
    total = steps.to_steps(config.train.steps, epoch)
    rewind = steps.to_steps(config.prune.rewind_to, epoch)
    if rewind > total:
        raise ConfigError(
            f"`prune.rewind_to` must not lie after the end of training. Received: {config.prune.rewind_to} "
            f"(step {rewind}), train.steps={config.train.steps} (step {total})"
        )
    if total >= 2**31:
        raise ConfigError(f"`train.steps` must be fewer than 2^31 steps. Received: {config.train.steps} (step {total})")
    return Lengths(
        total=total,
        rewind=rewind,
        evaluate_every=steps.to_steps(config.train.evaluate_every, epoch),
        drops=tuple(step for drop in config.train.drops for step in _drop_steps(drop, epoch, total)),
        warmup=steps.to_steps(config.train.warmup, epoch),
    )


def _drop_steps(drop: str, epoch: Fraction | int, total: int) -> list[int]:
    """The steps that `"20000it"` or `"every 3ep"` names, the latter as far as training goes."""
    if not drop.startswith(_EVERY):
        return [steps.to_steps(drop, epoch)]
    number, unit = steps.parse(drop.removeprefix(_EVERY))
    if number < 1:
        raise ConfigError(f"A drop that repeats needs some steps between. Received: {drop!r}")
    length = number * (epoch if unit == "ep" else 1)
    if total > _MOST_DROPS * length:
        raise ConfigError(f"A drop may repeat up to {_MOST_DROPS} times. Received: {drop!r} in {total} steps")
    return [math.ceil(times * length) for times in range(1, math.ceil(total / length))]


def check(config: Experiment) -> None:
    """Everything that can be known before data and model are there; `lengths` checks the rest.

    Raises:
        ConfigError: the first impossible value, with what is possible.
    """
    _types(config)
    prune, train = config.prune, config.train
    _whole("seed", config.seed, 0)
    _whole("replicates", config.replicates, 1)
    _whole("prune.levels", prune.levels, 0)
    _whole("train.batch_size", train.batch_size, 1)
    _whole("train.threads", train.threads, 1)
    if train.threads > _MAX_THREADS:
        raise ConfigError(f"`train.threads` must be at most {_MAX_THREADS}. Received: {train.threads}")
    for name in ("learning_rate", "drop_factor", "epsilon"):
        _at_least(f"train.{name}", getattr(train, name), _SMALLEST)
    for name in ("final_learning_rate", "weight_decay", "auxiliary_weight"):
        _at_least(f"train.{name}", getattr(train, name), 0)
    for name in ("momentum", "label_smoothing", "average"):
        _share(f"train.{name}", getattr(train, name))
    _one_of("train.optimizer", train.optimizer, OPTIMIZERS)
    _one_of("train.decay", train.decay, DECAYS)
    if train.final_learning_rate > train.learning_rate:
        raise ConfigError(
            f"`train.final_learning_rate` must not be above train.learning_rate={train.learning_rate}. "
            f"Received: {train.final_learning_rate}"
        )
    if train.drops and train.decay != "drops":
        raise ConfigError(f"`train.drops` needs train.decay='drops'. Received: train.decay={train.decay!r}")
    _one_of("train.precision", train.precision, PRECISIONS)
    names.parse(config.model.name)
    _one_of("data.name", config.data.name, SOURCES)
    augmentations.check(config.data.augment, config.data.name)
    _whole("data.image_size", config.data.image_size, 1)
    _one_of("prune.scope", prune.scope, pruning.SCOPES)
    _one_of("prune.criterion", prune.criterion, criteria.CRITERIA)
    _one_of("prune.rewind", prune.rewind, REWINDS)
    _one_of("data_order", config.data_order, DATA_ORDERS)
    for control in config.controls:
        _one_of("controls", control, CONTROLS)
    if len(set(config.controls)) < len(config.controls):
        raise ConfigError(f"`controls` must name each control once. Received: {config.controls}")
    for name in ("steps", "evaluate_every"):
        if steps.to_steps(getattr(train, name), 1) < 1:
            raise ConfigError(f"`train.{name}` must be at least one step. Received: {getattr(train, name)!r}")
    for length in (prune.rewind_to, train.warmup):
        steps.to_steps(length, 1)
    for drop in train.drops:
        _drop_steps(drop, 1, 1)
    _pruning(prune)


def _pruning(prune: Prune) -> None:
    try:
        pruning.exact(prune.fraction)
        for rate in prune.rates:
            schedules.parse_rate(rate)
        for regex in prune.exclude:
            schedules.parse_regex(regex)
    except PruningError as error:
        raise ConfigError(str(error)) from error
    if prune.rates and prune.scope != "layerwise":
        raise ConfigError(f"`prune.rates` needs prune.scope=layerwise. Received: prune.scope={prune.scope}")


def _types(config: Any, prefix: str = "") -> None:
    """Every field is of the type that it is declared with: a config file can put anything there."""
    for entry in dataclasses.fields(config):
        name, value = prefix + entry.name, getattr(config, entry.name)
        if dataclasses.is_dataclass(entry.type):
            if not isinstance(value, entry.type):
                raise ConfigError(f"`{name}` must be {entry.type.__name__}(...). Received: {value!r}")
            _types(value, f"{name}.")
        elif not _TYPES[entry.type][0](value):
            raise ConfigError(f"`{name}` must be {_TYPES[entry.type][1]}. Received: {value!r}")


_TYPES: dict[Any, tuple[Callable[[Any], bool], str]] = {
    str: (lambda value: type(value) is str, 'text in quotes, as in "digits" or "500it"'),
    bool: (lambda value: type(value) is bool, "True or False"),
    int: (lambda value: type(value) is int, "a whole number"),
    float: (lambda value: type(value) in (int, float) and abs(value) < _LARGEST, "a number"),
    tuple[str, ...]: (
        lambda value: type(value) is tuple and all(type(item) is str for item in value),
        "a tuple of texts, as in ('reinit',)",
    ),
}


def _whole(name: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"`{name}` must be a whole number of at least {least}. Received: {value!r}")


def _at_least(name: str, value: float, least: float) -> None:
    if value < least:
        raise ConfigError(f"`{name}` must be at least {least}. Received: {value!r}")


def _share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigError(f"`{name}` must be in [0, 1). Received: {value!r}")


def _one_of(name: str, value: Any, known: Any) -> None:
    if value not in known:
        near = difflib.get_close_matches(str(value), list(known), 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"`{name}` must be one of {', '.join(known)}. Received: {value!r}.{hint}")


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
    deciding = {name: value for name, value in fields(config).items() if name not in EXTENDABLE}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def from_fields(flat: dict[str, Any]) -> Experiment:
    """The experiment that `fields` described; raises ConfigError where a field is unknown or missing."""
    config = Experiment()
    if wrong := set(flat) ^ set(fields(config)):
        raise ConfigError(f"Unknown or missing fields: {', '.join(sorted(wrong))}")
    for name, value in flat.items():
        *path, last = name.split(".")
        owner = config
        for part in path:
            owner = getattr(owner, part)
        setattr(owner, last, tuple(value) if isinstance(value, list) else value)
    return config
