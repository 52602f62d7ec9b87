"""Pruning: scores and masks in, smaller masks out, with exact counts."""

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from tf_lottery.core import masks as masks_lib, pruning
from tf_lottery.core.criteria import CRITERIA, Criterion
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import ExhaustedError, PruningError

SCOPES = ("global", "layerwise")
_SAMPLE = 2**16  # scores that are looked at to know about where the cut will be
_LONGEST_EXPONENT = len("-324")  # of a float
Share = float | int | str | Decimal | Fraction


def exact(fraction: Share) -> Fraction:
    """Return the decimal as it is written: 0.2 becomes 1/5, not the nearest binary number.

    Raises:
        PruningError: not a number in [0, 1).
    """
    try:
        value = fraction if isinstance(fraction, Fraction) else Fraction(_short(str(fraction)))
    except (ValueError, ZeroDivisionError):
        value = None
    if value is None or isinstance(fraction, bool) or not 0 <= value < 1:
        is_percent = isinstance(fraction, int | float) and 1 < fraction < 100
        hint = f" For {fraction:g} percent write {float(fraction) / 100:g}." if is_percent else ""
        raise PruningError(
            f"`fraction` must be in [0, 1): it is the share of the kept weights to remove.{hint} "
            f"Received: fraction={fraction!r}"
        )
    return value


def _short(written: str) -> str:
    """Refuse what takes for ever to write out: "1e-1000000000" has as many digits."""
    if len(written.lower().partition("e")[2]) > _LONGEST_EXPONENT:
        raise ValueError(written)
    return written


def first_emptied(masks: Arrays, fraction_at: Callable[[int], Any], levels: int) -> tuple[int, str] | None:
    """Return the first level of layerwise pruning that would leave nothing of a weight, and that weight's name."""
    kept = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    for level in range(1, levels + 1):
        fractions = _fraction_for_each(masks, fraction_at(level))
        for name in masks:
            kept[name] -= number_to_remove(kept[name], fractions[name])
            if kept[name] == 0:
                return level, name
    return None


def number_to_remove(kept: int, fraction: Share) -> int:
    """`round(fraction * kept)` in exact arithmetic; halves go to the even number."""
    return round(exact(fraction) * kept)


def prune(
    scores: Arrays,
    masks: Arrays,
    fraction: Share | Mapping[str, Share],
    *,
    scope: str = "global",
    min_density: Share = 0,
) -> dict[str, np.ndarray]:
    """Remove the lowest-scoring `fraction` of the weights that `masks` still keep.

    Exactly `round(fraction * kept)` weights go; equal scores go in index order, first key first.

    Args:
        scores: Arrays by weight name, any shape; higher means keep. Pruned positions are ignored.
        masks: Arrays of 0/1, the names and shapes of `scores`; 1 = kept. Left unchanged.
        fraction: Share of the kept weights to remove, in [0, 1). A ratio, not a percent. With
            `scope="layerwise"` also one share for each weight name.
        scope: `"global"` ranks all weights together, `"layerwise"` each array by itself.
        min_density: With `scope="global"`, the share of each array that stays: its highest-scoring kept weights are
            not ranked. As many weights go as without it.

    Returns:
        New boolean masks; every zero of `masks` is still zero.

    Raises:
        PruningError: names or shapes differ, a kept score is NaN, `fraction` or `scope` is impossible, or
            `min_density` protects so much that not enough weights are left to remove.

    >>> prune({"w": np.array([3., 1., 2., 4.])}, {"w": np.ones(4)}, 0.5)["w"]
    array([ True, False, False,  True])
    """
    masks = masks_lib.validate(masks, like=scores)
    for name, mask in masks.items():
        if _may_hold_nan(scores[name]) and (np.isnan(scores[name]) & mask).any():
            raise PruningError(f"Scores must be numbers; {name!r} holds NaN. Did training diverge?")
    if scope == "global":
        if isinstance(fraction, Mapping):
            raise PruningError('One fraction for each weight needs scope="layerwise"; scope="global" takes a number.')
        return _prune_together(scores, masks, fraction, _protected(scores, masks, exact(min_density)))
    if scope == "layerwise":
        if min_density:
            raise PruningError(
                '`min_density` is for scope="global"; scope="layerwise" never empties one layer for others.'
            )
        fractions = _fraction_for_each(masks, fraction)
        return {
            name: _prune_together({name: scores[name]}, {name: mask}, fractions[name])[name]
            for name, mask in masks.items()
        }
    raise PruningError(f"`scope` must be one of {', '.join(SCOPES)}. Received: scope={scope!r}")


