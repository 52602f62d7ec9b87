"""The results of a run as a data frame, their spread over the replicates, and the verdict on each ticket."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from tf_lottery.core.controls import CONTROLS
from tf_lottery.errors import DamageError
from tf_lottery.experiment import config as config_lib, environment, plan
from tf_lottery.experiment.config import Experiment, fields
from tf_lottery.experiment.storage import Run, Unit

TICKET = "ticket"
# The name of each branch (ticket or control) in tables and figures.
LABELS = {TICKET: "ticket"} | {
    control: control.replace("_signs", ", signs kept").replace("_", " ") for control in CONTROLS
}
MEASURES = ("density", "early_stop_test_accuracy", "early_stop_step", "test_accuracy")
MIN_REPLICATES = 3
EQUALLY_SPARSE = 0.01  # tickets of two variants are comparable if their numbers of weights differ by at most this share

# Variants may differ in these fields and still be drawn in one figure against k.
_VARIES_WITH_K = ("prune.rewind_to", "stability.", "controls")

WINNING, LESS_ACCURATE, LATER, NOT_SHOWN = "winning", "less accurate", "later", "not shown"


def rows(run: Run) -> pd.DataFrame:
    """Return the results of a run, one row per unit.

    A finished unit has a row only if its ticket and its dense network are finished too, because it is compared with
    them. Units with another shuffle seed have no rows: they are samples of `experiment.run_stability.rows`.

    Args:
        run: The run, finished or not.

    Returns:
        A frame with the columns variant (its label, `""` without variants), replicate, level, branch (a key of
        `LABELS`), density and accuracies (shares, 0-1), steps (optimizer steps from the start of training), then
        `density:<weight name>` for each weight. It is empty if nothing is finished.
    """
    records = []
    for unit in plan.units(run.config):
        ticket = Unit(unit.replicate, unit.level, variant=unit.variant)
        comparable = (unit, ticket, dataclasses.replace(ticket, level=0))
        if not unit.shuffle_seed and all(run.is_done(needed) for needed in comparable):
            metrics = run.metrics(unit)
            by_weight = {f"density:{name}": value for name, value in metrics.pop("density_by_weight").items()}
            metrics.pop("seeds", None)
            place = {"variant": unit.variant, "replicate": unit.replicate, "level": unit.level}
            records.append(place | {"branch": unit.control or TICKET} | metrics | by_weight)
    frame = pd.DataFrame(records)
    if frame.empty:
        return frame
    variant = pd.Categorical(frame.variant, config_lib.labels(run.config))  # sorts in the order of the config
    frame = frame.assign(variant=variant).sort_values(["variant", "branch", "level", "replicate"], ignore_index=True)
    return frame.astype({"variant": str})


def by_variant(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Split rows by the label of their variant, in the order of the config.

    A run without variants has one entry, `""`.
    """
    return {} if frame.empty else dict(iter(frame.groupby("variant", sort=False)))


def pruned(frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the variants that have pruned levels; a run without variants is always included."""
    return {label: rows for label, rows in frames.items() if rows.level.any() or not label}


def rewind_steps(config: Experiment, frame: pd.DataFrame) -> pd.DataFrame:
    """Find the variants that differ only in the rewind step.

    If several groups of variants do, the group with the most different steps is returned.

    Args:
        config: The experiment.
        frame: The rows, see `rows`.

    Returns:
        A frame indexed by the labels of variants that have a ticket, with the columns k and total (T), in optimizer
        steps. It is empty unless there are at least two different k.
    """
    tickets = frame[(frame.branch == TICKET) & (frame.level > 0)]
    steps = tickets.groupby("variant", sort=False)[["from_step", "to_step"]].first().set_axis(["k", "total"], axis=1)
    groups: dict[str, list[str]] = {}
    for label, member in config_lib.members(config).items():
        common = {name: value for name, value in fields(member).items() if not name.startswith(_VARIES_WITH_K)}
        groups.setdefault(json.dumps(common), []).append(label)
    found = [steps[steps.index.isin(group)] for group in groups.values()]
    largest = max(found, key=lambda group: group.k.nunique())
    return largest if largest.k.nunique() > 1 else largest[:0]


def environments(run: Run) -> list[dict[str, Any]]:
    """Return the environments that a run used, see `Run.environments`.

    If their record is damaged, the only entry is `environment.DAMAGED`.
    """
    try:
        return run.environments()
    except DamageError:
        return [environment.DAMAGED]


def spread(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise each measure over the replicates of one variant.

    Args:
        frame: The rows of one variant.

    Returns:
        A frame indexed by (branch, level), whose columns are (measure, statistic): each of `MEASURES` with `"mean"`,
        `"min"`, `"max"` and `"count"`.
    """
    return frame.groupby(["branch", "level"])[list(MEASURES)].agg(["mean", "min", "max", "count"])


def verdicts(frame: pd.DataFrame) -> pd.Series:
    """Decide for each level above 0 of one variant whether its tickets are winning tickets.

    A winning ticket (Frankle & Carbin 2019, section 1) reaches its lowest validation loss no later than the dense
    network (j' <= j) and is then at least as accurate on the test set (a' >= a), with far fewer weights. Each ticket is
    compared with the dense network of its own replicate. The verdicts are:

    - `"winning"`: both conditions hold in every replicate.
    - `"less accurate"`, `"later"`: this condition fails in every replicate.
    - `"not shown"`: the replicates disagree, or there are fewer than three.

    Args:
        frame: The rows of one variant.

    Returns:
        The verdicts, indexed by level.
    """
    tickets = frame[frame.branch == TICKET].set_index(["level", "replicate"])
    dense = tickets.loc[0]
    return pd.Series(
        {level: _verdict(group.droplevel("level"), dense) for level, group in tickets.groupby("level") if level},
        dtype=object,
    )


def _verdict(tickets: pd.DataFrame, dense: pd.DataFrame) -> str:
    dense = dense.loc[tickets.index]
    as_accurate = tickets.early_stop_test_accuracy >= dense.early_stop_test_accuracy
    in_time = tickets.early_stop_step <= dense.early_stop_step
    if len(tickets) < MIN_REPLICATES:
        return NOT_SHOWN
    if as_accurate.all() and in_time.all():
        return WINNING
    if not as_accurate.any():
        return LESS_ACCURATE
    return NOT_SHOWN if in_time.any() else LATER
