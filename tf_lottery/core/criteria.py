"""Pruning criteria: functions that score weights. The weights with the highest scores are kept.

All of them have the same arguments and results.

Args:
    initial: The weights that a level started from, at the rewind step: arrays by weight name, of any shape.
    trained: The weights that it ended with, of the same names and shapes.
    rng: A generator for criteria that draw random numbers. The others ignore it.

Returns:
    One score for each weight, in arrays of the same names and shapes.

Source:
    The names in brackets are those of Zhou, Lan, Liu, Yosinski 2019 (arXiv 1905.01067), section 3.
"""

from collections.abc import Callable

import numpy as np

from tf_lottery.core.masks import Arrays

Criterion = Callable[[Arrays, Arrays, np.random.Generator], dict[str, np.ndarray]]


def magnitude(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return |trained|, the criterion of both lottery ticket papers ("large final").

    Examples:
        >>> initial, trained = {"w": np.array([3.0, 1.0])}, {"w": np.array([-1.0, 2.0])}
        >>> magnitude(initial, trained, rng=None)["w"]
        array([1., 2.])
    """
    return {name: np.abs(weight) for name, weight in trained.items()}


def small_final(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return -|trained|, which keeps the smallest weights, as a sanity check ("small final").

    Examples:
        >>> initial, trained = {"w": np.array([3.0, 1.0])}, {"w": np.array([-1.0, 2.0])}
        >>> small_final(initial, trained, rng=None)["w"]
        array([-1., -2.])
    """
    return {name: -np.abs(weight) for name, weight in trained.items()}


def large_initial(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return |initial|, which ignores training ("large init").

    Examples:
        >>> initial, trained = {"w": np.array([3.0, 1.0])}, {"w": np.array([-1.0, 2.0])}
        >>> large_initial(initial, trained, rng=None)["w"]
        array([3., 1.])
    """
    return {name: np.abs(initial[name]) for name in trained}


def small_initial(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return -|initial|, which keeps the weights that were smallest before training ("small init").

    Examples:
        >>> initial, trained = {"w": np.array([3.0, 1.0])}, {"w": np.array([-1.0, 2.0])}
        >>> small_initial(initial, trained, rng=None)["w"]
        array([-3., -1.])
    """
    return {name: -np.abs(initial[name]) for name in trained}


def magnitude_increase(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return |trained| - |initial|, how far training has moved each weight away from zero ("magnitude increase").

    Examples:
        >>> initial, trained = {"w": np.array([3.0, 1.0])}, {"w": np.array([-1.0, 2.0])}
        >>> magnitude_increase(initial, trained, rng=None)["w"]
        array([-2.,  1.])
    """
    return {name: np.abs(weight) - np.abs(initial[name]) for name, weight in trained.items()}


def movement(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return |trained - initial|, how far training has moved each weight in any direction ("movement").

    Examples:
        >>> initial, trained = {"w": np.array([3.0, 1.0])}, {"w": np.array([-1.0, 2.0])}
        >>> movement(initial, trained, rng=None)["w"]
        array([4., 1.])
    """
    return {name: np.abs(weight - initial[name]) for name, weight in trained.items()}


def random(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw uniform scores in [0, 1), for random pruning whose masks still nest from level to level.

    Examples:
        >>> initial, trained = {"w": np.array([3.0, 1.0])}, {"w": np.array([-1.0, 2.0])}
        >>> random(initial, trained, np.random.default_rng(0))["w"].round(2)
        array([0.64, 0.27])
    """
    return {name: rng.random(weight.shape) for name, weight in trained.items()}


CRITERIA: dict[str, Criterion] = {
    "magnitude": magnitude,
    "small_final": small_final,
    "large_initial": large_initial,
    "small_initial": small_initial,
    "magnitude_increase": magnitude_increase,
    "movement": movement,
    "random": random,
}
