"""Pruning criteria: what makes a weight worth keeping. Higher scores are kept.

Each takes the weights a level started from (`initial`, at the rewind step), the weights it ended with
(`trained`) and a random generator, and returns one score per weight. The names in brackets are those
of Zhou et al. 2019 (arXiv 1905.01067).
"""

from collections.abc import Callable

import numpy as np

from tf_lottery.core.masks import Arrays

Criterion = Callable[[Arrays, Arrays, np.random.Generator], dict[str, np.ndarray]]


def magnitude(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """|trained|: the criterion of both lottery ticket papers ("large final")."""
    return {name: np.abs(weight) for name, weight in trained.items()}


def small_final(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """-|trained|: keeps the smallest weights, a sanity check ("small final")."""
    return {name: -np.abs(weight) for name, weight in trained.items()}


def large_initial(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """|initial|: training is ignored ("large init")."""
    return {name: np.abs(initial[name]) for name in trained}


def small_initial(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """-|initial| ("small init")."""
    return {name: -np.abs(initial[name]) for name in trained}


def magnitude_increase(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """|trained| - |initial|: how far training moved a weight away from zero ("magnitude increase")."""
    return {name: np.abs(weight) - np.abs(initial[name]) for name, weight in trained.items()}


def movement(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """|trained - initial|: how far training moved a weight at all ("movement")."""
    return {name: np.abs(weight - initial[name]) for name, weight in trained.items()}


def random(initial: Arrays, trained: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Uniform scores in [0, 1): random pruning that still nests from level to level."""
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
