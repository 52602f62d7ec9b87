"""What a schema accepts, and what it says of the rest: the place, what was expected, what came."""

import re

import pytest

from tf_lottery import schema
from tf_lottery.schema import (
    ANYTHING,
    CHECKSUM,
    COUNT,
    FLAG,
    INTEGER,
    NUMBER,
    OBJECT,
    PLAIN,
    SECONDS,
    SHARE,
    TEXT,
    WHOLE,
    by_name,
    either,
    list_of,
    maybe,
    one_of,
    record,
)

VALUES = [
    *(None, True, False, -1, 0, 1, 2, -0.5, 0.5, 1.0, 1.5, 2**53 + 1, 10**400, float("nan"), float("inf")),
    *("", "text", "0" * 64, "g" * 64, "x" * (2**17 + 1), "\ud800", [], [1], {}, {"a": 1}, {"\ud800": 1}),
]


def accepted(one):
    return [value for value in VALUES if fits(one, value)]


def fits(one, value):
    try:
        schema.check(one, value)
    except ValueError:
        return False
    return True


def same(found, expected):
    return [*map(repr, found)] == [*map(repr, expected)]  # True == 1, and NaN != NaN


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (FLAG, [True, False]),
        (WHOLE, [0, 1, 2]),
        (COUNT, [1, 2]),
        (INTEGER, [-1, 0, 1, 2]),
        (NUMBER, [-1, 0, 1, 2, -0.5, 0.5, 1.0, 1.5, 2**53 + 1]),
        (SECONDS, [0, 1, 2, 0.5, 1.0, 1.5, 2**53 + 1]),
        (SHARE, [0, 1, 0.5, 1.0]),
        (TEXT, ["", "text", "0" * 64, "g" * 64]),
        (CHECKSUM, ["0" * 64]),
        (OBJECT, [{}, {"a": 1}]),
        (ANYTHING, VALUES),
        (one_of(["text", "other"]), ["text"]),
        (maybe(COUNT), [None, 1, 2]),
        (list_of(COUNT), [[], [1]]),
        (by_name(COUNT), [{}, {"a": 1}]),
        (record({"a": COUNT}), [{"a": 1}]),
        (record({}, optional={"a": COUNT}), [{}, {"a": 1}]),
        (record({}, others=COUNT), [{}, {"a": 1}]),
        (record({}), [{}]),
        (either(FLAG, list_of(COUNT)), [True, False, [], [1]]),
    ],
)
def test_a_schema_accepts_these_and_nothing_else(one, expected):
    assert same(accepted(one), expected)


def test_plain_values_are_those_that_can_be_shown():
    numbers = [-1, 0, 1, 2, -0.5, 0.5, 1.0, 1.5, 2**53 + 1]
    texts = ["", "text", "0" * 64, "g" * 64, "\ud800"]  # environment variables may hold other bytes than UTF-8
    assert same(accepted(PLAIN), [None, True, False, *numbers, *texts])


@pytest.mark.parametrize(
    ("one", "value", "message"),
    [
        (WHOLE, True, "it must be a whole number, at least 0. Received: True"),
        (record({"a": list_of(SHARE)}), {"a": [0.5, 2]}, "`a[1]` must be a number from 0 to 1. Received: 2"),
        (record({"a": by_name(WHOLE)}), {"a": {"b": "1"}}, "`a.b` must be a whole number, at least 0. Received: '1'"),
        (record({"a": WHOLE}), {}, "`a` is missing"),
        (record({}), {"level": 1}, "`level` is unknown; it may come from another version of tf_lottery"),
        (record({"a": by_name(WHOLE)}), {"a": {}, "b": 1}, "`b` is unknown; it may come from another version"),
        (list_of(WHOLE), {"a": 1}, "it must be a list. Received: {'a': 1}"),
        (either(FLAG, list_of(WHOLE)), [-1], "`[0]` must be a whole number"),
        (by_name(WHOLE), {"\x1b[31m\u202e": 1.5}, r"`'\x1b[31m\u202e'` must be a whole number"),
        (WHOLE, "\x1b[31m\n", r"Received: '\x1b[31m\n'"),
    ],
)
def test_a_message_tells_the_place_what_was_expected_and_what_came(one, value, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        schema.check(one, value)


HUGE = ["x" * 10**6, 10**4000, [[0] * 100] * 100, {"x" * 1000: {str(i): i for i in range(99)}}]


@pytest.mark.parametrize("value", HUGE)
def test_a_message_is_short_whatever_came(value):
    with pytest.raises(ValueError, match="must be") as refused:
        schema.check(FLAG, value)
    assert len(str(refused.value)) < 1000


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def test_values_are_nested_so_deep_and_no_deeper():
    assert fits(ANYTHING, nested(64))
    assert not fits(ANYTHING, nested(65))
    assert not fits(ANYTHING, nested(100_000))
