"""The controls: what a ticket must beat to show that its structure and its initialisation matter."""

import numpy as np

from tf_lottery.core import masks as masks_lib, seeds
from tf_lottery.core.masks import Arrays


def random_mask(masks: Arrays, seed: int, replicate: int, level: int) -> dict[str, np.ndarray]:
    """A random mask with the layerwise counts of the ticket's; it is trained from the *dense* weights at step k.

    Started from the ticket's own weights, most of what it keeps would be zero and the control would be crippled.
    """
    draw = seeds.derive(seed, "replicate", replicate, "random_mask", level)
    return masks_lib.shuffle(masks, np.random.default_rng(draw))


def reinit_seed(seed: int, replicate: int, level: int) -> int:
    """Seed of the new initialisation under the ticket's mask; it is trained from step 0 for the full T steps."""
    return seeds.derive(seed, "replicate", replicate, "reinit", level)