def _may_hold_nan(scores: np.ndarray) -> bool:
    """Return whether it is worth asking each: the least is NaN if any is, and found in half the time."""
    with np.errstate(invalid="ignore"):  # bfloat16 warns of the NaN
        return bool(scores.size and np.isnan(np.min(scores)))


def _fraction_for_each(masks: Arrays, fraction: Share | Mapping[str, Share]) -> Mapping[str, Share]:
    if not isinstance(fraction, Mapping):
        return dict.fromkeys(masks, fraction)
    if set(fraction) != set(masks):
        raise PruningError(f"Fractions are needed for exactly {sorted(masks)}. Received: {sorted(fraction)}")
    return fraction


def _protected(scores: Arrays, masks: Arrays, min_density: Fraction) -> dict[str, np.ndarray] | None:
    """Return the best weights of each array, as many as `min_density` of its size, or all that are kept if those are fewer."""
    if not min_density:
        return None
    protected = {}
    for name, mask in masks.items():
        kept, floor = int(np.count_nonzero(mask)), math.ceil(min_density * mask.size)
        protected[name] = _removed({name: scores[name]}, {name: mask}, max(kept - floor, 0))[name]
    return protected


def _prune_together(
    scores: Arrays, masks: Arrays, fraction: Share, protected: Arrays | None = None
) -> dict[str, np.ndarray]:
    remove = number_to_remove(masks_lib.kept(masks), fraction)
    if protected is None:
        return _removed(scores, masks, remove)
    candidates = {name: mask & ~protected[name] for name, mask in masks.items()}
    if remove > (left := masks_lib.kept(candidates)):
        raise ExhaustedError(f"would remove {remove} weights, but `min_density` leaves only {left} to choose from.")
    survivors = _removed(scores, candidates, remove)
    return {name: survivors[name] | protected[name] for name in masks}


def _removed(scores: Arrays, masks: Arrays, remove: int) -> dict[str, np.ndarray]:
    """Return the masks without the `remove` lowest-scoring of all weights they keep. By rank, in linear time.

    What scores below the bracket goes, what scores above it stays, and only the few in between are put in order.
    """
    if not remove:
        return {name: mask.copy() for name, mask in masks.items()}
    bracket = _bracket(scores, masks, remove)
    stays, between = _split(scores, masks, bracket)
    missing = remove - (masks_lib.kept(masks) - masks_lib.kept(stays))
    if not 0 < missing <= sum(indices.size for indices in between.values()):  # a sample may mislead
        stays, between = _split(scores, masks, None)
        missing = remove
    between_scores = np.concatenate([np.ravel(scores[name])[indices] for name, indices in between.items()])
    goes = _lowest(between_scores, missing)
    ends = np.cumsum([indices.size for indices in between.values()])[:-1]
    for (name, indices), gone in zip(between.items(), np.split(goes, ends), strict=True):
        np.put(stays[name], indices[gone], False)
    return stays


def _bracket(scores: Arrays, masks: Arrays, remove: int) -> tuple[Any, Any] | None:
    """Return two scores between which the last one to go lies almost surely, by the ranks of a sample (Floyd and Rivest 1975).

    None where there are too few weights to sample, or the rank is too close to an end.
    """
    kept = masks_lib.kept(masks)
    if kept < 16 * _SAMPLE:
        return None
    every = kept // _SAMPLE | 1  # odd, so that it meets all channels of a layer
    sample = np.sort(
        np.concatenate([np.ravel(scores[name])[::every][mask.ravel()[::every]] for name, mask in masks.items()])
    )
    share = remove / kept
    rank = share * sample.size
    deviation = math.sqrt(rank * (1 - share))
    low, high = math.floor(rank - 4 * deviation), math.ceil(rank + 4 * deviation)
    return (sample[low], sample[high]) if low >= 0 and high < sample.size else None


