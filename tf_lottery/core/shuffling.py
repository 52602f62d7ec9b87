"""Data order as a pure function of (seed, step): nothing to store, any step can be the first."""

from collections.abc import Callable

import numpy as np

_DRAWS = 1  # sets the draws' random numbers apart from the permutations'


def batches(seed: int, examples: int, batch_size: int, from_step: int, to_step: int) -> np.ndarray:
    """Return which examples the steps `from_step` … `to_step - 1` see.

    Each epoch is a new permutation of all examples. Batches run on across the border of two epochs, so
    every batch is full and every example is seen equally often.

    Args:
        seed: Any integer >= 0; another seed is another order.
        examples: Number of training examples.
        batch_size: Examples a step.
        from_step, to_step: Half-open range of optimizer steps, counted from the start of training.

    Returns:
        int32 array of shape (to_step - from_step, batch_size) of indices in [0, examples).
    """
    return _stream(lambda epoch: permutation(seed, epoch, examples), examples, batch_size, from_step, to_step)


def draws(
    shuffle_seed: int, augmentation_seed: int, examples: int, batch_size: int, from_step: int, to_step: int
) -> np.ndarray:
    """Return a random number for each example that `batches` returns, in its order, to derive the augmentation from.

    One draw an example an epoch: it belongs to (augmentation_seed, epoch, example), wherever in the epoch the example
    comes.

    Returns:
        int32 array of the shape of `batches`, uniform in [0, 2^31).
    """

    def of_epoch(epoch: int) -> np.ndarray:
        by_example = np.random.default_rng((augmentation_seed, epoch, _DRAWS)).integers(2**31, size=examples)
        return by_example[permutation(shuffle_seed, epoch, examples)]

    return _stream(of_epoch, examples, batch_size, from_step, to_step)


def permutation(seed: int, epoch: int, examples: int) -> np.ndarray:
    """Return the order in which an epoch sees its examples."""
    return np.random.default_rng((seed, epoch)).permutation(examples)


def _stream(
    of_epoch: Callable[[int], np.ndarray], examples: int, batch_size: int, from_step: int, to_step: int
) -> np.ndarray:
    """Return a range of steps cut out of the epochs, one after another."""
    start, stop = from_step * batch_size, to_step * batch_size
    epochs = range(start // examples, -(-stop // examples))
    stream = [of_epoch(epoch) for epoch in epochs] or [np.empty(0)]
    offset = start - start // examples * examples
    return np.concatenate(stream)[offset : offset + stop - start].reshape(-1, batch_size).astype(np.int32)
