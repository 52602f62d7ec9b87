"""How far apart two trainings of one subnetwork end, on the weights that its masks keep.

The stability of Frankle et al. 2019 (arXiv 1903.01611, the section on stability and appendix B): the less, the more
stable. And the barrier of linear mode connectivity (Frankle et al. 2020, arXiv 1912.05671).
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import ConfigError

ALL = "all"  # the weights together, beside the names of single ones
Measure = Callable[[Arrays, Arrays, Arrays], float]


def distance(first: Arrays, second: Arrays, masks: Arrays) -> float:
    """||m * first - m * second||, the L2 norm, over all weights that have a mask.

    Args:
        first, second: Arrays by weight name, of any float dtype, the same shape in both; computed in float64. Those
            without a mask (biases, BatchNorm) do not count.
        masks: Arrays of 0/1 by weight name; 1 = kept.

    Returns:
        0.0 for equal weights, and where nothing is kept; NaN or infinity where a kept weight is (a training diverged).

    Raises:
        PruningError: a mask has no weight in `first` or `second`, another shape, or values other than 0 and 1.

    >>> distance({"w": np.array([3.0, 9.0, 4.0])}, {"w": np.zeros(3)}, {"w": np.array([1, 0, 1])})
    5.0
    """
    u, v = _kept(first, masks), _kept(second, masks)
    with np.errstate(invalid="ignore"):  # infinity - infinity
        return float(np.linalg.norm(u - v))


def angle(first: Arrays, second: Arrays, masks: Arrays) -> float:
    """Return the angle between m * first and m * second as vectors, in degrees, 0-180, over all weights that have a mask.

    By Kahan's formula 2 atan2(|u - v|, |u + v|) of the unit vectors, which is as exact for nearly parallel and opposite
    vectors as for others; the arc cosine of their cosine similarity tells no angle below 1e-6 degrees from 0.

    Args:
        first, second, masks: As for `distance`.

    Returns:
        Exactly 0.0 for equal weights; NaN where all kept weights of one are zero or nothing is kept (there is no
        angle), and where a kept weight is not finite.

    Raises:
        PruningError: as for `distance`.

    >>> angle({"w": np.array([2.0, 9.0, 0.0])}, {"w": np.array([0.0, 9.0, 5.0])}, {"w": np.array([1, 0, 1])})
    90.0
    """
    u, v = _kept(first, masks), _kept(second, masks)
    if not (u.any() and v.any() and np.isfinite(u).all() and np.isfinite(v).all()):
        return math.nan
    if np.array_equal(u, v):
        return 0.0  # whatever order BLAS adds the squares of each in
    u, v = _unit(u), _unit(v)
    return math.degrees(2 * math.atan2(np.linalg.norm(u - v), np.linalg.norm(u + v)))


def by_weight(measure: Measure, first: Arrays, second: Arrays, masks: Arrays) -> dict[str, float]:
    """Return a measure of all weights with a mask together, under `"all"`, then of each alone, under its name.

    Args:
        measure: `distance` or `angle`.
        first, second, masks: As for `distance`.

    >>> by_weight(distance, {"a": np.ones(9), "b": np.ones(16)}, {"a": np.zeros(9), "b": np.zeros(16)},
    ...           {"a": np.ones(9), "b": np.ones(16)})
    {'all': 5.0, 'a': 3.0, 'b': 4.0}
    """
    together = {ALL: measure(first, second, masks)}
    return together | {name: measure(first, second, {name: mask}) for name, mask in masks.items()}


def barrier(values: Sequence[float]) -> float:
    """Return how much worse the worst point between two networks is than the two: max(values) - mean of both ends.

    Frankle et al. 2020 call a network stable where the barrier of the error between two of its copies is below 2%.

    Args:
        values: Error (or loss) along the line from one network's weights to the other's, at evenly spaced shares, both
            ends included.

    Returns:
        At least 0, in the unit of `values`; NaN where a value is.

    Raises:
        ConfigError: fewer than two values, so that there are no two ends.

    >>> barrier([0.25, 0.75, 0.5])
    0.375
    """
    if len(values) < 2:
        raise ConfigError(f"A barrier needs at least 2 points: both ends of the line. Received: {len(values)}")
    return float(np.max(values)) - (float(values[0]) + float(values[-1])) / 2


def _kept(arrays: Arrays, masks: Arrays) -> np.ndarray:
    """Return the kept weights in one float64 vector: what is pruned adds nothing to a norm."""
    masks = masks_lib.validate(masks, like={name: arrays[name] for name in masks if name in arrays})
    return np.concatenate([np.empty(0), *(arrays[name][mask] for name, mask in masks.items())], dtype=np.float64)


def _unit(vector: np.ndarray) -> np.ndarray:
    vector = vector / np.abs(vector).max()  # no square overflows or vanishes
    return vector / np.linalg.norm(vector)
