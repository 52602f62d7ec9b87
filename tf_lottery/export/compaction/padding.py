"""What the taps of a convolution meet: cells of what comes in, or the zeros around it."""

import functools
from collections.abc import Sequence

import numpy as np


def taps(
    shape: Sequence[int | None], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], padding: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return which taps of a kernel meet the same everywhere.

    Args:
        shape: Spatial size of what comes in; None where any size will do.
        kernel: Spatial size of the kernel; strides and dilations likewise.
        strides: Of the convolution.
        dilations: Of the kernel.
        padding: `"valid"`, `"same"` or `"causal"`.

    Returns:
        Two boolean arrays, one entry a tap, in the order of the kernel: those that always meet a cell of what comes in,
        and those that meet a cell at some places and a zero at others. The rest always meet zeros.

    >>> taps([5], [3], [1], [1], "same")
    (array([False,  True, False]), array([ True, False,  True]))
    """
    axes = zip(shape, kernel, strides, dilations, strict=True)
    inside, outside = zip(*(_along(*axis, padding) for axis in axes), strict=True)
    always = functools.reduce(np.logical_and.outer, inside).ravel()
    return always, ~(always | functools.reduce(np.logical_or.outer, outside).ravel())


def _along(length: int | None, kernel: int, stride: int, dilation: int, padding: str) -> tuple[np.ndarray, np.ndarray]:
    """Return which taps along one axis are always inside, and which never."""
    if padding == "valid" or kernel == 1:
        return np.ones(kernel, bool), np.zeros(kernel, bool)
    if length is None:
        return np.zeros(kernel, bool), np.zeros(kernel, bool)
    places = -(-length // stride)
    reach = (kernel - 1) * dilation
    before = reach if padding == "causal" else max((places - 1) * stride + reach + 1 - length, 0) // 2
    cells = np.arange(places)[:, None] * stride + np.arange(kernel) * dilation - before
    inside = (cells >= 0) & (cells < length)
    return np.asarray(inside.all(0)), ~np.asarray(inside.any(0))
