import hashlib
import json
import os
import struct
import tracemalloc
import zlib

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as npst

from tf_lottery.errors import TicketError
from tf_lottery.masking import ticket
from tf_lottery.masking.ticket import Ticket

MASK = np.array([[True, False, False], [True, True, False]])
KERNEL = np.array([[1.5, 0, 0], [0.0, -2.5, 0]], np.float32)  # one kept weight is exactly 0
EXAMPLE = Ticket(
    {"dense/kernel": MASK},
    {"rewind": {"dense/kernel": KERNEL, "dense/bias": np.arange(3.0)}, "final": {"dense/kernel": 2 * KERNEL}},
    {"level": 3},
)


def equal(first, second):
    def same(a, b):
        return list(a) == list(b) and all(
            x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
            for x, y in zip(a.values(), b.values(), strict=True)
        )

    return (
        same(first.masks, second.masks)
        and list(first.weights) == list(second.weights)
        and all(same(first.weights[group], second.weights[group]) for group in first.weights)
        and first.metadata == second.metadata
    )


def forged(header, payload=b""):
    """A file with a right checksum around whatever an attacker likes."""
    return forged_text(json.dumps(header), payload)


def forged_text(text, payload=b""):
    text = text.encode()
    body = ticket.MAGIC + struct.pack("<Q", len(text)) + text + payload
    return body + hashlib.sha256(body).digest()


def test_what_is_packed_comes_back_bit_for_bit():
    assert equal(ticket.unpack(ticket.pack(EXAMPLE)), EXAMPLE)


def test_the_same_ticket_gives_the_same_bytes():
    assert ticket.pack(EXAMPLE) == ticket.pack(ticket.unpack(ticket.pack(EXAMPLE)))


@pytest.mark.parametrize("dtype", ticket.DTYPES)
def test_every_dtype_survives(dtype):
    array = np.array([[1, 0, 0], [0, 1, 0]]).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    example = Ticket({"w": MASK}, {"final": {"w": array, "scalar": array[0, 0].reshape(()), "none": array[:0]}})
    assert equal(ticket.unpack(ticket.pack(example)), example)


@settings(max_examples=100)
@given(st.data(), npst.array_shapes(max_dims=3, max_side=9))
def test_any_array_under_any_mask_survives(data, shape):
    mask = data.draw(npst.arrays(bool, shape))
    array = np.where(mask, data.draw(npst.arrays(np.float32, shape)), np.float32(0))
    example = Ticket({"w": mask}, {"final": {"w": array}})
    assert equal(ticket.unpack(ticket.pack(example)), example)


def test_pruned_weights_cost_a_fraction_of_a_bit():
    rng = np.random.default_rng(0)
    mask = rng.random((1000, 1000)) < 0.01
    array = np.where(mask, rng.normal(size=mask.shape), 0).astype(np.float32)
    size = len(ticket.pack(Ticket({"w": mask}, {"final": {"w": array}})))
    assert size < 4 * mask.sum() + 0.13 * mask.size / 8 + 1000  # the entropy of such a mask is 0.081 bits a weight


@pytest.mark.parametrize("value", [-0.0, 1e-30, np.nan])
def test_a_pruned_entry_that_is_not_plus_zero_is_refused(value):
    array = KERNEL.copy()
    array[0, 1] = value
    with pytest.raises(TicketError, match=r"'w' is not \+0.0 everywhere its mask is 0"):
        ticket.pack(Ticket({"w": MASK}, {"final": {"w": array}}))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), r"'w' has shape \(3,\), its mask \(2, 3\)"),
        (np.full((2, 3), "x"), r"'w' has dtype <U1; a ticket holds bool, int8"),
        (np.full((2, 3), None), r"'w' has dtype object"),
    ],
)
def test_what_a_ticket_cannot_hold_is_refused(array, message):
    with pytest.raises(TicketError, match=message):
        ticket.pack(Ticket({"w": MASK}, {"final": {"w": array}}))


def test_masks_of_integers_are_masks_too():
    packed = ticket.pack(Ticket({"w": MASK.astype(np.int64)}, {"final": {"w": KERNEL}}))
    assert ticket.unpack(packed).masks["w"].tolist() == MASK.tolist()


def test_truth_values_are_0_and_1():
    header = {"version": 1, "masks": [], "arrays": [entry(dtype="bool", bytes=1)], "metadata": {}}
    with pytest.raises(TicketError, match="'w' holds truth values other than 0 and 1"):
        ticket.unpack(forged(header, b"\x02"))


