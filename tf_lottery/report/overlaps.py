"""The overlap of tickets: which share of weights two masks have in common, and how much chance would give.

The overlap of two masks is their Jaccard index (`masks.overlap`): weights kept by both / weights kept by either. A
ticket lies inside the ticket of the level before, so overlaps between levels tell only their sizes. The informative
questions are whether other replicates or variants keep the same weights, and whether a ticket keeps the largest weights
of its dense network, at the end of training (which one-shot pruning would keep) or at step k.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays
from tf_lottery.experiment import config as config_lib, plan
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.report.results import EQUALLY_SPARSE

REPLICATES, VARIANTS, DENSE_END, DENSE_START = "replicates", "variants", "largest_at_the_end", "largest_at_step_k"
_GROUPS = {DENSE_END: "final", DENSE_START: "rewind"}
COLUMNS = ("kind", "variant", "replicate", "level", "density", "other", "overlap", "chance")

Packed = Mapping[str, tuple[np.ndarray, tuple[int, ...]]]


def rows(run: Run) -> pd.DataFrame:
    """Compare the masks of every finished ticket above level 0 with other masks.

    The column `kind` names the other mask:

    - `"replicates"`: the ticket of a later replicate, `other`, of the same variant and level.
    - `"variants"`: the ticket of a later variant, `other`, of the same replicate, at the level that keeps as many
      weights (within 1%).
    - `"largest_at_the_end"`, `"largest_at_step_k"`: a mask that keeps as many weights in each layer as the ticket,
      namely the largest of its dense network at the end of training, or at step k.

    Args:
        run: The run, finished or not.

    Returns:
        A frame with one row per pair of masks and the columns kind, variant, replicate, level, density (0-1, of the
        ticket), other, overlap (0-1) and chance (0-1, see `by_chance`).
    """
    found, packed = [], {}
    for dense in (unit for unit in plan.units(run.config) if not (unit.level or unit.shuffle_seed)):
        orders = _orders(run, dense) if run.is_done(dense) else {}
        for unit in _tickets(run, dense):
            masks = run.ticket(unit).masks
            packed[unit] = _pack(masks)
            found += [_row(unit, kind, "", masks, _largest(order, masks)) for kind, order in orders.items()]
    found += [
        _row(first, kind, other, _unpack(packed[first]), _unpack(packed[second]))
        for kind, first, second, other in _pairs(packed)
    ]
    frame = pd.DataFrame(found, columns=[*COLUMNS])
    return frame.sort_values(["kind", "level"], ignore_index=True, kind="stable")


def by_chance(first: Arrays, second: Arrays) -> float:
    """Return the expected overlap of random masks that keep as many weights in each layer as these.

    If one mask keeps a of the n weights of a layer and the other b, they share a b / n on average.

    Args:
        first, second: Masks by weight name, with the same names and shapes; 1 = kept.

    Returns:
        The Jaccard index of these expected numbers, 0-1; 1 if nothing is kept.

    >>> by_chance({"w": np.array([1, 1, 0, 0])}, {"w": np.array([0, 1, 0, 1])})
    0.3333333333333333
    """
    kept = [(np.count_nonzero(mask), np.count_nonzero(second[name]), mask.size) for name, mask in first.items()]
    both = sum(one * other / size for one, other, size in kept if size)
    either = sum(one + other for one, other, _ in kept) - both
    return float(both / either) if either else 1.0


def _tickets(run: Run, dense: Unit) -> list[Unit]:
    """Return the finished tickets of a dense network."""
    levels = range(1, config_lib.variant(run.config, dense.variant).prune.levels + 1)
    return [unit for level in levels if run.is_done(unit := dataclasses.replace(dense, level=level))]


def _orders(run: Run, dense: Unit) -> dict[str, dict[str, np.ndarray]]:
    """Sort the positions of a dense network's weights from the largest to the smallest, by kind and weight name."""
    ticket = run.ticket(dense)
    return {
        kind: {name: np.argsort(-np.abs(ticket.weights[group][name]).ravel(), kind="stable") for name in ticket.masks}
        for kind, group in _GROUPS.items()
    }


def _largest(order: Arrays, masks: Arrays) -> dict[str, np.ndarray]:
    """Return masks that keep the first weights of an order, in each layer as many as `masks` keep."""
    largest = {name: np.zeros(mask.size, bool) for name, mask in masks.items()}
    for name, mask in masks.items():
        largest[name][order[name][: np.count_nonzero(mask)]] = True
    return {name: largest[name].reshape(mask.shape) for name, mask in masks.items()}


def _pairs(tickets: Mapping[Unit, Packed]) -> Iterator[tuple[str, Unit, Unit, str]]:
    """Yield the pairs of tickets to compare: kind, first, second, and the name of the second (column `other`)."""
    for first, second in itertools.combinations(tickets, 2):
        if (first.variant, first.level) == (second.variant, second.level):
            yield REPLICATES, first, second, str(second.replicate)
    labels = list(dict.fromkeys(unit.variant for unit in tickets))
    for first, label in itertools.product(tickets, labels):
        if labels.index(label) > labels.index(first.variant):
            rivals = {
                unit: tickets[unit] for unit in tickets if (unit.variant, unit.replicate) == (label, first.replicate)
            }
            if (rival := _as_sparse(tickets[first], rivals)) is not None:
                yield VARIANTS, first, rival, label


def _as_sparse(ticket: Packed, rivals: Mapping[Unit, Packed]) -> Unit | None:
    """Return the rival that keeps as many weights of the same network, or None."""
    kept = _kept(ticket)
    differences = {
        unit: abs(_kept(rival) - kept) for unit, rival in rivals.items() if _shapes(rival) == _shapes(ticket)
    }
    nearest = min(differences, key=differences.__getitem__, default=None)
    return None if nearest is None or differences[nearest] > EQUALLY_SPARSE * kept else nearest


def _row(unit: Unit, kind: str, other: str, masks: Arrays, others: Arrays) -> dict[str, Any]:
    place = {"kind": kind, "variant": unit.variant, "replicate": unit.replicate, "level": unit.level, "other": other}
    measured = {"overlap": masks_lib.overlap(masks, others), "chance": by_chance(masks, others)}
    return place | {"density": masks_lib.density(masks)} | measured


def _pack(masks: Arrays) -> Packed:
    """Pack masks into bits, an eighth of the memory: all tickets of a run are held at once."""
    return {name: (np.packbits(mask), mask.shape) for name, mask in masks.items()}


def _shapes(packed: Packed) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, (_, shape) in packed.items()}


def _kept(packed: Packed) -> int:
    return sum(int(np.bitwise_count(bits).sum()) for bits, _ in packed.values())


def _unpack(packed: Packed) -> Arrays:
    return {
        name: np.unpackbits(bits, count=math.prod(shape)).reshape(shape).astype(bool)
        for name, (bits, shape) in packed.items()
    }
