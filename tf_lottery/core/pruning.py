"""Pruning by scores, with exact counts.

`next_masks` computes the masks of the next level: it scores the weights by a criterion, prunes those with the lowest
scores, and checks the result. `prune` does the pruning itself, for scores of any kind.
"""

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from tf_lottery.core import masks as masks_lib
from tf_lottery.core.criteria import CRITERIA, Criterion
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import ExhaustedError, PruningError

SCOPES = ("global", "layerwise")
Share = float | int | str | Decimal | Fraction
_SAMPLE = 2**16  # the number of scores from which the position of the cut is estimated
_NAMED = 5  # the longest list of names in a sentence
_LONGEST_EXPONENT = len("-324")  # the longest that a float can have


def next_masks(
    initial: Arrays,
    trained: Arrays,
    masks: Arrays,
    *,
    criterion: str | Criterion,
    fraction: Share | Mapping[str, Share],
    scope: str,
    rng: np.random.Generator,
    min_density: Share | None = None,
) -> dict[str, np.ndarray]:
    """Compute the masks of the next level.

    Args:
        initial, trained: The weights that a level started from and ended with: arrays by weight name. Only weights that
            have a mask are scored.
        masks: The masks of the same level. They are left unchanged.
        criterion: A name in `criteria.CRITERIA`, or a function with the same arguments and results.
        fraction, scope: See `prune`.
        rng: A generator for criteria that draw random numbers.
        min_density: See `prune`. Defaults to None: global pruning keeps at least one weight of each array.

    Returns:
        New boolean masks; every zero of `masks` is still zero.

    Raises:
        ExhaustedError: pruning would remove the last weights of an array, or `prune` raises it.
        PruningError: a weight is NaN or infinite, the criterion does not return one score for each weight, or `prune`
            raises it.
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
        raise PruningError(
            f"The criterion must return scores for exactly {list(masks)}, each in the shape of the weight. "
            f"Wrong: {', '.join(wrong)}"
        )
    pruned = prune(scores, masks, fraction, scope=scope, min_density=min_density)
    if emptied := [name for name, mask in pruned.items() if masks[name].any() and not mask.any()]:
        raise ExhaustedError(f"would remove all of {', '.join(map(repr, emptied))}.")
    return pruned


def prune(
    scores: Arrays,
    masks: Arrays,
    fraction: Share | Mapping[str, Share],
    *,
    scope: str = "global",
    min_density: Share | None = 0,
) -> dict[str, np.ndarray]:
    """Remove the lowest-scoring `fraction` of the weights that `masks` still keep.

    Exactly `round(fraction * kept)` weights are removed. Equal scores are removed in index order, starting with the
    first array.

    Args:
        scores: Arrays by weight name, of any shape. Weights with higher scores are kept. Scores of pruned weights are
            ignored.
        masks: Arrays of 0/1 with the names and shapes of `scores`; 1 = kept. They are left unchanged.
        fraction: The share of the kept weights to remove, in [0, 1). It is a ratio, not a percentage. With
            `scope="layerwise"` it can also be one share for each weight name.
        scope: `"global"` ranks all weights together, `"layerwise"` ranks each array by itself. Defaults to `"global"`.
        min_density: With `scope="global"`, the share of each array that is always kept: the weights with its highest
            scores are protected. The total number of removed weights does not change. None protects one weight of each
            array. Defaults to 0: no weight is protected.

    Returns:
        New boolean masks; every zero of `masks` is still zero.

    Raises:
        PruningError: names or shapes differ, the score of a kept weight is NaN, or `fraction` or `scope` is invalid.
        ExhaustedError: so many weights are protected that too few are left to remove.

    >>> prune({"w": np.array([3., 1., 2., 4.])}, {"w": np.ones(4)}, 0.5)["w"]
    array([ True, False, False,  True])
    """
    masks = masks_lib.validate(masks, like=scores)
    for name, mask in masks.items():
        if _may_hold_nan(scores[name]) and (np.isnan(scores[name]) & mask).any():
            raise PruningError(f"Scores must be numbers; {name!r} holds NaN. Did training diverge?")
    if scope == "global":
        return _prune_together(scores, masks, _fraction_for_all(fraction), _minimum(masks, min_density))
    if scope == "layerwise":
        if min_density:
            raise PruningError(
                '`min_density` needs scope="global": scope="layerwise" sets the fraction of each layer directly.'
            )
        fractions = _fraction_for_each(masks, fraction)
        return {
            name: _prune_together({name: scores[name]}, {name: mask}, fractions[name], {name: 0})[name]
            for name, mask in masks.items()
        }
    raise PruningError(f"`scope` must be one of {', '.join(SCOPES)}. Received: scope={scope!r}")


def criterion_named(criterion: str | Criterion) -> Criterion:
    """Return the criterion with a name from `criteria.CRITERIA`; return a function unchanged.

    Raises:
        PruningError: there is no criterion with that name.
    """
    if callable(criterion):
        return criterion
    if not isinstance(criterion, str) or criterion not in CRITERIA:
        raise PruningError(
            f"`criterion` must be one of {', '.join(CRITERIA)}, or a function of (initial, trained, rng). "
            f"Received: criterion={criterion!r}"
        )
    return CRITERIA[criterion]


def exact(fraction: Share) -> Fraction:
    """Convert a share to an exact fraction, as its decimals are written: 0.2 becomes 1/5, not the nearest float.

    Raises:
        PruningError: `fraction` is not a number in [0, 1).
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


