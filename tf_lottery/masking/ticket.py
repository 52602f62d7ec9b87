"""The ticket file (`.tfl`): masks and weights, packed and with a checksum. This module needs NumPy only.

    8 bytes    magic, with line endings that a copy in text mode would break
    8 bytes    length of the header, unsigned little-endian
    header     JSON: version, masks (name, shape, bytes), arrays (group, name, dtype, shape, masked, bytes), metadata
    payload    in the order of the header: each mask as a zlib-compressed bitmap (C order, most significant bit
               first), each array as its little-endian values (C order), without the pruned ones if it has a mask
    32 bytes   SHA-256 of everything before

A pruned weight takes a fraction of a bit, a kept weight takes its own bytes. Nothing in a file is executed, and no
array is allocated before the header has been checked.
"""

import hashlib
import itertools
import json
import math
import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (teaches NumPy the dtype "bfloat16")
import numpy as np

from tf_lottery import escapes, files, schema
from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import TicketError
from tf_lottery.schema import TEXT, WHOLE, list_of, record

MAGIC = b"\x93TFL\r\n\x1a\n"
VERSION = 1
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *_INTEGERS, "bfloat16", "float16", "float32", "float64")
CHECKSUM_BYTES = 32
Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]
_MAX_UNPACKED_BYTES = 2**34
_MAX_FILE_BYTES = 2**36
_MAX_METADATA_BYTES = 2**26
_MAX_ENTRY_BYTES = 2**12  # of an array in the header
_MAX_ITEM_BYTES = max(np.dtype(name).itemsize for name in DTYPES)
_MASK = {"name": TEXT, "shape": list_of(WHOLE), "bytes": WHOLE}
_ARRAY = {**_MASK, "group": TEXT, "dtype": schema.one_of(DTYPES), "masked": schema.FLAG}
_HEADER = record(
    {
        "version": WHOLE,
        "masks": list_of(record(_MASK)),
        "arrays": list_of(record(_ARRAY)),
        "metadata": schema.OBJECT,
    }
)


@dataclass(frozen=True, repr=False)
class Ticket:
    """Masks, and weights that they belong to.

    Attributes:
        masks: Boolean arrays by weight name, True = kept.
        weights: Arrays by weight name, in named groups: `"rewind"` for the weights at the rewind step, `"final"` for
            the weights at the end of training. Every group is optional. An array that has a mask is +0.0 where the mask
            is False.
        metadata: A mapping that JSON can represent. Defaults to an empty one.

    Examples:
        >>> import numpy as np
        >>> import tf_lottery as tfl
        >>> masks, final = {"w": np.array([True, False])}, {"w": np.array([1.0, 0.0])}
        >>> tfl.Ticket(masks, {"final": final}, {"level": 1})
        Ticket(density=0.5000, weights=[final], metadata={'level': 1})
    """

    masks: Arrays
    weights: Mapping[str, Arrays]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        groups = escapes.shown(", ".join(self.weights))
        return (
            f"Ticket(density={masks_lib.density(self.masks):.4f}, weights=[{groups}], metadata={dict(self.metadata)})"
        )


def pack(ticket: Ticket) -> bytes:
    """Return the content of a ticket file; the same ticket always gives the same bytes.

    Raises:
        TicketError: the shape of an array differs from that of its mask, a pruned entry is not +0.0, or a dtype is not
            allowed.
    """
    masks, arrays, payload = [], [], []
    bitmaps = masks_lib.validate(ticket.masks, like=ticket.masks)
    for name, mask in bitmaps.items():
        payload.append(zlib.compress(np.packbits(mask).tobytes(), 6))
        masks.append({"name": name, "shape": list(mask.shape), "bytes": len(payload[-1])})
    for group, weights in ticket.weights.items():
        for name, array in weights.items():
            payload.append(_values(name, np.asarray(array), bitmaps.get(name)))
            entry = {"group": group, "name": name, "dtype": array.dtype.name, "shape": list(array.shape)}
            arrays.append(entry | {"masked": name in ticket.masks, "bytes": len(payload[-1])})
    header = {"version": VERSION, "masks": masks, "arrays": arrays, "metadata": dict(ticket.metadata)}
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    parts = [MAGIC, struct.pack("<Q", len(text)), text, *payload]
    checksum = hashlib.sha256()
    for part in parts:
        checksum.update(part)
    return b"".join([*parts, checksum.digest()])


