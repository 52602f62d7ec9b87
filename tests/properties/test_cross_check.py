"""Pruning against an independent implementation: the same masks, entry by entry."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tf_lottery.core import pruning


def reference(weights, masks, fraction):
    """Magnitude pruning of all arrays together, as a page of NumPy would have it: rank, then cut by position."""
    magnitudes = np.concatenate([np.abs(weights[name]).ravel() for name in masks])
    alive = np.concatenate([masks[name].ravel() for name in masks])
    order = [position for position in np.argsort(magnitudes, kind="stable") if alive[position]]
    alive[order[: round(Fraction(fraction) * len(order))]] = False
    ends = np.cumsum([mask.size for mask in masks.values()])[:-1]
    return {n: part.reshape(m.shape) for (n, m), part in zip(masks.items(), np.split(alive, ends), strict=True)}


def reference_layerwise(weights, masks, fraction):
    return {name: reference(weights, {name: mask}, fraction)[name] for name, mask in masks.items()}


SHAPES = st.lists(st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple), min_size=1, max_size=5)
FRACTIONS = st.decimals(0, "0.99", places=2).map(str)


@pytest.mark.parametrize(
    ("scope", "expected"), [("global", reference), ("layerwise", reference_layerwise)], ids=["global", "layerwise"]
)
@settings(max_examples=300)
@given(
    shapes=SHAPES,
    seed=st.integers(0, 2**32 - 1),
    different_values=st.integers(1, 40),
    already_kept=st.sampled_from([1.0, 0.9, 0.5, 0.1]),
    fractions=st.lists(FRACTIONS, min_size=1, max_size=4),
)
def test_masks_are_those_of_an_independent_implementation_also_with_ties_and_earlier_masks(
    scope, expected, shapes, seed, different_values, already_kept, fractions
):
    rng = np.random.default_rng(seed)
    values = np.append(rng.normal(size=different_values), 0.0).astype(np.float32)  # few values: many ties
    weights = {f"w{i}": rng.choice(values, shape) * rng.choice([-1, 1], shape) for i, shape in enumerate(shapes)}
    masks = {name: rng.random(weight.shape) < already_kept for name, weight in weights.items()}
    for fraction in fractions:
        scores = {name: np.abs(weight) for name, weight in weights.items()}
        pruned = pruning.prune(scores, masks, fraction, scope=scope)
        wanted = expected(weights, masks, fraction)
        assert list(pruned) == list(wanted)
        assert all(np.array_equal(pruned[name], wanted[name]) for name in wanted)
        masks = pruned