def number_to_remove(kept: int, fraction: Share) -> int:
    """Return `round(fraction * kept)`, computed in exact arithmetic. Halves round to the nearest even number."""
    return round(exact(fraction) * kept)


def check_levels(
    masks: Arrays,
    fraction_at: Callable[[int], Share | Mapping[str, Share]],
    levels: int,
    *,
    scope: str,
    min_density: Share | None = None,
) -> None:
    """Check that no level runs out of weights, as far as this does not depend on the scores.

    It depends on them only in one case: with `scope="global"` and `min_density=0`, a level can remove all weights of an
    array even if enough are left in others.

    Args:
        masks: The masks of level 0.
        fraction_at: The schedule, a function that takes a level and returns a `fraction` for `prune`.
        levels: The number of levels to check, from level 1.
        scope, min_density: See `next_masks`.

    Raises:
        ExhaustedError: a level would run out of weights.
        PruningError: the fraction of a level is invalid.

    >>> check_levels({"w": np.ones(4)}, lambda level: 0.5, 2, scope="global")  # 4, 2, 1
    """
    kept = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    if scope == "layerwise":
        _check_each(kept, fraction_at, levels)
    else:
        minimum = _minimum(masks, min_density).items()
        needed = sum(max(least, min(kept[name], 1)) for name, least in minimum)  # no array may be emptied in any case
        _check_together(sum(kept.values()), needed, fraction_at, levels)


def _check_each(kept: dict[str, int], fraction_at: Callable[[int], Any], levels: int) -> None:
    for level in range(1, levels + 1):
        fractions = _fraction_for_each(kept, fraction_at(level))
        for name, before in kept.items():
            kept[name] -= number_to_remove(before, fractions[name])
            if before and not kept[name]:
                raise ExhaustedError(
                    f"Level {level} would remove all of {name!r}: ask for fewer levels, a smaller fraction, a lower "
                    'rate for this weight, or scope="global".'
                )


def _check_together(kept: int, needed: int, fraction_at: Callable[[int], Any], levels: int) -> None:
    for level in range(1, levels + 1):
        kept -= number_to_remove(kept, _fraction_for_all(fraction_at(level)))
        if kept < needed:
            raise ExhaustedError(
                f"Level {level} would keep {kept} weights, fewer than the {needed} that the minima of all arrays add "
                "up to: ask for fewer levels, a smaller fraction or a smaller minimum."
            )


def report_minimum(before: Arrays, masks: Arrays) -> str:
    """Return a sentence on the arrays that pruning has brought to a single weight, the default minimum, or `""`.

    Args:
        before, masks: The masks before and after pruning.

    >>> report_minimum({"a": np.array([1, 1]), "b": np.array([1, 1])}, {"a": np.array([1, 0]), "b": np.array([1, 1])})
    "a single weight, the minimum, is left of 'a'. Exclude such arrays from pruning if the network needs them."
    """
    names = [name for name, mask in masks.items() if np.count_nonzero(mask) == 1 < np.count_nonzero(before[name])]
    if not names:
        return ""
    others = f" and of {len(names) - _NAMED} others" if len(names) > _NAMED else ""
    return (
        f"a single weight, the minimum, is left of {', '.join(map(repr, names[:_NAMED]))}{others}. "
        "Exclude such arrays from pruning if the network needs them."
    )


def _shape(arrays: Mapping[str, Any], name: str) -> tuple[int, ...] | None:
    return np.shape(arrays[name]) if name in arrays else None


def _short(written: str) -> str:
    """Raise ValueError for numbers such as "1e-1000000000", whose digits would take too long to write out."""
    if len(written.lower().partition("e")[2]) > _LONGEST_EXPONENT:
        raise ValueError(written)
    return written


def _fraction_for_all(fraction: Share | Mapping[str, Share]) -> Share:
    if isinstance(fraction, Mapping):
        raise PruningError('A fraction for each weight needs scope="layerwise"; scope="global" takes one number.')
    return fraction


