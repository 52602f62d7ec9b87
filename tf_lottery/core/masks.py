"""Masks: boolean arrays by weight name, True (1) = kept."""

from collections.abc import Mapping

import numpy as np

from tf_lottery.errors import PruningError

Arrays = Mapping[str, np.ndarray]


def ones(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return masks that keep every weight, one for each entry of `shapes`."""
    return {name: np.ones(shape, bool) for name, shape in shapes.items()}


def validate(masks: Arrays, like: Arrays) -> dict[str, np.ndarray]:
    """Check that `masks` fit the arrays `like`, and return them as boolean arrays.

    Args:
        masks: Arrays of 0/1 by weight name, of any numeric dtype.
        like: Arrays by weight name. Only their names and shapes matter.

    Returns:
        New boolean arrays in the order of `like`.

    Raises:
        PruningError: `masks` is no mapping, a name is missing or unknown, a shape differs, or a value is neither 0 nor
            1. The message lists every fault.
    """
    if not isinstance(masks, Mapping):
        raise PruningError(f"Masks must be arrays of 0 and 1 by weight name. Received: {type(masks).__name__}")
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
    """Return `arrays` with the pruned entries set to +0.0. Arrays without a mask are returned as they are, not copied.

    >>> apply({"w": np.array([-1.0, 2.0])}, {"w": np.array([False, True])})["w"]
    array([0., 2.])
    """
    return {name: _zeroed(array, masks[name]) if name in masks else array for name, array in arrays.items()}


def _zeroed(array: np.ndarray, mask: np.ndarray) -> np.ndarray:
    # Not `array * mask`: that leaves -0.0 for negative weights and NaN for infinite ones. Multiplying the bits as
    # integers leaves neither. And `np.where` takes five times as long if the mask is random.
    bits = array.view(f"u{array.itemsize}") * mask.astype(bool, copy=False)
    return bits.view(array.dtype)


def kept(masks: Arrays) -> int:
    """Return the number of weights that all masks together keep."""
    return sum(int(np.count_nonzero(mask)) for mask in masks.values())


def density(masks: Arrays) -> float:
    """Return the share of the weights that all masks together keep, 0-1; 1 if there are no weights at all."""
    size = sum(mask.size for mask in masks.values())
    return kept(masks) / size if size else 1.0


def density_by_weight(masks: Arrays) -> dict[str, float]:
    """Return the share of kept entries, 0-1, for each weight name."""
    return {name: density({name: mask}) for name, mask in masks.items()}


def overlap(first: Arrays, second: Arrays) -> float:
    """Return the Jaccard index of two sets of masks, 0-1: weights kept by both / weights kept by either.

    It is 1 for two sets of masks that keep nothing at all.

    Raises:
        PruningError: the two sets have other names or shapes.
    """
    second = validate(second, like=first)
    both = sum(int(np.count_nonzero(mask & second[name])) for name, mask in first.items())
    either = sum(int(np.count_nonzero(mask | second[name])) for name, mask in first.items())
    return both / either if either else 1.0


def shuffle(masks: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return random masks that keep as many weights of each array as `masks` (the paper's random pruning).

    Only *which* weights are kept differs (Frankle et al. 2019, section 3).
    """
    return {name: rng.permutation(mask.ravel()).reshape(mask.shape) for name, mask in masks.items()}
