"""The controls: what a ticket must beat to show that its structure and its initialisation matter.

The other one, `"reinit"`, is the ticket's mask on a new initialisation, trained from step 0 for the full T steps.
"""

import numpy as np

from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays


def random_mask(masks: Arrays, seed: int) -> dict[str, np.ndarray]:
    """A random mask with the layerwise counts of the ticket's; it is trained from the *dense* weights at step k.

    Started from the ticket's own weights, most of what it keeps would be zero and the control would be crippled.
    """
    return masks_lib.shuffle(masks, np.random.default_rng(seed))
