"""Run directories in, rows out; and what the rows allow to claim."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from tf_lottery.errors import DamageError
from tf_lottery.experiment import environment, plan, variants
from tf_lottery.experiment.config import Experiment, fields
from tf_lottery.experiment.controls import CONTROLS
from tf_lottery.experiment.storage import Run, Unit

TICKET = "ticket"
# Of the branches, for people.
LABELS = {TICKET: "ticket"} | {
    control: control.replace("_signs", ", signs kept").replace("_", " ") for control in CONTROLS
}
MEASURES = ("density", "early_stop_test_accuracy", "early_stop_step", "test_accuracy")
MIN_REPLICATES = 3
EQUALLY_SPARSE = 0.01  # tickets of two variants are compared where their numbers of weights differ by less than this

_WITH_K = ("prune.rewind_to", "stability.", "controls")  # what variants that are drawn against k may differ in

WINNING, LESS_ACCURATE, LATER, NOT_SHOWN = "winning", "less accurate", "later", "not shown"


def rows(run: Run) -> pd.DataFrame:
    """Return one row a finished training whose ticket and dense network are finished too.

    Columns: variant (its label, `""` where there are none), replicate, level, branch (a key of `LABELS`), density and
    accuracies (shares, 0-1), steps (optimizer steps from the start of training), then `density:<weight name>` for each
    weight. Further data orders are no rows: they are samples of `stability.rows`.
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
    variant = pd.Categorical(frame.variant, variants.labels(run.config))  # in the order of the config
    frame = frame.assign(variant=variant).sort_values(["variant", "branch", "level", "replicate"], ignore_index=True)
    return frame.astype({"variant": str})


def by_variant(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each variant by its label, in the order of the config; one entry, `""`, where there are none."""
    return {} if frame.empty else dict(iter(frame.groupby("variant", sort=False)))


def rewind_steps(config: Experiment, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the variants that differ in the rewind step alone, most of them if there are several such groups.

    Args:
        config: The experiment.
        frame: From `rows`.

    Returns:
        By label, k and T (`total`) in steps, of variants with a ticket; empty if there are not two different k.
    """
    tickets = frame[(frame.branch == TICKET) & (frame.level > 0)]
    steps = tickets.groupby("variant", sort=False)[["from_step", "to_step"]].first().set_axis(["k", "total"], axis=1)
    groups: dict[str, list[str]] = {}
    for label, member in variants.members(config).items():
        alike = {name: value for name, value in fields(member).items() if not name.startswith(_WITH_K)}
        groups.setdefault(json.dumps(alike), []).append(label)
    found = [steps[steps.index.isin(group)] for group in groups.values()]
    most = max(found, key=lambda group: group.k.nunique())
    return most if most.k.nunique() > 1 else most[:0]


def pruned(frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the variants of a sweep that have more than a dense network; a run without variants always."""
    return {label: rows for label, rows in frames.items() if rows.level.any() or not label}


def environments(run: Run) -> list[dict[str, Any]]:
    """What a run was made on, see `Run.environments`; `drift.DAMAGED` alone where the record of it is damaged."""
    try:
        return run.environments()
    except DamageError:
        return [environment.DAMAGED]


def spread(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean, min, max and count of each measure over the replicates of one variant, by branch and level.

    The index is (branch, level); the columns are (measure, statistic).
    """
    return frame.groupby(["branch", "level"])[list(MEASURES)].agg(["mean", "min", "max", "count"])


def verdicts(frame: pd.DataFrame) -> pd.Series:
    """Return whether the tickets of each level above 0 of one variant are winning tickets.

    A winning ticket (Frankle & Carbin 2019, section 1) reaches its lowest validation loss no later than the dense
    network (j' <= j) and is then at least as accurate on the test set (a' >= a), with far fewer weights. Each ticket is
    compared with the dense network of its own replicate:

    - `"winning"`: both hold in every replicate,
    - `"less accurate"` or `"later"`: no winning ticket, since in every replicate it is so,
    - `"not shown"`: the replicates disagree, or there are fewer than three.
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
