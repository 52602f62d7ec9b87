import ml_dtypes  # noqa: F401  (teaches NumPy the dtype "bfloat16")
import numpy as np
import pytest
from hypothesis import given, strategies as st

from tf_lottery.core import masks
from tf_lottery.errors import PruningError

W = {"a": np.array([1.0, -2.0, 3.0]), "b": np.array([[4.0, -5.0]])}
M = {"a": np.array([1, 0, 1]), "b": np.array([[0, 1]])}


def test_masks_of_ones_keep_everything():
    made = masks.ones({"a": (3,), "b": (1, 2)})
    assert made["b"].dtype == bool
    assert masks.kept(made) == 5
    assert masks.density(made) == 1.0


def test_masks_without_names_are_refused():
    with pytest.raises(PruningError, match=r"Masks must be arrays of 0 and 1 by weight name. Received: list"):
        masks.validate([np.ones(2)], like={"w": np.ones(2)})


def test_density_is_kept_over_all():
    valid = masks.validate(M, like=W)
    assert masks.density(valid) == 3 / 5
    assert masks.density_by_weight(valid) == {"a": 2 / 3, "b": 1 / 2}


def test_no_weights_at_all_have_density_1():
    assert masks.density({}) == 1.0


def test_applied_zeros_are_positive_zeros_even_for_negative_and_infinite_weights():
    weights = {"a": np.array([-1.0, -np.inf, np.nan], np.float32)}
    applied = masks.apply(weights, {"a": np.zeros(3, bool)})["a"]
    assert applied.dtype == np.float32
    assert applied.tobytes() == bytes(12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int8", "bool"])
@pytest.mark.parametrize("mask_dtype", [bool, np.int64, np.float32])
def test_kept_entries_keep_every_bit_and_the_others_none(dtype, mask_dtype):
    rng = np.random.default_rng(0)
    array = rng.integers(2 if dtype == "bool" else 256, size=(40, 30 * np.dtype(dtype).itemsize), dtype=np.uint8)
    array = array.view(dtype).T  # NaNs of every kind, too
    mask = rng.random(array.shape) < 0.5
    before = array.tobytes()
    applied = masks.apply({"w": array}, {"w": mask.astype(mask_dtype)})["w"]
    assert applied.dtype == array.dtype
    assert applied[mask].tobytes() == array[mask].tobytes()
    assert not any(applied[~mask].tobytes())
    assert array.tobytes() == before


def test_arrays_without_a_mask_pass_unchanged():
    bias = np.array([-0.0, 7.0])
    assert masks.apply({"bias": bias}, {})["bias"] is bias


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32, np.float64])
def test_zeros_and_ones_of_any_dtype_are_masks(dtype):
    valid = masks.validate({name: mask.astype(dtype) for name, mask in M.items()}, like=W)
    assert valid["a"].tolist() == [True, False, True]
    assert list(valid) == list(W)


def test_every_fault_is_listed_at_once():
    wrong = {"a": np.array([1, 2, 0]), "c": np.ones(1)}
    with pytest.raises(PruningError, match=r"missing 'b'; unknown 'c'; 'a' holds values other than 0 and 1"):
        masks.validate(wrong, like=W)


def test_a_wrong_shape_is_named_with_the_right_one():
    with pytest.raises(PruningError, match=r"'a' has shape \(2,\), expected \(3,\)"):
        masks.validate({"a": np.ones(2), "b": np.ones((1, 2))}, like=W)


def test_overlap_is_the_jaccard_index():
    first, second = {"a": np.array([True, True, False])}, {"a": np.array([False, True, True])}
    assert masks.overlap(first, second) == 1 / 3
    assert masks.overlap(first, first) == 1.0
    assert masks.overlap({"a": np.zeros(2, bool)}, {"a": np.zeros(2, bool)}) == 1.0


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 1000))
def test_shuffling_keeps_the_count_of_each_array(bits, seed):
    original = {"a": np.array(bits), "b": np.array([[True, False]])}
    shuffled = masks.shuffle(original, np.random.default_rng(seed))
    for name, mask in original.items():
        assert shuffled[name].shape == mask.shape
        assert shuffled[name].sum() == mask.sum()
