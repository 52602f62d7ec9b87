import math
import os
import subprocess
import sys

import ml_dtypes  # noqa: F401  (teaches NumPy the dtype "bfloat16")
import numpy as np
import pytest
from hypothesis import given, strategies as st

from tf_lottery.core import stability
from tf_lottery.errors import ConfigError, PruningError

FIRST = {"a": np.array([3.0, 7.0, 0.0]), "b": np.array([[0.0, 1.0]]), "bias": np.array([100.0])}
SECOND = {"a": np.array([0.0, -7.0, 0.0]), "b": np.array([[4.0, 1.0]]), "bias": np.array([-100.0])}
MASKS = {"a": np.array([1, 0, 1]), "b": np.array([[1, 0]])}

measures = pytest.mark.parametrize("measure", [stability.distance, stability.angle])


@st.composite
def networks(draw):
    """Two networks of the same shapes and masks for them, with something kept of each."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shapes = draw(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=1, max_size=4))
    dtype = draw(st.sampled_from(["float16", "bfloat16", "float32", "float64"]))
    nearness = draw(st.sampled_from([0, 0.5, 0.99]))
    first, second, masks = {}, {}, {}
    for name, shape in zip("abcd", shapes, strict=False):
        base, noise = rng.normal(size=(2, *shape))
        first[name], second[name] = base.astype(dtype), (nearness * base + (1 - nearness) * noise).astype(dtype)
        masks[name] = rng.random(shape) < 0.7
        masks[name].flat[0] = True
    return first, second, masks


def flat(arrays, masks):
    return np.concatenate([(arrays[name].astype(float) * masks[name]).ravel() for name in masks])


def test_the_last_bit_depends_neither_on_the_processor_nor_on_threads():
    code = (
        "import numpy as np; from tf_lottery.core import stability; rng = np.random.default_rng(0);"
        "u, v = ({'w': rng.normal(size=100_001)} for _ in range(2)); masks = {'w': np.ones(100_001)};"
        "print(stability.distance(u, v, masks).hex(), stability.angle(u, v, masks).hex())"
    )
    variables = [
        *({}, {"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_CORETYPE": "Nehalem"}, {"OPENBLAS_CORETYPE": "Haswell"}),
        {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX X86_V3 X86_V4"},
    ]
    # Unknown features are warned of: each processor and version of NumPy has others.
    command = [sys.executable, "-W", "ignore", "-c", code]
    found = {subprocess.check_output(command, env=os.environ | changes, text=True) for changes in variables}
    assert len(found) == 1


def test_the_distance_is_that_of_what_is_kept_and_masked():
    assert stability.distance(FIRST, SECOND, MASKS) == 5.0


def test_the_angle_is_that_of_what_is_kept_and_masked():
    assert stability.angle(FIRST, SECOND, MASKS) == 90.0
    assert stability.angle(FIRST, {"a": -FIRST["a"], "b": FIRST["b"]}, MASKS) == 180.0


@given(networks())
def test_both_agree_with_plain_formulas_on_one_long_vector(drawn):
    first, second, masks = drawn
    u, v = flat(first, masks), flat(second, masks)
    assert stability.distance(*drawn) == pytest.approx(np.sqrt(((u - v) ** 2).sum()), rel=1e-12)
    cosine = (u * v).sum() / np.sqrt((u**2).sum() * (v**2).sum())
    if abs(cosine) < 0.99:  # where the arc cosine can be trusted
        assert stability.angle(*drawn) == pytest.approx(math.degrees(math.acos(cosine)), rel=1e-12)


@measures
@given(drawn=networks())
def test_both_are_the_same_both_ways(measure, drawn):
    first, second, masks = drawn
    assert measure(first, second, masks) == measure(second, first, masks)


@measures
@given(drawn=networks())
def test_equal_weights_are_at_exactly_0_whatever_is_pruned(measure, drawn):
    first, other, masks = drawn
    pruned_elsewhere = {name: np.where(mask, first[name], other[name]) for name, mask in masks.items()}
    assert measure(first, pruned_elsewhere, masks) == 0.0


def test_equal_weights_are_at_exactly_0_even_if_no_two_norms_round_alike(monkeypatch):
    rounding, norm = iter([1.0, 1.0 + 2**-52] * 2), np.linalg.norm
    monkeypatch.setattr(np.linalg, "norm", lambda vector: norm(vector) * next(rounding))
    assert stability.angle(FIRST, FIRST, MASKS) == 0.0


@given(networks(), st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_an_angle_knows_no_lengths_and_a_distance_scales_with_them(drawn, one, two):
    first, second = ({name: array.astype(float) for name, array in arrays.items()} for arrays in drawn[:2])
    first_longer, second_longer = ({name: one * array for name, array in arrays.items()} for arrays in (first, second))
    masks, second_other = drawn[2], {name: two * array for name, array in second.items()}
    angle, distance = stability.angle(first, second, masks), stability.distance(first, second, masks)
    assert stability.angle(first_longer, second_other, masks) == pytest.approx(angle, rel=1e-9, abs=1e-13)
    assert stability.distance(first_longer, second_longer, masks) == pytest.approx(one * distance, rel=1e-9)


@pytest.mark.parametrize("degrees", [1e-12, 1e-8, 1e-3, 30, 90, 180 - 1e-3, 180 - 1e-8])
@pytest.mark.parametrize("length", [1.0, 1e-300, 1e300])
def test_angles_near_0_and_180_are_as_exact_as_others(degrees, length):
    turned = {"w": length * np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])}
    axis, masks = {"w": length * np.array([1.0, 0.0])}, {"w": np.ones(2)}
    assert stability.angle(axis, turned, masks) == pytest.approx(degrees, rel=1e-12)


def test_where_nothing_is_kept_there_is_no_distance_and_no_angle():
    nothing = {name: np.zeros(mask.shape) for name, mask in MASKS.items()}
    for masks in (nothing, {}):
        assert stability.distance(FIRST, SECOND, masks) == 0.0
        assert math.isnan(stability.angle(FIRST, SECOND, masks))


def test_there_is_no_angle_to_weights_that_are_all_zero():
    zeros = {name: np.zeros_like(array) for name, array in FIRST.items()}
    assert math.isnan(stability.angle(FIRST, zeros, MASKS))
    assert math.isnan(stability.angle(zeros, zeros, MASKS))
    assert stability.distance(FIRST, zeros, MASKS) == 3.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_training_that_diverged_has_no_angle_and_no_finite_distance(value):
    diverged = {**FIRST, "a": np.array([value, 0.0, 0.0])}
    assert math.isnan(stability.angle(FIRST, diverged, MASKS))
    assert math.isnan(stability.angle(diverged, diverged, MASKS))
    assert not math.isfinite(stability.distance(FIRST, diverged, MASKS))
    assert math.isnan(stability.distance(diverged, diverged, MASKS))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_neither_overflows_nor_rounds(dtype):
    largest, ones = np.array([30000.0, 0.0], dtype), np.ones(2, dtype)
    masks = {"w": np.array([True, True])}
    assert stability.distance({"w": largest}, {"w": -largest}, masks) == 2 * float(largest[0])
    assert stability.distance({"w": largest}, {"w": ones}, masks) == math.hypot(float(largest[0]) - 1, 1)
    assert stability.angle({"w": largest}, {"w": ones}, masks) == pytest.approx(45)


def test_the_order_of_the_names_does_not_matter():
    backwards = dict(reversed(SECOND.items()))
    assert stability.distance(FIRST, backwards, MASKS) == 5.0
    assert stability.angle(FIRST, backwards, MASKS) == 90.0


@measures
def test_weights_come_together_and_one_by_one(measure):
    rows = stability.by_weight(measure, FIRST, SECOND, MASKS)
    assert list(rows) == ["all", "a", "b"]
    assert rows["all"] == measure(FIRST, SECOND, MASKS)
    for name in MASKS:
        np.testing.assert_equal(rows[name], measure({name: FIRST[name]}, {name: SECOND[name]}, {name: MASKS[name]}))


@given(networks())
def test_the_squares_of_the_single_distances_add_up(drawn):
    rows = stability.by_weight(stability.distance, *drawn)
    assert rows.pop("all") == pytest.approx(math.hypot(*rows.values()))


@measures
@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"a": np.ones(3), "c": np.ones(1)}, "unknown 'c'"),
        ({"a": np.ones(2)}, r"'a' has shape \(2,\), expected \(3,\)"),
        ({"a": np.array([0, 1, 2])}, "'a' holds values other than 0 and 1"),
    ],
)
def test_masks_that_do_not_fit_are_refused(measure, masks, message):
    with pytest.raises(PruningError, match=f"Masks must fit the weights they are for: {message}"):
        measure(FIRST, SECOND, masks)


@measures
def test_a_second_network_of_another_shape_is_refused(measure):
    with pytest.raises(PruningError, match=r"'b' has shape \(1, 2\), expected \(2, 1\)"):
        measure(FIRST, {**SECOND, "b": np.ones((2, 1))}, MASKS)
    with pytest.raises(PruningError, match="unknown 'b'"):
        measure(FIRST, {"a": SECOND["a"]}, MASKS)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.25, 0.75, 0.5], 0.375),
        ([0.25, 0.25, 0.25], 0.0),
        ([0.5, 0.25, 0.5], 0.0),  # a valley is no barrier
        ([0.25, 0.5], 0.125),  # the worse end itself
        (np.array([1, 3, 1], np.float32), 2.0),
    ],
)
def test_the_barrier_is_the_worst_point_against_the_mean_of_both_ends(values, expected):
    assert stability.barrier(values) == expected


@given(st.lists(st.floats(0, 1e30), min_size=2, max_size=30))
def test_no_barrier_is_below_0_and_it_is_the_same_from_both_ends(values):
    assert stability.barrier(values) >= 0
    assert stability.barrier(values) == stability.barrier(values[::-1])


@pytest.mark.parametrize("values", [[0.1, np.nan, 0.1], [np.nan, 0.1, 0.1], [np.inf, 0.1, np.inf]])
def test_the_barrier_of_a_line_that_was_not_measured_is_no_number(values):
    assert math.isnan(stability.barrier(values))


@pytest.mark.parametrize("values", [[], [0.5]])
def test_a_line_has_two_ends(values):
    with pytest.raises(ConfigError, match=f"at least 2 points: both ends of the line. Received: {len(values)}"):
        stability.barrier(values)
