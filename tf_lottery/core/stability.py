"""Stability: how far apart two runs of training of one subnetwork end, measured on the weights that its masks keep.

The distance and the angle are from Frankle et al. 2019 (arXiv 1903.01611, the section on stability and appendix B): the
smaller they are, the more stable is the subnetwork. The barrier is that of linear mode connectivity (Frankle et al.
2020, arXiv 1912.05671).
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import ConfigError

ALL = "all"  # the key of all weights together, beside the names of single weights
Measure = Callable[[Arrays, Arrays, Arrays], float]


def distance(first: Arrays, second: Arrays, masks: Arrays) -> float:
    """Return the L2 norm ||m * first - m * second|| over all weights that have a mask.

    Args:
        first, second: Arrays by weight name, of any float dtype, with the same shapes. The norm is computed in float64.
            Arrays without a mask (biases, BatchNorm) do not count.
        masks: Arrays of 0/1 by weight name; 1 = kept.

    Returns:
        The distance: 0.0 if the weights are equal or nothing is kept; NaN or infinity if a kept weight is not finite,
        because training diverged.

    Raises:
        PruningError: a mask has no weight in `first` or `second`, has another shape, or has values other than 0 and 1.

    >>> distance({"w": np.array([3.0, 9.0, 4.0])}, {"w": np.zeros(3)}, {"w": np.array([1, 0, 1])})
    5.0
    """
    u, v = _kept(first, masks), _kept(second, masks)
    with np.errstate(invalid="ignore"):  # infinity - infinity
        return _norm(u - v)


def angle(first: Arrays, second: Arrays, masks: Arrays) -> float:
    """Return the angle between the vectors m * first and m * second, over all weights that have a mask.

    It is computed by Kahan's formula 2 atan2(|u - v|, |u + v|) for unit vectors, which is as exact for nearly parallel
    and nearly opposite vectors as for others. The arc cosine of the cosine similarity would not distinguish angles
    below 1e-6 degrees from 0.

    Args:
        first, second, masks: As for `distance`.

    Returns:
        The angle in degrees, 0-180: exactly 0.0 if the weights are equal; NaN if a kept weight is not finite, if
        nothing is kept, or if all kept weights of one are zero, so that there is no angle.

    Raises:
        PruningError: as for `distance`.

    >>> angle({"w": np.array([2.0, 9.0, 0.0])}, {"w": np.array([0.0, 9.0, 5.0])}, {"w": np.array([1, 0, 1])})
    90.0
    """
    u, v = _kept(first, masks), _kept(second, masks)
    if not (u.any() and v.any() and np.isfinite(u).all() and np.isfinite(v).all()):
        return math.nan
    if np.array_equal(u, v):
        return 0.0
    u, v = _unit(u), _unit(v)
    return math.degrees(2 * math.atan2(_norm(u - v), _norm(u + v)))


def by_weight(measure: Measure, first: Arrays, second: Arrays, masks: Arrays) -> dict[str, float]:
    """Compute a measure for all weights with a mask together, and for each of them alone.

    Args:
        measure: `distance` or `angle`.
        first, second, masks: As for `distance`.

    Returns:
        The measure of all weights under `"all"`, then that of each weight under its name.

    >>> by_weight(distance, {"a": np.ones(9), "b": np.ones(16)}, {"a": np.zeros(9), "b": np.zeros(16)},
    ...           {"a": np.ones(9), "b": np.ones(16)})
    {'all': 5.0, 'a': 3.0, 'b': 4.0}
    """
    together = {ALL: measure(first, second, masks)}
    return together | {name: measure(first, second, {name: mask}) for name, mask in masks.items()}


def barrier(values: Sequence[float]) -> float:
    """Return the barrier between two networks: the highest value on the line between them, minus the mean of both ends.

    Frankle et al. 2020 call a network stable if the barrier of the error between two copies of it is below 2%.

    Args:
        values: The error (or loss) at evenly spaced points on the line from the weights of one network to those of the
            other, both ends included.

    Returns:
        A number >= 0 in the unit of `values`; NaN if any value is NaN.

    Raises:
        ConfigError: there are fewer than two values.

    >>> barrier([0.25, 0.75, 0.5])
    0.375
    """
    if len(values) < 2:
        raise ConfigError(f"A barrier needs at least 2 points: both ends of the line. Received: {len(values)}")
    return float(np.max(values)) - (float(values[0]) + float(values[-1])) / 2


def _kept(arrays: Arrays, masks: Arrays) -> np.ndarray:
    """Return the kept weights as one float64 vector; pruned weights would add nothing to a norm."""
    masks = masks_lib.validate(masks, like={name: arrays[name] for name in masks if name in arrays})
    return np.concatenate([np.empty(0), *(arrays[name][mask] for name, mask in masks.items())], dtype=np.float64)


def _unit(vector: np.ndarray) -> np.ndarray:
    vector = vector / np.abs(vector).max()  # so that no square overflows or underflows
    return vector / _norm(vector)


def _norm(vector: np.ndarray) -> float:
    """Return the L2 norm. Not `np.linalg.norm`: BLAS adds in an order that depends on the processor and its threads."""
    return math.sqrt(np.sum(np.square(vector)))
