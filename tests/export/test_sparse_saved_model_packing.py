"""Packed values, decoded by TensorFlow and by a decoder written from their description alone; and filled variables."""

import zlib

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from tf_lottery.export import sparse_saved_model
from tf_lottery.export.sparse_saved_model import Filler, pack, unfilled, unpack

DTYPES = [np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
DENSITIES = (1, 0.9, 0.5, 0.2, 0.1, 0.05, 0.01, 0.001, 0)


def decode(packed, size, dtype):
    gaps, *planes = map(zlib.decompress, packed)
    entries, position = np.zeros((size, dtype.itemsize), np.uint8), 0
    kept = iter(zip(*planes, strict=True))
    for gap in gaps:
        position += gap
        if gap < 255:
            entries[position] = list(next(kept))
            position += 1
    assert list(kept) == []
    return entries.tobytes()


def unpacked(packed, size, dtype):
    return unpack(tf.constant(packed), size, tf.as_dtype(dtype)).numpy()


def check(values):
    packed = pack(values)
    assert decode(packed, values.size, values.dtype) == values.tobytes()
    result = unpacked(packed, values.size, values.dtype)
    assert result.dtype == values.dtype
    assert result.tobytes() == values.tobytes()


def test_gaps_and_the_bytes_of_what_is_kept_are_stored():
    packed = pack(np.array([0, 0, 1.0, 0, -1.0], np.float16))  # 0x3c00 and 0xbc00
    assert [zlib.decompress(part) for part in packed] == [b"\x02\x01", b"\x00\x00", b"\x3c\xbc"]


def test_a_gap_that_a_byte_cannot_hold_takes_more():
    values = np.zeros(255 + 1 + 510 + 1 + 254 + 1, np.float32)
    values[[255, 766, 1021]] = 1
    assert zlib.decompress(pack(values)[0]) == bytes([255, 0, 255, 255, 0, 254])
    check(values)


@given(st.data(), st.sampled_from(DTYPES), st.sampled_from(DENSITIES))
def test_any_bits_come_back(data, dtype, density):
    """The bits include NaN, infinite and denormal numbers and -0.0."""
    bits = data.draw(arrays.arrays(f"u{dtype.itemsize}", st.integers(0, 2000)))
    kept = np.random.default_rng(data.draw(st.integers(0, 9))).random(bits.size) < density
    check((bits * kept.astype(bits.dtype)).view(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_minus_zeros_keep_their_sign(dtype):
    check(np.array([-0.0, 0.0, -0.0, 1.0], dtype))
    assert len(zlib.decompress(pack(np.array([-0.0, 0.0], dtype))[0])) == 1


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 3)])
@pytest.mark.parametrize("value", [0, 1.5])
def test_any_shape_is_packed_flat(shape, value):
    check(np.full(shape, value, np.float32))
    strided = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    assert pack(strided) == pack(np.ascontiguousarray(strided))


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_random_masks_take_no_more_than_their_entropy_and_the_bits_of_what_is_kept(dtype, density):
    rng = np.random.default_rng(0)
    size, bits = 200_000, 8 * dtype.itemsize
    values = rng.integers(1, 2**bits, size, f"u{dtype.itemsize}")  # bits without any order
    kept = rng.random(size) < density
    share = kept.mean()
    entropy = -sum(p * np.log2(p) for p in (share, 1 - share) if p)
    bound = size * (bits * share + entropy) / 8
    packed = pack((values * kept.astype(values.dtype)).view(dtype))
    assert sum(map(len, packed)) < 1.05 * bound + 300


@pytest.mark.parametrize("density", [0.2, 0.1, 0.05, 0.01])
def test_a_random_mask_takes_its_entropy(density):
    kept = np.random.default_rng(0).random(1_000_000) < density
    entropy = -sum(p * np.log2(p) for p in (kept.mean(), 1 - kept.mean()))
    assert entropy * kept.size / 8 < len(pack(kept.astype(np.float32))[0]) < 1.02 * entropy * kept.size / 8


def test_exponents_are_packed_too():
    values = np.random.default_rng(0).normal(scale=0.05, size=100_000).astype(np.float32)
    assert sum(map(len, pack(values))) < 0.84 * values.nbytes


VALUES = [
    np.float32([[0, 1, -0.0], [2, 0, 0]]),
    np.float16(3),
    np.zeros((0, 2), np.float32),
    np.float16([0, 0, 5]),
    np.float32([7]),
    np.arange(6, dtype=np.float32),
]


def variables():
    return [tf.Variable(value, name=f"part/w{index}") for index, value in enumerate(VALUES)]


def bits(values):
    return [np.asarray(value).tobytes() for value in values]


@pytest.mark.parametrize("bundle", [1, 5, 6, 7, 2**24])
def test_variables_of_several_dtypes_are_filled_however_many_go_together(monkeypatch, bundle):
    monkeypatch.setattr(sparse_saved_model, "_BUNDLE", bundle)
    filled = variables()
    filler = Filler(filled)
    for variable in filled:
        variable.assign(tf.ones_like(variable))
    filler._initialize()
    assert bits(filled) == bits(VALUES)


@pytest.mark.parametrize(
    ("bundle", "expected"),
    [
        (1, [[6], [0, 1], [6], [1], [3]]),
        (6, [[6, 0], [1], [6], [1, 3]]),
        (7, [[6, 0, 1], [6], [1, 3]]),
        (99, [[6, 0, 1, 6], [1, 3]]),
    ],
)
def test_variables_go_together_by_dtype_and_up_to_a_limit(monkeypatch, bundle, expected):
    monkeypatch.setattr(sparse_saved_model, "_BUNDLE", bundle)
    found = [
        [variable.shape.num_elements() for variable in group] for group in sparse_saved_model._bundles(variables())
    ]
    assert found == expected


def test_an_unfilled_variable_is_like_its_original_but_has_no_value():
    variable = tf.Variable([1.0, 2.0], name="part/w", trainable=False)
    found = unfilled(variable)
    assert (found.shape, found.dtype, found.name) == (variable.shape, variable.dtype, variable.name)
    assert not found.trainable
    assert not found.is_initialized()
    assert found._serialize_to_tensors() == {}
