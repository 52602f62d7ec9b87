"""JSON that holds its own checksum: any other byte in it is found."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

MAX_BYTES = 2**24
_SEAL = "sha256"


def seal(content: Mapping[str, Any]) -> bytes:
    """The text of a sealed file; the same content always gives the same bytes.

    Args:
        content: What JSON can hold, finite numbers only.
    """
    return _text({**content, _SEAL: hashlib.sha256(_text(content)).hexdigest()})


def unseal(data: bytes) -> dict[str, Any]:
    """The content of a sealed file.

    Raises:
        ValueError: it is not what `seal` wrote, to the last byte.

    >>> unseal(seal({"level": 3}))
    {'level': 3}
    """
    try:
        content = json.loads(data)
        found = content.pop(_SEAL)
        is_whole = seal(content) == data
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError("it cannot be read") from error
    if not is_whole:
        raise ValueError(f"its checksum {str(found)[:12]}… does not match its content")
    return content


def _text(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()
