"""JSON whose own checksum finds any other byte in it."""

import hashlib
import json
import tracemalloc

import pytest
from hypothesis import given, settings, strategies as st

from tf_lottery.sealed import seal, unseal

CONTENT = {
    "seed": 3,
    "prune.fraction": 0.2,
    "controls": ["reinit"],
    "name": "größer",
    "deep": {"none": None, "no": False},
}
SEALED = seal(CONTENT)
NAMES = st.text(max_size=5).filter(lambda name: name != "sha256")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def refused(data):
    try:
        unseal(data)
    except ValueError:
        return True
    return False


@settings(max_examples=100)
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4))
def test_what_is_sealed_comes_back(content):
    assert unseal(seal(content)) == content


def test_a_sealed_file_is_text_that_a_person_can_read():
    assert seal({"level": 3}).decode().splitlines()[:2] == ["{", '  "level": 3,']


def test_every_other_byte_is_found():
    for position in range(len(SEALED)):
        for bit in range(8):
            damaged = bytearray(SEALED)
            damaged[position] ^= 1 << bit
            assert refused(bytes(damaged)), (position, bit)


def test_every_truncation_and_every_added_byte_is_found():
    for length in range(len(SEALED)):
        assert refused(SEALED[:length])
        for added in (b" ", b"\n", b"\0", b"x"):
            assert refused(SEALED[:length] + added + SEALED[length:]), (length, added)
    assert refused(SEALED + b"\n")


def test_the_same_content_in_other_words_is_found():
    whole = json.loads(SEALED)
    assert json.dumps(whole, indent=2) + "\n" == SEALED.decode()
    for other in (
        json.dumps(whole),
        json.dumps(whole, indent=2),
        json.dumps(whole, indent=2, ensure_ascii=False) + "\n",
        json.dumps(dict(reversed(whole.items())), indent=2) + "\n",
        json.dumps(whole | {"seed": 3.0}, indent=2) + "\n",
    ):
        assert json.loads(other) == whole
        assert refused(other.encode())
    assert refused(SEALED.decode().encode("utf-16"))
    assert refused(b"\xef\xbb\xbf" + SEALED)


def test_of_two_equal_keys_none_is_believed():
    twice = SEALED.replace(b'"seed": 3', b'"seed": 4,\n  "seed": 3')
    assert json.loads(twice) == json.loads(SEALED)
    assert refused(twice)


@pytest.mark.parametrize("content", [{"loss": float("nan")}, {"loss": float("inf")}])
def test_what_is_no_number_cannot_be_sealed(content):
    with pytest.raises(ValueError, match="not JSON compliant"):
        seal(content)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"null", b"3", b'"text"', b"[]", b'["sha256"]', b"{}", b'{"sha256": 1}', b'{"sha256": null}'),
        *(b"\xff", b"\x89PNG\r\n", b"[" * 100_000, b'{"a":' * 100_000),
    ],
    ids=lambda data: data[:20],
)
def test_what_was_never_sealed_is_one_error(data):
    with pytest.raises(ValueError, match=r"^it has no checksum at its end$"):
        unseal(data)
    with pytest.raises(ValueError, match=r"^its checksum does not match its content$"):
        unseal(data + b',\n  "sha256": "cafe"\n}\n')


def forged(body):
    """A file with a right checksum around whatever an attacker likes."""
    checksum = hashlib.sha256(body + b"\n}\n").hexdigest()
    return body + b',\n  "sha256": "%s"\n}\n' % checksum.encode()


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[", b"null", b'{"a": NaN', b'{"a": -Infinity', b'{"a": "\xff"', b'{"a": ' + b"9" * 5000),
        *(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000, b'{"a": 1}, {"b": 2', b"[{"),
    ],
    ids=lambda body: body[:20],
)
def test_a_forged_seal_around_what_is_no_such_content_is_one_error(body):
    with pytest.raises(ValueError, match=r"^it cannot be read$"):
        unseal(forged(body))


def test_a_file_made_to_grow_when_it_is_read_takes_little_memory():
    # Nested deep and wide: with the spaces of its indentation it would have 300 times its size.
    body = b'{"a": ' + b"[" * 800 + b"1," * 100_000 + b"1" + b"]" * 800
    tracemalloc.start()
    unseal(forged(body))
    assert tracemalloc.get_traced_memory()[1] < 10 * len(body)
    tracemalloc.stop()
