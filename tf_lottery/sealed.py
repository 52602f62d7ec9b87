"""JSON that ends with its own checksum: any other byte in it is found."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

MAX_BYTES = 2**24
_END = b"\n}\n"
_SEAL = b',\n  "sha256": "'


def seal(content: Mapping[str, Any]) -> bytes:
    """The text of a sealed file; the same content always gives the same bytes.

    Args:
        content: What JSON can hold, finite numbers only; not empty, and without a `"sha256"` of its own.
    """
    return _sealed((json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def unseal(data: bytes) -> dict[str, Any]:
    """The content of a sealed file. Nothing of it is interpreted before its checksum has been found to match.

    Raises:
        ValueError: it is not what `seal` wrote, to the last byte.

    >>> unseal(seal({"level": 3}))
    {'level': 3}
    """
    body, mark, _ = data.rpartition(_SEAL)
    if not mark:
        raise ValueError("it has no checksum at its end")
    if data != _sealed(text := body + _END):
        raise ValueError("its checksum does not match its content")
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError("it cannot be read") from error


def finite(content: Any) -> Any:
    """What strict JSON can hold, which knows no NaN: what is not a finite number becomes null.

    >>> finite({"loss": float("nan"), "steps": (1, 2)})
    {'loss': None, 'steps': [1, 2]}
    """
    if isinstance(content, Mapping):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _sealed(text: bytes) -> bytes:
    return text.removesuffix(_END) + _SEAL + hashlib.sha256(text).hexdigest().encode() + b'"' + _END


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")
