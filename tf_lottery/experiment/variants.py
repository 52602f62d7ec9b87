"""Variants: what a sweep compares. Each is the experiment with other values for some fields, and has a label.

`variants=("k=0: prune.rewind_to=0it", "k=60: prune.rewind_to=60it; train.warmup=10it")` are two experiments in one run.
They share the seeds, so that they can be compared in pairs, and the dense network wherever it is the same.
"""

import ast
import json
import re
from typing import Any

from tf_lottery.errors import ConfigError
from tf_lottery.experiment import config as config_lib
from tf_lottery.experiment.config import Experiment

# Of the whole run, or of the process that trains.
_FIXED = ("seed", "replicates", "variants", "train.threads", "train.jit_compile", "train.steps_per_execution")
_AFTER_THE_DENSE_NETWORK = ("prune.", "stability.", "controls", "shuffle")
_LABEL = re.compile(r"(?!level_|controls$|shuffle_seed_|replicate\.lock$)[A-Za-z0-9][A-Za-z0-9 =.,%+_-]{0,59}")


def labels(config: Experiment) -> list[str]:
    """Return the labels of all variants; `[""]` for an experiment that has none."""
    return [_label(text) for text in config.variants] or [""]


def of(config: Experiment, label: str) -> Experiment:
    """Return the experiment that a variant is, itself without variants; the experiment as it is for `""`.

    Raises:
        ConfigError: there is no such variant, or its text cannot be read.
    """
    if not label and not config.variants:
        return config
    for text in config.variants:
        if _label(text) == label:
            return _changed(config, text)
    raise ConfigError(f"There is no variant {label!r}. Known: {', '.join(labels(config))}")


def members(config: Experiment) -> dict[str, Experiment]:
    """Return all variants by label."""
    return {label: of(config, label) for label in labels(config)}


def dense_network(member: Experiment) -> str:
    """What decides how a dense network comes out: variants for which this is equal share one."""
    flat = config_lib.fields(member)
    deciding = {name: value for name, value in flat.items() if not name.startswith(_AFTER_THE_DENSE_NETWORK)}
    return json.dumps(deciding | {"prune.exclude": flat["prune.exclude"]}, sort_keys=True)


def text(label: str, member: Experiment, config: Experiment) -> str:
    """Return the variant of `config` that is `member`, as `variants` has it."""
    flat, base = config_lib.fields(member), config_lib.fields(config)
    changes = [f"{name}={_written(value)}" for name, value in flat.items() if value != base[name]]
    return f"{label}: {'; '.join(change for change in changes if not change.startswith('variants='))}"


def check(config: Experiment) -> None:
    """That labels are distinct and can name folders, and that fields exist and may differ; not that values make sense.

    Raises:
        ConfigError: what is wrong.
    """
    found = labels(config)
    for text, label in zip(config.variants, found, strict=False):
        if ":" not in text or not _LABEL.fullmatch(label):
            raise ConfigError(
                '`variants` are written "label: field=value; field=value", a label of letters, digits, spaces and '
                f"=.,%+_- (not level_…, shuffle_seed_… or controls). Received: {text!r}"
            )
    folded = [label.casefold() for label in found]  # some file systems take "a" and "A" for one folder
    if twice := [label for label in found if folded.count(label.casefold()) > 1]:
        raise ConfigError(f"`variants` must have a label each, capitals or not. Received: {', '.join(twice)}")
    members(config)


def _label(text: str) -> str:
    return text.partition(":")[0].strip()


def _changed(config: Experiment, text: str) -> Experiment:
    flat = config_lib.fields(config)
    changes = [change.strip() for change in text.partition(":")[2].split(";") if change.strip()]
    changed: set[str] = set()
    for change in changes:
        name, equals, value = (part.strip() for part in change.partition("="))
        if not equals or name not in flat or name in _FIXED:
            raise ConfigError(
                f"A variant says field=value for fields of the config other than {', '.join(_FIXED)}. "
                f"Received: {change!r} in {text!r}"
            )
        if name in changed:
            raise ConfigError(f"A variant gives each field once. Received: {name!r} twice in {text!r}")
        changed.add(name)
        flat[name] = _read(value, flat[name], change)
    return config_lib.from_fields(flat | {"variants": []})


def _read(value: str, before: Any, change: str) -> Any:
    """Return a value as it stands on a command line: text as it is, all else as Python has it."""
    if isinstance(before, str) and value[:1] not in "'\"":
        return value
    try:
        read = ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ConfigError(f"The value of a variant cannot be read. Received: {change!r}") from error
    return list(read) if isinstance(read, tuple) else read


def _written(value: Any) -> str:
    return repr(tuple(value)) if isinstance(value, list) else value if isinstance(value, str) else repr(value)
