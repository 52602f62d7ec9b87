"""Masks: boolean arrays by weight name, True (1) = kept."""

from collections.abc import Mapping

import numpy as np

from tf_lottery.errors import PruningError

Arrays = Mapping[str, np.ndarray]


def ones(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Masks that keep every weight, one per entry of `shapes`."""
    return {name: np.ones(shape, bool) for name, shape in shapes.items()}


def validate(masks: Arrays, like: Arrays) -> dict[str, np.ndarray]:
    """Check that `masks` fit the arrays `like` and returns them as boolean arrays.

    Args:
        masks: Arrays of 0/1 by weight name, of any numeric dtype.
        like: Arrays by weight name; only names and shapes are looked at.

    Returns:
        New boolean arrays in the order of `like`.

    Raises:
        PruningError: they are not by name, a name is missing or extra, a shape differs, or a value is neither 0 nor 1.
            The message lists every offender; nothing is returned in part.
    """
    if not isinstance(masks, Mapping):
        raise PruningError(f"Masks are arrays of 0 and 1 by weight name. Received: {type(masks).__name__}")
    masks = {name: np.asarray(mask) for name, mask in masks.items()}
    faults = [f"missing {name!r}" for name in like if name not in masks]
    faults += [f"unknown {name!r}" for name in masks if name not in like]
    for name, mask in masks.items():
        if name in like and mask.shape != np.shape(like[name]):
            faults.append(f"{name!r} has shape {mask.shape}, expected {np.shape(like[name])}")
        elif mask.dtype != bool and not np.isin(mask, (0, 1)).all():
            faults.append(f"{name!r} holds values other than 0 and 1")
    if faults:
        raise PruningError(f"Masks must fit the weights they are for: {'; '.join(faults)}.")
    return {name: masks[name].astype(bool) for name in like}


def apply(arrays: Arrays, masks: Arrays) -> dict[str, np.ndarray]:
    """Set the pruned entries of `arrays` to +0.0; arrays without a mask are passed on as they are.

    >>> apply({"w": np.array([-1.0, 2.0])}, {"w": np.array([False, True])})["w"]
    array([0., 2.])
    """
    return {name: _zeroed(array, masks[name]) if name in masks else array for name, array in arrays.items()}


def _zeroed(array: np.ndarray, mask: np.ndarray) -> np.ndarray:
    # Not `array * mask`: that leaves -0.0 for negative weights and NaN for infinite ones. Their bits as integers have
    # neither; and `np.where` takes five times as long where the mask is random.
    bits = array.view(f"u{array.itemsize}") * mask.astype(bool, copy=False)
    return bits.view(array.dtype)


def kept(masks: Arrays) -> int:
    """Number of weights that `masks` keep, all together."""
    return sum(int(np.count_nonzero(mask)) for mask in masks.values())


def density(masks: Arrays) -> float:
    """Share of the weights that `masks` keep, 0-1, all together. No weights at all count as 1."""
    size = sum(mask.size for mask in masks.values())
    return kept(masks) / size if size else 1.0


def density_by_weight(masks: Arrays) -> dict[str, float]:
    """Share of kept weights, 0-1, for each weight name."""
    return {name: density({name: mask}) for name, mask in masks.items()}


def overlap(first: Arrays, second: Arrays) -> float:
    """Jaccard index of two sets of masks, 0-1: weights kept by both / weights kept by either.

    Two sets that keep nothing at all are equal: 1.
    """
    second = validate(second, like=first)
    both = sum(int(np.count_nonzero(mask & second[name])) for name, mask in first.items())
    either = sum(int(np.count_nonzero(mask | second[name])) for name, mask in first.items())
    return both / either if either else 1.0


def shuffle(masks: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random masks with the same number of kept weights in each array (the paper's random pruning).

    The counts by layer are those of `masks`, so that only *which* weights are kept differs
    (Frankle et al. 2019, section 3).
    """
    return {name: rng.permutation(mask.ravel()).reshape(mask.shape) for name, mask in masks.items()}