def test_every_flipped_byte_is_found():
    packed = ticket.pack(EXAMPLE)
    for position in range(len(packed)):
        damaged = bytearray(packed)
        damaged[position] ^= 0x10
        with pytest.raises(TicketError):
            ticket.unpack(bytes(damaged))


def test_every_truncation_is_found():
    packed = ticket.pack(EXAMPLE)
    for length in range(len(packed)):
        with pytest.raises(TicketError):
            ticket.unpack(packed[:length])


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 a zip", b"\x89PNG\r\n\x1a\n"])
def test_a_foreign_file_is_named_as_one(data):
    with pytest.raises(TicketError, match="not a ticket file"):
        ticket.unpack(data)


def test_a_later_version_is_refused_by_name():
    with pytest.raises(TicketError, match="format version 2; this tf_lottery reads version 1"):
        ticket.unpack(forged({"version": 2}))


def entry(**changes):
    return {"group": "g", "name": "w", "dtype": "float32", "shape": [1], "masked": False, "bytes": 4, **changes}


def test_an_array_with_the_values_of_its_mask_and_another_shape_is_refused():
    packed = zlib.compress(b"\xc0")
    header = {
        "version": 1,
        "masks": [{"name": "w", "shape": [8], "bytes": len(packed)}],
        "arrays": [entry(shape=[4, 2], masked=True, bytes=8)],
        "metadata": {},
    }
    with pytest.raises(TicketError, match="'w' does not fit its mask"):
        ticket.unpack(forged(header, packed + bytes(8)))


@pytest.mark.parametrize(
    "header",
    [
        [],
        {},
        {"version": 1},
        {"version": 1, "masks": 3, "arrays": [], "metadata": {}},
        {"version": 1, "masks": [], "arrays": [entry(dtype="object")], "metadata": {}},
        {"version": 1, "masks": [], "arrays": [entry(dtype=["f4"])], "metadata": {}},
        {"version": 1, "masks": [], "arrays": [entry(shape=[-1])], "metadata": {}},
        {"version": 1, "masks": [], "arrays": [entry(shape=[1.5])], "metadata": {}},
        {"version": 1, "masks": [], "arrays": [entry(shape=[2])], "metadata": {}},
        {"version": 1, "masks": [], "arrays": [entry(bytes=-4), entry(name="v", bytes=8)], "metadata": {}},
        {"version": 1, "masks": [], "arrays": [entry(bytes="4")], "metadata": {}},
        {"version": 1, "masks": [], "arrays": [entry(masked=True)], "metadata": {}},
        {"version": 1, "masks": [], "arrays": [entry(bytes=2), entry(bytes=2)], "metadata": {}},
        {"version": 1, "masks": [], "arrays": [entry(name=None)], "metadata": {}},
        {"version": 1, "masks": [{"name": "w", "shape": [8], "bytes": 4}], "arrays": [], "metadata": {}},
        {"version": 1, "masks": [], "arrays": [entry()], "metadata": []},
    ],
)
def test_a_hostile_header_is_a_typed_error(header):
    with pytest.raises(TicketError):
        ticket.unpack(forged(header, b"1234"))


def test_two_arrays_of_one_name_are_refused():
    header = {"version": 1, "masks": [], "arrays": [entry(), entry()], "metadata": {}}
    with pytest.raises(TicketError, match="two arrays named 'w'"):
        ticket.unpack(forged(header, b"12341234"))


def test_a_name_that_repeats_is_found_before_anything_is_unpacked(monkeypatch):
    monkeypatch.setattr(ticket, "_unpack_mask", lambda *_: pytest.fail("unpacked"))
    header = {"version": 1, "masks": [{"name": "w", "shape": [8], "bytes": 0}] * 1000, "arrays": [], "metadata": {}}
    with pytest.raises(TicketError, match="two masks named 'w'"):
        ticket.unpack(forged(header))


@pytest.mark.parametrize(
    ("masked", "message"),
    [(False, "does not say of 'w' whether it has a mask"), *((other, "must be true or false") for other in (None, 1))],
)
def test_an_array_that_has_a_mask_says_so(masked, message):
    masks = [{"name": "w", "shape": [1], "bytes": len(mask := zlib.compress(b"\x80"))}]
    header = {"version": 1, "masks": masks, "arrays": [entry(masked=True)], "metadata": {}}
    assert ticket.unpack(forged(header, mask + b"1234")).masks["w"].all()
    header["arrays"][0]["masked"] = masked
    with pytest.raises(TicketError, match=message):
        ticket.unpack(forged(header, mask + b"1234"))


