"""The stability of the networks of a run: to pruning, to data order, and on the line between two data orders.

The definitions are those of Frankle et al. 2019 (arXiv 1903.01611, section on stability). Networks are compared by
their stored weights at the end of training, never by moving averages of these (`train.average`). All copies of a
network start from the same state: that at step k or, if levels do not rewind the weights, that of the level. The dense
network always starts from step k. With `prune.reset_optimizer` copies start with a new optimizer, as levels do. The
dense network in its first data order does not: its momentum continues through step k.

- *Stability to data order*: one subnetwork in two data orders (including augmentation).
- *Stability to pruning*: the dense network and the subnetwork in one data order, compared on the kept weights.
- The *barrier* of linear mode connectivity (Frankle et al. 2020, arXiv 1912.05671): see `training.connectivity`.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import pandas as pd

from tf_lottery.core import stability, steps
from tf_lottery.experiment import config as config_lib, plan
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.masking.ticket import Ticket

DATA_ORDER, PRUNING = "data_order", "pruning"
_PLACE = ("variant", "replicate", "level", "control")
_MEASURES = {"distance": stability.distance, "angle": stability.angle}

Stored = Callable[[Unit], Ticket]


def rows(run: Run) -> pd.DataFrame:
    """Return a table with one row for each pair of finished networks and each weight.

    Columns: variant, replicate, level, control (`""` for the ticket, or for the dense network at level 0), kind
    (`"data_order"` or `"pruning"`), sample (the data orders compared, as in `"0-2"`, or the common one, as in `"1"`),
    weight (its name, or `"all"` for all weights with a mask), distance (L2), angle (degrees).
    """

    @lru_cache(maxsize=16)
    def stored(unit: Unit) -> Ticket:
        ticket = run.ticket(unit)
        return Ticket(ticket.masks, {"final": ticket.weights["final"]})

    found = [
        place | {"weight": weight} | {name: values[weight] for name, values in measured.items()}
        for place, measured in _pairs(run, stored)
        for weight in measured["distance"]
    ]
    columns = [*_PLACE, "kind", "sample", "weight", *_MEASURES]
    return pd.DataFrame(found, columns=columns)


def lines(run: Run) -> pd.DataFrame:
    """Return a table with one row for each point of each line between the first data order and another.

    Columns: variant, replicate, level, control, shuffle_seed (of the second end), share (of the second end, 0-1),
    test_error (0-1), test_loss.
    """
    found = [run.line(unit).assign(**_place(unit), shuffle_seed=unit.shuffle_seed) for unit in _units_with_lines(run)]
    columns = [*_PLACE, "shuffle_seed", "share", "test_error", "test_loss"]
    return pd.concat(found, ignore_index=True)[columns] if found else pd.DataFrame(columns=columns)


def barriers(points: pd.DataFrame) -> pd.DataFrame:
    """Return a table with one row for each line.

    Columns: variant, replicate, level, control, shuffle_seed, error_barrier (0-1), loss_barrier.

    Args:
        points: From `lines`.
    """
    measures = ["test_error", "test_loss"]
    found = points.groupby([*_PLACE, "shuffle_seed"], sort=False)[measures].agg(
        lambda values: stability.barrier([*values])
    )
    return found.set_axis(["error_barrier", "loss_barrier"], axis=1).reset_index()


def _pairs(run: Run, stored: Stored) -> Iterator[tuple[dict[str, Any], dict[str, dict[str, float]]]]:
    """Yield each pair of networks that is compared: its identifying columns, and its measures by weight."""
    units = [unit for unit in plan.units(run.config) if run.is_done(unit)]
    copies = {unit: [unit] for unit in units if not unit.shuffle_seed}
    for unit in units:
        if (first := dataclasses.replace(unit, shuffle_seed=0)) != unit and first in copies:
            copies[first].append(unit)
    for unit, found in copies.items():
        if len(found) == 1:
            continue
        for first, second in itertools.combinations(found, 2):
            sample = {"kind": DATA_ORDER, "sample": f"{first.shuffle_seed}-{second.shuffle_seed}"}
            yield _place(unit) | sample, _measured(stored, first, second)
        for copy in found if unit.level else ():
            dense = Unit(unit.replicate, 0, variant=unit.variant, shuffle_seed=copy.shuffle_seed)
            if dense in units and _differs_only_in_mask(run, copy):
                sample = {"kind": PRUNING, "sample": str(copy.shuffle_seed)}
                yield _place(unit) | sample, _measured(stored, dense, copy)


def _differs_only_in_mask(run: Run, unit: Unit) -> bool:
    """Return whether a unit trained like the dense network with the same shuffle seed, apart from the mask."""
    member = config_lib.variant(run.config, unit.variant)
    if member.prune.rewind != "weights":
        return False
    same_start = not member.prune.reset_optimizer or steps.to_steps(member.prune.rewind_to, 1) == 0
    return unit.shuffle_seed > 0 or (member.shuffle == "replay" and same_start)


def _measured(stored: Stored, first: Unit, second: Unit) -> dict[str, dict[str, float]]:
    """Measure two networks on the masks of the second; those of the first are the same or keep everything."""
    one, other = (stored(unit).weights["final"] for unit in (first, second))
    masks = stored(second).masks
    return {name: stability.by_weight(measure, one, other, masks) for name, measure in _MEASURES.items()}


def _place(unit: Unit) -> dict[str, Any]:
    return {name: getattr(unit, name) for name in _PLACE}


def _units_with_lines(run: Run) -> list[Unit]:
    """Return the finished units with further shuffle seeds for which a line is measured."""
    every = [unit for unit in plan.units(run.config) if unit.shuffle_seed and run.is_done(unit)]
    return [unit for unit in every if config_lib.variant(run.config, unit.variant).stability.points]
