"""The sentences of a report about a run, and numbers as text, for the page, the terminal and the documentation."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from tf_lottery.core.controls import CONTROLS
from tf_lottery.experiment import config as config_lib, plan
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.environment import DAMAGED, differences
from tf_lottery.experiment.storage import Run
from tf_lottery.report import results
from tf_lottery.report.results import LABELS, TICKET


def headline(frame: pd.DataFrame) -> str:
    """Describe in one sentence the sparsest winning ticket of a variant, or say that no ticket is shown to win.

    Args:
        frame: The rows of one variant, see `results.rows`.
    """
    verdicts = results.verdicts(frame)
    winning = verdicts.index[verdicts == results.WINNING]
    if winning.empty:
        return f"No level is shown to be a winning ticket ({_count(frame.replicate.nunique(), 'replicate')})."
    level, summary = winning.max(), results.spread(frame)
    accuracy, step = summary["early_stop_test_accuracy"]["mean"], summary["early_stop_step"]["mean"]
    rivals = {"dense": (TICKET, 0)} | {LABELS[branch]: (branch, level) for branch in CONTROLS}
    return (
        f"The sparsest winning tickets keep {summary['density']['mean'][TICKET, level]:.1%} of the weights "
        f"(level {level}): test accuracy {accuracy[TICKET, level]:.2%} at step {step[TICKET, level]:.0f}; "
        + ", ".join(f"{name} {accuracy[at]:.2%} at {step[at]:.0f}" for name, at in rivals.items() if at in step.index)
        + "."
    )


def subject(config: Experiment) -> str:
    """Name the network and the data of an experiment in a few words."""
    return f"{config.model.name} on {'noise in the shape of ' * config.data.synthetic}{config.data.name}"


def description(config: Experiment) -> str:
    """Describe an experiment in a sentence: what all variants have in common, and then the variants."""
    members = config_lib.members(config).values()
    common = [{describe(member) for member in members} for describe in (subject, _pruning, _training, _rewinding)]
    what, *settings = [found.pop() if len(found) == 1 else "" for found in common]
    parts = [_count(config.replicates, "replicate"), *filter(None, settings)]
    variant_texts = [_variant(label, changes) for label, changes in config.variants.items()]
    sweep = f" Variants: {'; '.join(variant_texts)}." if variant_texts else ""
    return f"{what or 'a sweep'}: {', '.join(parts)}.{sweep}"


def completeness(run: Run) -> str:
    """Return the warning that a run is unfinished, or `""` if it is finished."""
    units = plan.units(run.config)
    done, total = sum(map(run.is_done, units)), len(units)
    return "" if done == total else f"Unfinished: {done} of {total} training runs; means are over finished replicates."


def exactness(environments: Sequence[Mapping[str, Any]]) -> str:
    """Return the warning that a run is not bit-exact, or `""` if it is.

    Args:
        environments: The environments of the run, see `results.environments`.
    """
    known = [environment for environment in environments if environment != DAMAGED]
    if environments and not known:
        return "Perhaps not bit-exact: the record of the environment of this run is damaged."
    if len(environments) < 2:
        return ""
    changes = [f"{name}={_sequence(values)}" for name, values in differences(known).items()]
    lost = ["the record of the one before is damaged"] if len(known) < len(environments) else []
    return f"Not bit-exact: the run was resumed in another environment: {'; '.join(lost + changes)}."


def duration(seconds: float) -> str:
    """Return a time for people, as in `"45 s"`, `"12 min"` or `"3 h 05 min"`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def percent(shares: pd.Series) -> str:
    """Return the mean and range of shares (0-1) in percent, as in `"93.81 [93.58–94.08]"`."""
    return f"{100 * shares.mean():.2f} [{100 * shares.min():.2f}–{100 * shares.max():.2f}]"


def number_or_dash(number: float, show: Callable[[float], str]) -> str:
    """Return `show(number)`, a dash for NaN, or the sign of infinity."""
    if math.isinf(number):
        return "∞" if number > 0 else "-∞"
    return "–" if math.isnan(number) else show(number)


def _variant(label: str, changes: Mapping[str, Any]) -> str:
    return f"{label} ({', '.join(f'{name}={value}' for name, value in changes.items())})" if changes else label


def _pruning(config: Experiment) -> str:
    prune = config.prune
    return f"{_count(prune.levels, 'level')} of {prune.fraction:.0%} ({prune.scope}, {prune.criterion})"


def _training(config: Experiment) -> str:
    return f"trained for {config.train.steps}"


def _rewinding(config: Experiment) -> str:
    return f"rewound to {config.prune.rewind_to}"


def _sequence(values: Sequence[Any]) -> str:
    """Join the values that a field had one after another."""
    return ", then ".join(str(value) for value, _ in itertools.groupby(values))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
