"""What each file of a run may hold; each function returns the content of one kind of file, or raises ValueError.

config.json is checked by `validation`, and a checkpoint by `training.progress`. The files are sealed with checksums,
which tell what has changed by itself, but not what somebody has changed and sealed again.
"""

import io
import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from tf_lottery import schema
from tf_lottery.masking.ticket import Ticket
from tf_lottery.schema import CHECKSUM, PLAIN, SECONDS, SHARE, WHOLE, by_name, list_of, maybe, one_of, record

_MANIFEST = record({"files": by_name(record({"bytes": WHOLE, "sha256": CHECKSUM}))}, others=schema.ANYTHING)
# By this, environments are only compared and shown.
_ENVIRONMENT = by_name(schema.either(PLAIN, list_of(PLAIN), by_name(PLAIN)))
_ENVIRONMENTS = record({"environments": list_of(_ENVIRONMENT)})
_NUMBER_OR_NOT_FINITE = maybe(schema.NUMBER)  # JSON has no NaN: `files.finite` writes null
_METRICS = record(
    {
        "density": SHARE,
        "kept": WHOLE,
        "prunable": WHOLE,
        "density_by_weight": by_name(SHARE),
        "from_step": WHOLE,
        "to_step": WHOLE,
        "validation_accuracy": SHARE,
        "test_accuracy": SHARE,
        "test_loss": _NUMBER_OR_NOT_FINITE,
        "early_stop_step": WHOLE,
        "early_stop_validation_loss": _NUMBER_OR_NOT_FINITE,
        "early_stop_test_accuracy": SHARE,
    },
    optional={"evaluated_weights": one_of(("raw", "averages")), "seeds": by_name(WHOLE)},
)
_TIMING = record({"seconds": SECONDS})
_HISTORY = {"step": "int64", "train_loss": float, "validation_loss": float, "validation_accuracy": float}
_LINE = {"share": float, "test_error": float, "test_loss": float}
_NOT_NEGATIVE = {"step", "validation_accuracy", "share", "test_error"}
_TICKET_GROUPS = ("rewind", "final")


def manifest(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the sizes and checksums of the files that a manifest lists."""
    listed = schema.check(_MANIFEST, content)["files"]
    for name in listed:
        if len(name) > 255 or not name.isprintable() or "/" in name or name in ("", ".", ".."):
            raise ValueError(f"`files` must name files of its folder. Received: {schema.short(name)}")
    return listed


def environments(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the environments of environment.json."""
    return schema.check(_ENVIRONMENTS, content)["environments"]


def metrics(content: bytes) -> dict[str, Any]:
    """Return the content of metrics.json. It names no unit, because its manifest does."""
    found = schema.check(_METRICS, json.loads(content))
    for least, most in (("kept", "prunable"), ("from_step", "to_step")):
        if found[least] > found[most]:
            raise ValueError(f"`{least}` must be at most `{most}`={found[most]}. Received: {found[least]}")
    return found


def seconds(content: bytes) -> float:
    """Return the time in timing.json."""
    return schema.check(_TIMING, json.loads(content))["seconds"]


def history(content: bytes) -> pd.DataFrame:
    """Return the table of history.csv."""
    return _table(content, _HISTORY)


def line(content: bytes) -> pd.DataFrame:
    """Return the table of line.csv."""
    return _table(content, _LINE)


def ticket(found: Ticket) -> Ticket:
    """Return the ticket in ticket.tfl."""
    if {*found.weights} != {*_TICKET_GROUPS}:
        named = ", ".join(map(schema.short, found.weights)) or "none"
        raise ValueError(f"a ticket of a run holds the weights {' and '.join(_TICKET_GROUPS)}. Received: {named}")
    start, end = (found.weights[group] for group in _TICKET_GROUPS)
    for name in {**start, **end, **found.masks}:
        if name not in start or name not in end or start[name].shape != end[name].shape:
            raise ValueError(f"{schema.short(name)} is not among both its weights, in one shape")
    return found


def _table(content: bytes, columns: Mapping[str, Any]) -> pd.DataFrame:
    found = pd.read_csv(io.BytesIO(content), dtype=dict(columns))
    if [*found] != [*columns] or not isinstance(found.index, pd.RangeIndex):
        raise ValueError(f"its columns must be {', '.join(columns)}. Received: {schema.short([*map(str, found)])}")
    if found.empty:
        raise ValueError("it has no rows")
    if (found[[*_NOT_NEGATIVE & {*columns}]] < 0).any(axis=None):
        raise ValueError(f"{' and '.join(sorted(_NOT_NEGATIVE & {*columns}))} must be at least 0")
    return found
