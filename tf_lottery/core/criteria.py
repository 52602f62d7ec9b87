"""Pruning criteria: what makes a weight worth keeping. Higher scores are kept.

Args:
    initial: The weights a level started from, at the rewind step; arrays by weight name, any shape.
    trained: The weights it ended with; the same names and shapes.
    rng: For criteria that draw; the others do not look at it.

Returns:
    One score per weight, in arrays of the same names and shapes.

Source:
    The names in brackets are those of Zhou, Lan, Liu, Yosinski 2019 (arXiv 1905.01067), section 3.
"""

from collections.abc import Callable

import numpy as np

from tf_lottery.core.masks import Arrays

Criterion = Callable[[Arrays, Arrays, np.random.Generator], dict[str, np.ndarray]]


def magnitude(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """|trained|: the criterion of both lottery ticket papers ("large final").

    Examples:
        >>> initial, trained = {"w": np.array([3.0, 1.0])}, {"w": np.array([-1.0, 2.0])}
        >>> magnitude(initial, trained, rng=None)["w"]
        array([1., 2.])
    """
    return {name: np.abs(weight) for name, weight in trained.items()}


def small_final(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """-|trained|: keeps the smallest weights, a sanity check ("small final").

    Examples:
        >>> initial, trained = {"w": np.array([3.0, 1.0])}, {"w": np.array([-1.0, 2.0])}
        >>> small_final(initial, trained, rng=None)["w"]
        array([-1., -2.])
    """
    return {name: -np.abs(weight) for name, weight in trained.items()}


def large_initial(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """|initial|: training is ignored ("large init").

    Examples:
        >>> initial, trained = {"w": np.array([3.0, 1.0])}, {"w": np.array([-1.0, 2.0])}
        >>> large_initial(initial, trained, rng=None)["w"]
        array([3., 1.])
    """
    return {name: np.abs(initial[name]) for name in trained}


def small_initial(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """-|initial| ("small init").

    Examples:
        >>> initial, trained = {"w": np.array([3.0, 1.0])}, {"w": np.array([-1.0, 2.0])}
        >>> small_initial(initial, trained, rng=None)["w"]
        array([-3., -1.])
    """
    return {name: -np.abs(initial[name]) for name in trained}


def magnitude_increase(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """|trained| - |initial|: how far training moved a weight away from zero ("magnitude increase").

    Examples:
        >>> initial, trained = {"w": np.array([3.0, 1.0])}, {"w": np.array([-1.0, 2.0])}
        >>> magnitude_increase(initial, trained, rng=None)["w"]
        array([-2.,  1.])
    """
    return {name: np.abs(weight) - np.abs(initial[name]) for name, weight in trained.items()}


def movement(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """|trained - initial|: how far training moved a weight at all ("movement").

    Examples:
        >>> initial, trained = {"w": np.array([3.0, 1.0])}, {"w": np.array([-1.0, 2.0])}
        >>> movement(initial, trained, rng=None)["w"]
        array([4., 1.])
    """
    return {name: np.abs(weight - initial[name]) for name, weight in trained.items()}


def random(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Uniform scores in [0, 1): random pruning that still nests from level to level.

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
