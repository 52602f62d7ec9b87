"""Seeds derived from one seed, and data orders that are pure functions of (seed, step): any step can be the first."""

import hashlib
from collections.abc import Callable

import numpy as np

_DRAWS = 1  # part of the seed of `draws`, so that its random numbers differ from those of the permutations


def derive(seed: int, *path: str | int) -> int:
    """Return a 32-bit seed for one purpose, such as `derive(0, "replicate", 2, "data_order")`.

    Seeds are derived from names, so that a new purpose changes no other seed.

    Args:
        seed: The seed of the experiment.
        *path: The name of the purpose, and where it is in the experiment.
    """
    text = "/".join(str(part) for part in (seed, *path))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def batches(seed: int, examples: int, batch_size: int, from_step: int, to_step: int) -> np.ndarray:
    """Return which examples the steps from `from_step` to `to_step - 1` train on.

    Each epoch is a new permutation of all examples. Batches continue across the border of two epochs, so that every
    batch is full and every example is used equally often.

    Args:
        seed: An integer >= 0. Another seed gives another order.
        examples: The number of training examples.
        batch_size: The number of examples in each step.
        from_step, to_step: A half-open range of optimizer steps, counted from the start of training.

    Returns:
        An int32 array of shape `(to_step - from_step, batch_size)`: indices in [0, examples).
    """
    return _stream(lambda epoch: permutation(seed, epoch, examples), examples, batch_size, from_step, to_step)


def draws(
    shuffle_seed: int, augmentation_seed: int, examples: int, batch_size: int, from_step: int, to_step: int
) -> np.ndarray:
    """Return a random number for each example that `batches` returns, in the same order, to augment it by.

    Each example gets one number in each epoch. It depends on (augmentation_seed, epoch, example) only, and not on the
    position of the example in the epoch.

    Args:
        shuffle_seed: The `seed` of `batches`.
        augmentation_seed: An integer >= 0. Another seed gives other numbers.
        examples, batch_size, from_step, to_step: As for `batches`.

    Returns:
        An int32 array of shape `(to_step - from_step, batch_size)`, uniform in [0, 2^31).
    """

    def of_epoch(epoch: int) -> np.ndarray:
        by_example = np.random.default_rng((augmentation_seed, epoch, _DRAWS)).integers(2**31, size=examples)
        return by_example[permutation(shuffle_seed, epoch, examples)]

    return _stream(of_epoch, examples, batch_size, from_step, to_step)


def permutation(seed: int, epoch: int, examples: int) -> np.ndarray:
    """Return the order of the examples in an epoch: an integer array of shape `(examples,)`."""
    return np.random.default_rng((seed, epoch)).permutation(examples)


def _stream(
    of_epoch: Callable[[int], np.ndarray], examples: int, batch_size: int, from_step: int, to_step: int
) -> np.ndarray:
    """Concatenate what `of_epoch` returns for successive epochs, and cut a range of steps out of it."""
    start, stop = from_step * batch_size, to_step * batch_size
    epochs = range(start // examples, -(-stop // examples))
    stream = [of_epoch(epoch) for epoch in epochs] or [np.empty(0)]
    offset = start - start // examples * examples
    return np.concatenate(stream)[offset : offset + stop - start].reshape(-1, batch_size).astype(np.int32)
