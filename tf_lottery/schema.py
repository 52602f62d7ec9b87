"""Schemas of JSON values: what a file may hold, checked before any of it is used.

A schema is a function that raises ValueError if a value at a place does not fit. `value` makes one of a condition;
`record`, `by_name` and `list_of` make one of others.
"""

import contextlib
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Schema = Callable[[Any, str], None]

_LONGEST_TEXT = 2**17  # as long as Linux lets an environment variable be
_MOST_STEPS = 2**53  # up to which each whole number is a float
_LARGEST = 1.7976931348623157e308  # of float64
_MOST_NESTED = 64
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def check(schema: Schema, content: Any) -> Any:
    """Return the content of a file if it fits a schema.

    Raises:
        ValueError: it does not fit; the message says where, what was expected, and what came.

    >>> check(record({"level": WHOLE, "metrics": by_name(NUMBER)}), {"level": 1, "metrics": {"loss": "0.5"}})
    Traceback (most recent call last):
    ValueError: `metrics.loss` must be a number. Received: '0.5'
    """
    schema(content, "")
    return content


def value(words: str, fits: Callable[[Any], bool]) -> Schema:
    """Return the schema of values for which `fits` returns True; `words` describe them in messages."""

    def check_value(found: Any, place: str) -> None:
        if not fits(found):
            raise ValueError(f"{_named(place)} must be {words}. Received: {short(found)}")

    return check_value


def record(
    fields: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, others: Schema | None = None
) -> Schema:
    """Return the schema of an object with certain names.

    Args:
        fields: The schemas of the fields that it must have.
        optional: The schemas of fields that it may have. Defaults to none.
        others: The schema of all other fields. Defaults to None: there must be no other.
    """
    known = {**fields, **(optional or {})}
    other = others or _refuse

    def check_record(found: Any, place: str) -> None:
        OBJECT(found, place)
        if missing := [name for name in fields if name not in found]:
            raise ValueError(f"{_named(_inside(place, missing[0]))} is missing")
        for name, content in found.items():
            known.get(name, other)(content, _inside(place, name))

    return check_record


def by_name(schema: Schema) -> Schema:
    """Return the schema of an object with any names, whose values fit `schema`."""

    def check_each(found: Any, place: str) -> None:
        OBJECT(found, place)
        for name, content in found.items():
            schema(content, _inside(place, name))

    return check_each


def list_of(schema: Schema) -> Schema:
    """Return the schema of a list, whose items fit `schema`."""

    def check_each(found: Any, place: str) -> None:
        if not isinstance(found, list):
            raise ValueError(f"{_named(place)} must be a list. Received: {short(found)}")
        for position, content in enumerate(found):
            schema(content, f"{place}[{position}]")

    return check_each


def maybe(schema: Schema) -> Schema:
    """Return the schema of what fits `schema`, or is null."""

    def check_unless_null(found: Any, place: str) -> None:
        if found is not None:
            schema(found, place)

    return check_unless_null


def one_of(known: Iterable[str]) -> Schema:
    """Return the schema of one of several texts."""
    words = [*known]
    return value(f"one of {', '.join(words)}", lambda found: type(found) is str and found in words)


def either(*schemas: Schema) -> Schema:
    """Return the schema of what fits one of several schemas; a message is that of the last one."""

    def check_any(found: Any, place: str) -> None:
        for schema in schemas[:-1]:
            with contextlib.suppress(ValueError):
                return schema(found, place)
        return schemas[-1](found, place)

    return check_any


def short(found: Any) -> str:
    """Return a value as it can be printed in a message, cut where it is long."""
    return _SHORT.repr(found)


def _is_shallow(found: Any, most: int) -> bool:
    """Return whether a value is nested at most so deep."""
    if not isinstance(found, list | dict):
        return True
    return most > 0 and all(
        _is_shallow(inner, most - 1) for inner in (found.values() if isinstance(found, dict) else found)
    )


def _refuse(found: Any, place: str) -> None:
    raise ValueError(f"{_named(place)} is unknown; it may come from another version of tf_lottery")


def _is_text(found: Any) -> bool:
    if type(found) is not str or len(found) > _LONGEST_TEXT:
        return False
    return found.isascii() or not any("\ud800" <= character <= "\udfff" for character in found)


def _inside(place: str, name: str) -> str:
    shown = name if name.replace("_", "").isalnum() and name.isascii() and len(name) < 80 else short(name)
    return f"{place}.{shown}" if place else shown


def _named(place: str) -> str:
    return f"`{place}`" if place else "it"


OBJECT = value("an object with names in Unicode", lambda found: isinstance(found, dict) and all(map(_is_text, found)))
ANYTHING = value(f"nested at most {_MOST_NESTED} deep", lambda found: _is_shallow(found, _MOST_NESTED))
TEXT = value(f"text in Unicode of at most {_LONGEST_TEXT:,} characters", _is_text)
FLAG = value("true or false", lambda found: type(found) is bool)
WHOLE = value("a whole number, at least 0", lambda found: type(found) is int and 0 <= found <= _MOST_STEPS)
COUNT = value("a whole number, at least 1", lambda found: type(found) is int and 1 <= found <= _MOST_STEPS)
INTEGER = value("a whole number", lambda found: type(found) is int and abs(found) <= _MOST_STEPS)
NUMBER = value("a number", lambda found: type(found) in (int, float) and abs(found) <= _LARGEST)
SHARE = value("a number from 0 to 1", lambda found: type(found) in (int, float) and 0 <= found <= 1)
SECONDS = value("a number, at least 0", lambda found: type(found) in (int, float) and 0 <= found <= _LARGEST)
CHECKSUM = value(
    "a SHA-256 in hexadecimal",
    lambda found: type(found) is str and len(found) == 64 and set(found) <= set("0123456789abcdef"),
)
PLAIN = value(
    "text, a number, true, false or null",
    lambda found: (
        found is None
        or type(found) is bool
        or (type(found) is str and len(found) <= _LONGEST_TEXT)
        or (type(found) in (int, float) and abs(found) <= _LARGEST)
    ),
)
