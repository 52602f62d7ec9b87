"""What the files in the directory of a LotteryTicket may hold: settings.json, records.json, and the `.tfl` files."""

from collections.abc import Mapping
from typing import Any

from tf_lottery import schema
from tf_lottery.masking.ticket import Ticket
from tf_lottery.schema import (
    ANYTHING,
    CHECKSUM,
    COUNT,
    FLAG,
    SHARE,
    TEXT,
    WHOLE,
    by_name,
    either,
    list_of,
    maybe,
    record,
)

_FRACTION = either(by_name(TEXT), TEXT)
# They are compared with those that are asked for, and shown if they differ.
_SETTINGS = record(
    {
        "weights": by_name(list_of(WHOLE)),
        "fractions": list_of(_FRACTION),
        "epochs_per_level": COUNT,
        "scope": TEXT,
        "criterion": TEXT,
        "rewind": TEXT,
        "rewind_to": either(WHOLE, TEXT),
        "reset_optimizer": FLAG,
        "min_density": maybe(TEXT),
    },
    optional={"frozen": maybe(TEXT), "optimizer": TEXT, "optimizer_settings": by_name(ANYTHING)},
    others=ANYTHING,
)
_RECORD = record(
    {
        "level": WHOLE,
        "density": SHARE,
        "density_by_weight": by_name(SHARE),
        "epochs": WHOLE,
        "step": WHOLE,
        "metrics": by_name(maybe(schema.NUMBER)),  # JSON has no NaN: `files.finite` writes null
    }
)
_RECORDS = record({"levels": list_of(_RECORD), "files": by_name(CHECKSUM)})
_NAMES_BY_PATH = by_name(list_of(TEXT))
_REWIND = record(
    {"steps_per_epoch": COUNT},
    optional={"built_on": _NAMES_BY_PATH, "undecayed": _NAMES_BY_PATH, "is_compiled_in_fit": FLAG},
)
_LEVEL = record(
    {"level": WHOLE, "rewind_step": WHOLE, "rewind": TEXT, "state_at_k": CHECKSUM},
    optional={"last_steps": by_name(schema.INTEGER)},
)
# By the first part of a file's name: its metadata, and the groups of arrays that it must have.
_ARRAYS = {
    "rewind": (_REWIND, ("weights", "optimizer")),
    "level": (_LEVEL, ("rewind", "final")),
    "state": (record({}), ()),
}


def settings(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of settings.json."""
    return schema.check(_SETTINGS, content)


def records(content: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the records of the levels in records.json, and the checksums of the other files by name."""
    found = schema.check(_RECORDS, content)
    for level, one in enumerate(found["levels"]):
        if one["level"] != level:
            raise ValueError(f"`levels[{level}].level` must be {level}. Received: {one['level']}")
    return found["levels"], found["files"]


def arrays(name: str, found: Ticket) -> Ticket:
    """Return the arrays in a file, given its name without the ending, such as `"level_01"`."""
    kind, _, level = name.partition("_")
    metadata, groups = _ARRAYS[kind]
    schema.check(metadata, dict(found.metadata))
    if lacks := [group for group in groups if group not in found.weights]:
        raise ValueError(f"it lacks the arrays {', '.join(lacks)}")
    if kind == "level" and found.metadata["level"] != int(level):
        raise ValueError(f"it belongs to level {found.metadata['level']}")
    for group in groups:
        if gone := [weight for weight in found.masks if weight not in found.weights[group]]:
            raise ValueError(f"it lacks {', '.join(gone)} among the arrays {group}")
    return found
