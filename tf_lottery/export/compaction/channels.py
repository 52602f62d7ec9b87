"""The channels of all tensors in a graph, and which of them can only go together."""

from collections.abc import Iterable

import numpy as np

from tf_lottery.keras_compat import Tensor


def count(tensor: Tensor) -> int | None:
    """Length of the last axis; None where there is none, or it is not known."""
    return tensor.shape[-1] if len(tensor.shape) > 1 else None


class Channels:
    """Numbers for the channels of tensors, and groups of those that are bound to each other."""

    def __init__(self, tensors: Iterable[Tensor]):
        self._start: dict[Tensor, int] = {}
        self._size = 0
        self._bonds: list[tuple[np.ndarray, np.ndarray]] = []
        for tensor in tensors:
            self._start[tensor] = self._size
            self._size += count(tensor) or 0

    def bind(self, first: np.ndarray, second: np.ndarray) -> None:
        """Have channels, given by numbers, go only with their partners."""
        self._bonds.append((first, second))

    def numbers(self, tensor: Tensor) -> np.ndarray:
        """Of shape (channels,); empty where the channels are not known."""
        return self._start[tensor] + np.arange(count(tensor) or 0)

    def groups(self) -> dict[Tensor, np.ndarray]:
        """For each tensor, of shape (channels,), the groups of its channels: the lowest number in each."""
        lowest = np.arange(self._size)
        before = None
        while before is None or (before != lowest).any():
            before = lowest.copy()
            for first, second in self._bonds:
                np.minimum.at(lowest, first, lowest[second])
                np.minimum.at(lowest, second, lowest[first])
            lowest = lowest[lowest]
        return {tensor: lowest[self.numbers(tensor)] for tensor in self._start}