def _split(
    scores: Arrays, masks: Arrays, bracket: tuple[Any, Any] | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the masks of what scores in `bracket` or above it, and the flat indices of what lies in it. None: all do."""
    if bracket is None:
        return {name: mask.copy() for name, mask in masks.items()}, _indices(masks)
    low, high = bracket
    stays, between = {}, {}
    for name, mask in masks.items():
        with np.errstate(invalid="ignore"):  # bfloat16 warns of NaN, which may stand where weights are pruned already
            stays[name], between[name] = np.asarray(scores[name] >= low), np.asarray(scores[name] <= high)
        stays[name] &= mask  # in place: fresh memory takes longer than the comparison
        between[name] &= stays[name]
    return stays, _indices(between)


def _indices(masks: Arrays) -> dict[str, np.ndarray]:
    return {name: np.flatnonzero(mask) for name, mask in masks.items()}


def _lowest(scores: np.ndarray, number: int) -> np.ndarray:
    """Return which of a flat array are its `number` lowest. Of equal ones the first (test_equal_scores_go_in_index_order)."""
    threshold = np.partition(scores, number - 1)[number - 1]
    lowest = scores < threshold
    lowest[np.flatnonzero(scores == threshold)[: number - np.count_nonzero(lowest)]] = True
    return lowest


def criterion_named(criterion: str | Criterion) -> Criterion:
    """Return a criterion by its name, or a function as it is.

    Raises:
        PruningError: there is none of that name.
    """
    if callable(criterion):
        return criterion
    if criterion not in CRITERIA:
        raise PruningError(
            f"`criterion` must be one of {', '.join(CRITERIA)}, or a function of (initial, trained, rng). "
            f"Received: criterion={criterion!r}"
        )
    return CRITERIA[criterion]


def next_masks(
    initial: Arrays,
    trained: Arrays,
    masks: Arrays,
    *,
    criterion: str | Criterion,
    fraction: Any,
    scope: str,
    rng: np.random.Generator,
    min_density: Share = 0,
) -> dict[str, np.ndarray]:
    """Return the masks of the next level.

    Args:
        initial, trained: The weights that a level started from and ended with; at least those that `masks` names.
        masks: Its masks.
        criterion: A name in `criteria.CRITERIA` or a function like those.
        fraction, scope, min_density: See `pruning.prune`.
        rng: For criteria that draw.

    Raises:
        ExhaustedError: nothing would be left of a weight.
        PruningError: a weight is NaN or infinite, a function scores other weights than it got, or see `prune`.
    """
    initial, trained = ({name: weights[name] for name in masks} for weights in (initial, trained))
    for name, weight in trained.items():
        if not np.isfinite(weight).all():
            raise PruningError(f"{name!r} holds NaN or infinite weights: training diverged. Lower the learning rate.")
    scores = criterion_named(criterion)(initial, trained, rng)
    if not isinstance(scores, Mapping):
        raise PruningError(f"The criterion must return scores by weight name. Received: {type(scores).__name__}")
    wrong = [name for name in {**masks, **scores} if _shape(scores, name) != _shape(masks, name)]
    if wrong:
        raise PruningError(f"The criterion must score each of {list(masks)} in its shape. Wrong: {', '.join(wrong)}")
    pruned = pruning.prune(scores, masks, fraction, scope=scope, min_density=min_density)
    if empty := [name for name, mask in pruned.items() if not mask.any()]:
        raise ExhaustedError(f"would remove all of {', '.join(map(repr, empty))}.")
    return pruned


def _shape(arrays: Mapping[str, Any], name: str) -> tuple[int, ...] | None:
    return np.shape(arrays[name]) if name in arrays else None