@pytest.mark.parametrize("kind", ["mask", "array"])
def test_a_bomb_is_refused_before_it_is_unpacked(kind):
    huge = {"name": "w", "shape": [2**20, 2**20], "bytes": 0}
    masks, arrays = ([huge], []) if kind == "mask" else ([], [entry(**huge)])
    tracemalloc.start()
    with pytest.raises(TicketError, match=r"would unpack to \d+ bytes; at most"):
        ticket.unpack(forged({"version": 1, "masks": masks, "arrays": arrays, "metadata": {}}))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_the_limit_is_the_callers_to_set():
    packed = ticket.pack(EXAMPLE)
    with pytest.raises(TicketError, match="at most 10 are allowed"):
        ticket.unpack(packed, max_bytes=10)


@pytest.mark.parametrize("depth", [10, *range(900, 1000, 3), 100_000])
@pytest.mark.parametrize("place", ['{"version": %s}', '{"version": 1, "masks": [{"name": %s, "shape": []}]}'])
def test_a_header_of_any_depth_is_a_typed_error(place, depth):
    with pytest.raises(TicketError):
        ticket.unpack(forged_text(place % ("[" * depth + "]" * depth)))


def test_what_fits_shapes_fits_the_bound_of_them():
    shapes = {
        "masks": {"dense/kernel": (2, 3)},
        "rewind": {"dense/kernel": (2, 3), "dense/bias": (3,)},
        "final": {"dense/kernel": (2, 3)},
    }
    assert equal(ticket.unpack(ticket.pack(EXAMPLE), shapes=shapes), EXAMPLE)
    assert len(ticket.pack(EXAMPLE)) < ticket.most_bytes(shapes) < 2**26 + 2**15
    large = {"masks": {"w": (1000, 1000)}, "final": {"w": (1000, 1000)}}
    random = np.random.default_rng(0).random((1000, 1000))
    full = Ticket({"w": random < 0.5}, {"final": {"w": np.where(random < 0.5, random, 0)}})
    assert 4_000_000 < len(ticket.pack(full)) < ticket.most_bytes(large) < 2**26 + 17_000_000


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({}, "'dense/kernel' among the masks is unknown here"),
        ({"masks": {"dense/kernel": (3, 2)}}, r"'dense/kernel' among the masks has shape \[2, 3\], expected \(3, 2\)"),
        ({"masks": {"dense/kernel": (2, 3)}, "final": {}}, "'dense/kernel' among the rewind is unknown here"),
        (
            {"masks": {"dense/kernel": (2, 3)}, "rewind": {"dense/kernel": (2, 3), "dense/bias": ()}},
            r"'dense/bias' among the rewind has shape \[3\], expected \(\)",
        ),
    ],
)
def test_names_and_shapes_that_are_not_expected_are_refused(shapes, message):
    with pytest.raises(TicketError, match=message):
        ticket.unpack(ticket.pack(EXAMPLE), shapes=shapes)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "level_01.tfl"
    with pytest.raises(TicketError, match=r"level_01.tfl cannot be read: No such file"):
        ticket.load_ticket(path)
    ticket.save_ticket(path, EXAMPLE)
    assert equal(ticket.load_ticket(path), EXAMPLE)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TicketError, match=r"level_01.tfl: The ticket file is damaged: its checksum does not match"):
        ticket.load_ticket(path)
    os.truncate(path, 2**37)
    with pytest.raises(TicketError, match=r"level_01.tfl: it has 137438953472 bytes, at most"):
        ticket.load_ticket(path)


@settings(max_examples=200)
@given(st.binary(max_size=200), st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_no_input_gives_anything_but_a_typed_error(payload, junk):
    for data in (
        payload,
        ticket.MAGIC + payload,
        forged(junk, payload),
        forged({"version": 1, "masks": junk}, payload),
    ):
        with pytest.raises(TicketError):
            ticket.unpack(data)


def test_a_ticket_says_in_one_line_what_it_is():
    ticket = Ticket({"w": np.array([True, False])}, {"final": {"w": np.zeros(2)}}, {"level": 3})
    assert repr(ticket) == "Ticket(density=0.5000, weights=[final], metadata={'level': 3})"
