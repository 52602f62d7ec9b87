"""What happens between two levels: score, check, prune."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_lottery.core import pruning
from tf_lottery.core.criteria import CRITERIA, Criterion
from tf_lottery.core.masks import Arrays
from tf_lottery.core.pruning import Share
from tf_lottery.errors import ExhaustedError, PruningError


def criterion_named(criterion: str | Criterion) -> Criterion:
    """A criterion by its name, or a function as it is.

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
    """The masks of the next level.

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
