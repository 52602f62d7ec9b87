"""Variants: what a sweep compares. Each variant is the experiment with other values for some fields, under a label.

`variants={"k=0": {"prune.rewind_to": "0it"}, "k=60": {"prune.rewind_to": "60it"}}` are two experiments in one run. They
share the seeds, so that they can be compared in pairs, and the dense network wherever it is the same.
"""

import json
import re
from typing import Any

from tf_lottery.errors import ConfigError
from tf_lottery.experiment import config as config_lib
from tf_lottery.experiment.config import Experiment

# These fields belong to the whole run, or to the processes that train it.
_FIXED = ("seed", "replicates", "variants", "train.threads", "train.jit_compile", "train.steps_per_execution")
_AFTER_THE_DENSE_NETWORK = ("prune.", "stability.", "controls", "shuffle")
_LABEL = re.compile(r"(?!level_|controls$|shuffle_seed_|replicate\.lock$)[A-Za-z0-9][A-Za-z0-9 =.,%+_-]{0,59}")


def labels(config: Experiment) -> list[str]:
    """Return the labels of all variants; `[""]` for an experiment that has none."""
    return [*config.variants] or [""]


def of(config: Experiment, label: str) -> Experiment:
    """Return the experiment of one variant, which has no variants itself; for `""` return the experiment as it is.

    Raises:
        ConfigError: there is no such variant, or it names a field that does not exist or cannot differ.
    """
    if not label and not config.variants:
        return config
    if label not in config.variants:
        raise ConfigError(f"There is no variant {label!r}. Known: {', '.join(labels(config))}")
    flat, changes = config_lib.fields(config), config_lib.fields(config)["variants"][label]
    if wrong := [name for name in changes if name not in flat or name in _FIXED]:
        raise ConfigError(
            f"A variant can change all fields of the config but {', '.join(_FIXED)}. "
            f"Received: {wrong[0]!r} in variant {label!r}"
        )
    return config_lib.from_fields(flat | changes | {"variants": {}})


def members(config: Experiment) -> dict[str, Experiment]:
    """Return the experiments of all variants by label."""
    return {label: of(config, label) for label in labels(config)}


def dense_network(member: Experiment) -> str:
    """Return a text of all fields that decide the dense network; variants with equal texts share one."""
    flat = config_lib.fields(member)
    deciding = {name: value for name, value in flat.items() if not name.startswith(_AFTER_THE_DENSE_NETWORK)}
    return json.dumps(deciding | {"prune.exclude": flat["prune.exclude"]}, sort_keys=True)


def changes(member: Experiment, config: Experiment) -> dict[str, Any]:
    """Return the values of `member` that differ from those of `config`, by field, as `variants` holds them."""
    flat, base = config_lib.fields(member), config_lib.fields(config)
    found = {name: value for name, value in flat.items() if value != base[name] and name != "variants"}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def check(config: Experiment) -> None:
    """Check that labels can name folders, and that fields exist and may differ; `validation` checks the values.

    Raises:
        ConfigError: a label or a field is impossible.
    """
    for label in config.variants:
        if not _LABEL.fullmatch(label):
            raise ConfigError(
                "A label of `variants` may have letters, digits, spaces and =.,%+_- (and must not be level_…, "
                f"shuffle_seed_… or controls). Received: {label!r}"
            )
    folded = [label.casefold() for label in config.variants]  # on some file systems "a" and "A" are the same folder
    if twice := [label for label in config.variants if folded.count(label.casefold()) > 1]:
        raise ConfigError(f"Labels of `variants` must differ in more than capitals. Received: {', '.join(twice)}")
    members(config)
