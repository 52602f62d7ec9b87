"""The check of a config: an error names the first impossible value and what is possible."""

import dataclasses
import difflib
from collections.abc import Callable
from typing import Any

from tf_lottery.core import criteria, pruning, schedules, steps
from tf_lottery.core.controls import CONTROLS
from tf_lottery.core.start_points import REWINDS
from tf_lottery.data import SOURCES, augmentations
from tf_lottery.errors import ConfigError, PruningError
from tf_lottery.experiment import config as config_lib
from tf_lottery.experiment.config import Experiment, Prune, Stability
from tf_lottery.experiment.lengths import drop_steps
from tf_lottery.models import names
from tf_lottery.training.optimizers import OPTIMIZERS

SHUFFLES = ("replay", "fresh")
DECAYS = ("drops", "linear")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
_MAX_THREADS = 1024
_MOST = 2**53
_MOST_UNITS = 200_000
_MOST_POINTS = 10_000
_LARGEST, _SMALLEST = 3e38, 2e-38  # of float32, which training computes in


def check(config: Experiment) -> None:
    """Check everything that can be checked without data and model; `lengths` checks the rest.

    Raises:
        ConfigError: the first impossible value, with what is possible.
    """
    if not isinstance(config, Experiment):
        raise ConfigError(f"`config` must be an Experiment of tf_lottery.experiment.config. Received: {config!r}")
    _types(config)
    config_lib.check_variants(config)
    for label, member in config_lib.members(config).items():
        try:
            _types(member)
            _check(member)
        except ConfigError as error:
            raise ConfigError(f"Variant {label!r}: {error}" if label else str(error)) from error
    _size(config)


def _check(config: Experiment) -> None:
    prune, train = config.prune, config.train
    _whole("seed", config.seed, 0)
    _whole("replicates", config.replicates, 1)
    _whole("prune.levels", prune.levels, 0)
    _whole("train.batch_size", train.batch_size, 1)
    if train.threads is not None:
        _whole("train.threads", train.threads, 1, _MAX_THREADS)
    if train.steps_per_execution is not None:
        _whole("train.steps_per_execution", train.steps_per_execution, 1)
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
    _one_of("shuffle", config.shuffle, SHUFFLES)
    _stability(config.stability, prune.levels)
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
        drop_steps(drop, 1, 1)
    _pruning(prune)


def _stability(stability: Stability, levels: int) -> None:
    _whole("stability.shuffle_seeds", stability.shuffle_seeds, 1)
    _whole("stability.points", stability.points, 0, _MOST_POINTS)
    if stability.points in (1, 2):  # a barrier is between the ends
        raise ConfigError(
            "`stability.points` must be 0, or at least 3: both ends and a point between them. "
            f"Received: {stability.points}"
        )
    for level in stability.levels:
        if not 0 <= level <= levels:
            raise ConfigError(f"`stability.levels` must be between 0 and prune.levels={levels}. Received: {level}")
    if len(set(stability.levels)) < len(stability.levels):
        raise ConfigError(f"`stability.levels` must name each level once. Received: {stability.levels}")


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
    """Raise ConfigError if a field has another type than declared: a config file can assign anything."""
    for entry in dataclasses.fields(config):
        name, value = prefix + entry.name, getattr(config, entry.name)
        if isinstance(entry.type, type) and dataclasses.is_dataclass(entry.type):
            if not isinstance(value, entry.type):
                raise ConfigError(f"`{name}` must be {entry.type.__name__}(...). Received: {value!r}")
            _types(value, f"{name}.")
        elif not _TYPES[entry.type][0](value):
            raise ConfigError(f"`{name}` must be {_TYPES[entry.type][1]}. Received: {value!r}")


_TYPES: dict[Any, tuple[Callable[[Any], bool], str]] = {
    str: (lambda value: type(value) is str, 'a string, as in "digits" or "500it"'),
    bool: (lambda value: type(value) is bool, "True or False"),
    int: (lambda value: type(value) is int, "a whole number"),
    bool | None: (lambda value: value is None or type(value) is bool, "True, False, or None for the default"),
    int | None: (lambda value: value is None or type(value) is int, "a whole number, or None for the default"),
    float: (lambda value: type(value) in (int, float) and abs(value) < _LARGEST, "a number"),
    tuple[int, ...]: (
        lambda value: type(value) is tuple and all(type(item) is int for item in value),
        "a tuple of whole numbers, as in (3,)",
    ),
    tuple[str, ...]: (
        lambda value: type(value) is tuple and all(type(item) is str for item in value),
        "a tuple of strings, as in ('reinit',)",
    ),
    dict[str, dict[str, Any]]: (
        lambda value: type(value) is dict and all(map(_is_variant, value.items())),
        'a dict of dicts, as in {"k=60": {"prune.rewind_to": "60it"}}',
    ),
}


def _is_variant(item: tuple[Any, Any]) -> bool:
    label, changes = item
    return type(label) is str and type(changes) is dict and all(type(name) is str for name in changes)


def _whole(name: str, value: int, least: int, most: int = _MOST) -> None:
    if not least <= value <= most:
        most_words = "" if value < least else f" and at most {most}"
        raise ConfigError(f"`{name}` must be a whole number of at least {least}{most_words}. Received: {value!r}")


def _size(config: Experiment) -> None:
    """Raise ConfigError if an experiment has so many units that listing them would take minutes."""
    found = sum(
        member.replicates
        * (member.prune.levels + 1)
        * (1 + len(member.controls))
        * (1 + member.stability.shuffle_seeds * bool(member.stability.levels))
        for member in config_lib.members(config).values()
    )
    if found > _MOST_UNITS:
        raise ConfigError(
            f"An experiment has at most about {_MOST_UNITS:,} training runs. Received: {found:,} with replicates="
            f"{config.replicates}, prune.levels={config.prune.levels}, {len(config.controls)} controls, "
            f"stability.shuffle_seeds={config.stability.shuffle_seeds} and {len(config.variants)} variants"
        )


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
