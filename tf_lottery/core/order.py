"""Data order as a pure function of (seed, step): nothing to store, any step can be the first."""

import numpy as np


def batches(seed: int, examples: int, batch_size: int, from_step: int, to_step: int) -> np.ndarray:
    """Which examples the steps `from_step` … `to_step - 1` see.

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
    start, stop = from_step * batch_size, to_step * batch_size
    epochs = range(start // examples, -(-stop // examples))
    stream = [np.random.default_rng((seed, epoch)).permutation(examples) for epoch in epochs] or [np.empty(0)]
    offset = start - start // examples * examples
    return np.concatenate(stream)[offset : offset + stop - start].reshape(-1, batch_size).astype(np.int32)
