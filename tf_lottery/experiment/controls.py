"""The controls: what a ticket must beat to show that its structure, its initialisation, or its signs matter.

`"random_mask"` keeps other weights, `"reinit"` draws others (both papers). The rest are treatments of Zhou et al. 2019
(arXiv 1905.01067, section 4): the ticket's mask on the weights of step k, altered, as they are or with the signs kept.
All that alter weights start with a new optimizer, as no momentum belongs to such weights; the random mask goes on with
that of step k.
"""

from collections.abc import Callable

import numpy as np

from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays

REINITIALISED = ("reinit", "reinit_signs")  # trained from step 0 for the full T steps
CONTROLS = ("random_mask", *REINITIALISED, "reshuffle", "reshuffle_signs", "constant", "constant_signs")
_SIGNS = "_signs"


def random_mask(masks: Arrays, seed: int) -> dict[str, np.ndarray]:
    """Return a random mask with the layerwise counts of the ticket's; it is trained from the *dense* weights at step k.

    Started from the ticket's own weights, most of what it keeps would be zero and the control would be crippled.
    """
    return masks_lib.shuffle(masks, np.random.default_rng(seed))


def treated(
    control: str, weights: Arrays, masks: Arrays, seed: int, drawn: Arrays | None = None
) -> dict[str, np.ndarray]:
    """Return the weights that a control starts from, before its mask is applied.

    Args:
        control: One of `CONTROLS`.
        weights: All variables of the dense network at step k.
        masks: Those of the ticket.
        seed: Of the draws of reshuffled and constant weights.
        drawn: All variables of a new network, for the reinitialised ones.

    Returns:
        `weights` for the random mask. A new network for reinit. Else `weights`, with other values for what has a mask:
        the kept weights of each layer in another order (reshuffle), or the standard deviation of all the layer's
        weights of step k with random signs (constant; at k = 0 that of the initialisation, as in the source). With
        `_signs`, each weight has the sign that it had.
    """
    rng, kind = np.random.default_rng(seed), control.removesuffix(_SIGNS)
    start = dict(drawn or {} if kind == "reinit" else weights)
    for name, mask in masks.items():
        if kind in _TREATMENTS:
            start[name] = _TREATMENTS[kind](weights[name], mask, rng)
        if control.endswith(_SIGNS):
            start[name] = np.copysign(start[name], weights[name])
    return start


def _reshuffled(weight: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shuffled, kept = np.zeros_like(weight), np.asarray(mask, bool)
    shuffled[kept] = rng.permutation(weight[kept])
    return shuffled


def _constant(weight: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = np.std(weight, dtype=np.float64).astype(weight.dtype)
    return size * rng.choice(np.array([-1, 1], weight.dtype), weight.shape)


_TREATMENTS: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]] = {
    "reshuffle": _reshuffled,
    "constant": _constant,
}