def _fraction_for_each(masks: Mapping[str, Any], fraction: Share | Mapping[str, Share]) -> Mapping[str, Share]:
    if not isinstance(fraction, Mapping):
        return dict.fromkeys(masks, fraction)
    if set(fraction) != set(masks):
        raise PruningError(f"`fraction` must have an entry for exactly {sorted(masks)}. Received: {sorted(fraction)}")
    return fraction


def _may_hold_nan(scores: np.ndarray) -> bool:
    """Return whether any score is NaN, by its minimum: this takes half the time of testing every score."""
    with np.errstate(invalid="ignore"):  # bfloat16 warns about NaN
        return bool(scores.size and np.isnan(np.min(scores)))


def _prune_together(
    scores: Arrays, masks: Arrays, fraction: Share, minimum: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """Remove the lowest-scoring weights of all arrays, but keep a number of weights of each, by name."""
    remove = number_to_remove(masks_lib.kept(masks), fraction)
    pruned = _removed(scores, masks, remove)
    if all(np.count_nonzero(pruned[name]) >= least for name, least in minimum.items()):
        return pruned  # what a minimum protects is the last to go, so it changes nothing here
    protected = {
        name: _removed({name: scores[name]}, {name: mask}, int(np.count_nonzero(mask)) - minimum[name])[name]
        for name, mask in masks.items()
    }
    candidates = {name: mask & ~protected[name] for name, mask in masks.items()}
    if remove > (left := masks_lib.kept(candidates)):
        raise ExhaustedError(
            f"would remove {remove} weights, but the minimum of each array leaves only {left} to choose from."
        )
    survivors = _removed(scores, candidates, remove)
    return {name: survivors[name] | protected[name] for name in masks}


def _minimum(masks: Arrays, min_density: Share | None) -> dict[str, int]:
    """Return how many weights of each array `min_density` protects: at most those that are kept."""
    share = None if min_density is None else exact(min_density)
    return {
        name: min(int(np.count_nonzero(mask)), 1 if share is None else math.ceil(share * mask.size))
        for name, mask in masks.items()
    }


def _removed(scores: Arrays, masks: Arrays, remove: int) -> dict[str, np.ndarray]:
    """Return the masks without the `remove` kept weights that score lowest, by rank, in linear time.

    First, a bracket of two scores is estimated. Weights below it are removed and weights above it stay, so that only
    the few weights inside it have to be ordered.
    """
    if not remove:
        return {name: mask.copy() for name, mask in masks.items()}
    bracket = _bracket(scores, masks, remove)
    stays, between = _split(scores, masks, bracket)
    missing = remove - (masks_lib.kept(masks) - masks_lib.kept(stays))
    if not 0 < missing <= sum(indices.size for indices in between.values()):  # the estimate was wrong
        stays, between = _split(scores, masks, None)
        missing = remove
    between_scores = np.concatenate([np.ravel(scores[name])[indices] for name, indices in between.items()])
    lowest = _lowest(between_scores, missing)
    ends = np.cumsum([indices.size for indices in between.values()])[:-1]
    for (name, indices), is_removed in zip(between.items(), np.split(lowest, ends), strict=True):
        np.put(stays[name], indices[is_removed], False)
    return stays


def _bracket(scores: Arrays, masks: Arrays, remove: int) -> tuple[Any, Any] | None:
    """Return two scores between which the highest score to remove lies almost surely.

    They are estimated from the ranks in a sample (Floyd and Rivest 1975). The result is None if there are too few
    weights to take a sample, or if the rank is too close to either end.
    """
    kept = masks_lib.kept(masks)
    if kept < 16 * _SAMPLE:
        return None
    every = kept // _SAMPLE | 1  # odd, so that the sample contains all channels of a layer
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
    """Return masks of the kept weights in or above `bracket`, and the flat indices of the kept weights in it.

    If `bracket` is None, all kept weights count as inside it.
    """
    if bracket is None:
        return {name: mask.copy() for name, mask in masks.items()}, _indices(masks)
    low, high = bracket
    stays, between = {}, {}
    for name, mask in masks.items():
        with np.errstate(invalid="ignore"):  # bfloat16 warns about NaN, which may be the score of a pruned weight
            stays[name], between[name] = np.asarray(scores[name] >= low), np.asarray(scores[name] <= high)
        stays[name] &= mask  # in place, because new memory takes longer than the comparison
        between[name] &= stays[name]
    return stays, _indices(between)


def _indices(masks: Arrays) -> dict[str, np.ndarray]:
    return {name: np.flatnonzero(mask) for name, mask in masks.items()}


def _lowest(scores: np.ndarray, number: int) -> np.ndarray:
    """Return a mask of the `number` lowest entries of a flat array.

    Among equal entries, the first ones are chosen (test_equal_scores_go_in_index_order).
    """
    threshold = np.partition(scores, number - 1)[number - 1]
    lowest = scores < threshold
    lowest[np.flatnonzero(scores == threshold)[: number - np.count_nonzero(lowest)]] = True
    return lowest