def unpack(data: bytes, *, max_bytes: int = _MAX_UNPACKED_BYTES, shapes: Shapes | None = None) -> Ticket:
    """Read a ticket from the content of a ticket file.

    Args:
        data: The content, from `pack`.
        max_bytes: The memory, in bytes, that the unpacked arrays may take. More is refused before it is allocated.
            Defaults to 16 GiB.
        shapes: The arrays that the ticket may hold: their shapes by name, in the groups `"masks"` and those of the
            weights. Others are refused before they are allocated. Defaults to None: all arrays are allowed.

    Raises:
        TicketError: the file is damaged, inconsistent, too large or not a ticket file, or does not fit `shapes`. No
            part of it is returned then.
    """
    try:
        header, start = _header(data)
        if shapes is not None:
            _check_shapes(header, shapes)
        return _read(header, memoryview(data)[start:-CHECKSUM_BYTES], max_bytes)
    except MemoryError as error:
        raise TicketError("The ticket does not fit into memory.") from error
    except (ValueError, OverflowError, zlib.error) as error:
        if isinstance(error, TicketError):
            raise
        raise TicketError(f"The ticket's header does not describe its content: {error}") from error


def most_bytes(shapes: Shapes) -> int:
    """Return an upper bound, in bytes, for the size of a ticket file that fits `shapes`; see `unpack`."""
    sizes = [math.prod(shape) for group in shapes.values() for shape in group.values()]
    return _MAX_METADATA_BYTES + sum(_MAX_ENTRY_BYTES + _MAX_ITEM_BYTES * size for size in sizes)


def save_ticket(path: str | os.PathLike[str], ticket: Ticket) -> None:
    """Write a ticket to a file, as a whole or not at all. An existing file is replaced.

    Any number of processes can write one file at once: the last one wins.

    Args:
        path: The file. Its folder is created. By convention its name ends with `.tfl`. A symbolic link stays: the file
            that it leads to is replaced.
        ticket: The ticket to write.

    Raises:
        TicketError: `ticket` is no Ticket, the shape of an array differs from that of its mask, a pruned entry is not
            +0.0, or a dtype is not allowed.
        RunError: the file cannot be written.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> import tf_lottery as tfl
        >>> masks, final = {"w": np.array([True, False])}, {"w": np.array([1.0, 0.0])}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tfl.save_ticket(f"{folder}/ticket.tfl", tfl.Ticket(masks, {"final": final}))
        ...     tfl.load_ticket(f"{folder}/ticket.tfl").weights["final"]["w"]
        array([1., 0.])
    """
    if not isinstance(ticket, Ticket):
        raise TicketError(f"save_ticket(path, ticket) writes a Ticket. Received: ticket={ticket!r}")
    path = Path(os.path.realpath(path) if os.path.islink(path) else path)
    files.write(path, pack(ticket), "ticket file")


def load_ticket(path: str | os.PathLike[str], shapes: Shapes | None = None) -> Ticket:
    """Read a ticket from a file; see `unpack` for `shapes`.

    Raises:
        TicketError: the file cannot be read; is damaged, inconsistent or not a ticket file; or does not fit `shapes`.
    """
    try:
        most = _MAX_FILE_BYTES if shapes is None else most_bytes(shapes)
        return unpack(files.read(Path(path), most), shapes=shapes)
    except OSError as error:
        raise TicketError(f"{path} cannot be read: {files.reason(error)}") from error
    except ValueError as error:  # a TicketError is one
        raise TicketError(f"{path}: {error}") from error


def _values(name: str, array: np.ndarray, mask: np.ndarray | None) -> bytes:
    """Return the bytes of an array in the payload."""
    if array.dtype.name not in DTYPES:
        raise TicketError(f"{name!r} has dtype {array.dtype}; a ticket holds {', '.join(DTYPES)}")
    if mask is not None:
        if mask.shape != array.shape:
            raise TicketError(f"{name!r} has shape {array.shape}, its mask {mask.shape}")
        if np.any(array[~mask].view(f"u{array.itemsize}")):
            raise TicketError(f"{name!r} is not +0.0 everywhere its mask is 0: apply the mask first")
        array = array[mask]
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """Verify the checksum and return the parsed header and the position at which the payload starts."""
    start = len(MAGIC) + 8
    if not data.startswith(MAGIC):
        raise TicketError("This is not a ticket file: its first bytes are not those of one.")
    if hashlib.sha256(data[:-CHECKSUM_BYTES]).digest() != data[-CHECKSUM_BYTES:]:
        raise TicketError("The ticket file is damaged: its checksum does not match. Restore it from a copy.")
    (length,) = struct.unpack("<Q", data[len(MAGIC) : start])
    try:
        header = json.loads(data[start : start + length])
        schema.OBJECT(header, "")
    except (ValueError, RecursionError) as error:
        raise TicketError(f"The ticket's header cannot be read: {error}") from error
    if type(version := header.get("version")) is not int or version != VERSION:
        raise TicketError(
            f"The ticket has format version {schema.short(version)}; this tf_lottery reads version {VERSION}."
        )
    return schema.check(_HEADER, header), start + length


