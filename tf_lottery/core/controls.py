"""Controls: networks that a ticket must beat to show that its structure, its initialisation or its signs matter.

`"random_mask"` keeps other weights, and `"reinit"` draws new values for the same weights (Frankle et al. 2019, arXiv
1903.01611, section 3; Frankle, Carbin 2019, arXiv 1803.03635, section 2). The other controls are from Zhou et al. 2019
(arXiv 1905.01067, section 4): they apply the ticket's mask to altered weights of step k, and some preserve the signs.
"""

from collections.abc import Callable

import numpy as np

from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays
from tf_lottery.core.start_points import StartPoint

# A control with altered weights starts with a new optimizer, because the stored momentum belongs to the original ones.
_ALTERED = StartPoint("rewind", "new")
_REINITIALISED = StartPoint("new", "new", at_zero=True)
CONTROLS = {
    "random_mask": StartPoint("rewind", "rewind"),
    "reinit": _REINITIALISED,
    "reinit_signs": _REINITIALISED,
    "reshuffle": _ALTERED,
    "reshuffle_signs": _ALTERED,
    "constant": _ALTERED,
    "constant_signs": _ALTERED,
}
_SIGNS = "_signs"


def random_mask(masks: Arrays, seed: int) -> dict[str, np.ndarray]:
    """Draw a random mask that keeps as many weights of each layer as `masks`.

    Apply it to the *dense* weights of step k: most of the weights that it keeps are zero in the ticket.
    """
    return masks_lib.shuffle(masks, np.random.default_rng(seed))


def start_weights(
    control: str, at_k: Arrays, masks: Arrays, *, seed: int, new: Arrays | None = None
) -> dict[str, np.ndarray]:
    """Return the weights that a control starts with, before its mask is applied.

    Args:
        control: One of `CONTROLS`.
        at_k: All variables of the dense network at step k, by name.
        masks: The masks of the ticket.
        seed: Seed of reshuffled and constant weights.
        new: All variables of a newly initialised network; needed by `"reinit"` and `"reinit_signs"`. Defaults to None.

    Returns:
        All variables, by name. `"random_mask"`: the values at step k. `"reinit"`: `new`. `"reshuffle"`: the values at
        step k, with the kept weights of each layer in random order. `"constant"`: the values at step k, with all
        weights of a layer set to their standard deviation with random signs (at k = 0, this is the standard deviation
        of the initialisation, as in the paper). With the suffix `_signs`, every weight has its sign at step k.
    """
    rng, kind = np.random.default_rng(seed), control.removesuffix(_SIGNS)
    start = dict(new or {} if CONTROLS[control].weights == "new" else at_k)
    for name, mask in masks.items():
        if kind in _VALUES:
            start[name] = _VALUES[kind](at_k[name], mask, rng)
        if control.endswith(_SIGNS):
            start[name] = np.copysign(start[name], at_k[name])
    return start


def _reshuffled(weight: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shuffled, kept = np.zeros_like(weight), np.asarray(mask, bool)
    shuffled[kept] = rng.permutation(weight[kept])
    return shuffled


def _constant(weight: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = np.std(weight, dtype=np.float64).astype(weight.dtype)
    return size * rng.choice(np.array([-1, 1], weight.dtype), weight.shape)


_VALUES: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]] = {
    "reshuffle": _reshuffled,
    "constant": _constant,
}