def _check_shapes(header: dict[str, Any], shapes: Shapes) -> None:
    """Raise TicketError if the header lists an array that `shapes` does not allow."""
    for group, entry in [
        *(("masks", entry) for entry in header["masks"]),
        *((entry["group"], entry) for entry in header["arrays"]),
    ]:
        if (expected := shapes.get(group, {}).get(entry["name"])) is None:
            raise TicketError(f"{entry['name']!r} among the {group} is unknown here.")
        if entry["shape"] != list(expected):
            raise TicketError(f"{entry['name']!r} among the {group} has shape {entry['shape']}, expected {expected}.")


def _read(header: dict[str, Any], payload: memoryview, max_bytes: int) -> Ticket:
    """Check the header and unpack the payload."""
    declared = sum(math.prod(entry["shape"]) for entry in header["masks"])
    declared += sum(math.prod(entry["shape"]) * np.dtype(entry["dtype"]).itemsize for entry in header["arrays"])
    if declared > max_bytes:
        raise TicketError(f"The ticket would unpack to {declared} bytes; at most {max_bytes} are allowed.")
    _check_names(header)
    chunks = _chunks(header, payload)
    masks: dict[str, np.ndarray] = {}
    for entry in header["masks"]:
        masks[entry["name"]] = _unpack_mask(entry, next(chunks))
    weights: dict[str, dict[str, np.ndarray]] = {}
    for entry in header["arrays"]:
        group = weights.setdefault(entry["group"], {})
        group[entry["name"]] = _unpack_array(entry, next(chunks), masks.get(entry["name"]))
    return Ticket(masks, weights, header["metadata"])


def _check_names(header: dict[str, Any]) -> None:
    """Raise TicketError if a name repeats, or if the header is wrong about which arrays have masks.

    This runs before anything is unpacked, because a file could name one array a hundred thousand times.
    """
    masks = Counter(entry["name"] for entry in header["masks"])
    arrays = Counter((entry["group"], entry["name"]) for entry in header["arrays"])
    for kind, names in (("masks", masks), ("arrays", arrays)):
        if twice := [name for name, count in names.items() if count > 1]:
            raise TicketError(f"The ticket holds two {kind} named {twice[0] if kind == 'masks' else twice[0][1]!r}")
    for entry in header["arrays"]:
        if entry["masked"] is not (entry["name"] in masks):
            raise TicketError(f"The ticket's header does not say of {entry['name']!r} whether it has a mask.")


def _chunks(header: dict[str, Any], payload: memoryview) -> Iterator[memoryview]:
    """Split the payload into the bytes of each mask and array, in the order of the header."""
    lengths = [entry["bytes"] for entry in [*header["masks"], *header["arrays"]]]
    if sum(lengths) != len(payload):
        raise TicketError("The ticket's header does not describe its content: the lengths do not add up.")
    stops = list(itertools.accumulate(lengths))
    return iter([payload[stop - length : stop] for stop, length in zip(stops, lengths, strict=True)])


def _unpack_mask(entry: dict[str, Any], chunk: memoryview) -> np.ndarray:
    size = math.prod(entry["shape"])
    expected = -(-size // 8)
    reader = zlib.decompressobj()
    bitmap = reader.decompress(chunk, expected + 1)
    bits = np.unpackbits(np.frombuffer(bitmap, np.uint8))
    if len(bitmap) != expected or not reader.eof or reader.unused_data or bits[size:].any():
        raise TicketError(f"The mask of {entry['name']!r} does not have the size of its shape {entry['shape']}")
    return bits[:size].view(bool).reshape(entry["shape"])


def _unpack_array(entry: dict[str, Any], chunk: memoryview, mask: np.ndarray | None) -> np.ndarray:
    dtype = np.dtype(entry["dtype"])
    values = np.frombuffer(chunk, dtype.newbyteorder("<")).astype(dtype)
    if dtype.name == "bool" and values.view(np.uint8).max(initial=0) > 1:
        raise TicketError(f"{entry['name']!r} holds truth values other than 0 and 1")
    if mask is None:
        return values.reshape(entry["shape"])
    if list(mask.shape) != entry["shape"] or values.size != np.count_nonzero(mask):
        raise TicketError(f"{entry['name']!r} does not fit its mask")
    array = np.zeros(mask.shape, dtype)
    array[mask] = values
    return array
