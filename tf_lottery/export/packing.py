"""Sparse arrays as few bytes, which standard TensorFlow operations make dense again.

What is kept is told by bits: all but +0.0 is. So no masks are needed, a kept weight that happens to be +0.0 comes back
all the same, and -0.0 stays itself.
"""

import zlib

import numpy as np
import tensorflow as tf

_FAR = 255  # a gap as long as this one goes on in the next byte


def pack(values: np.ndarray) -> list[bytes]:
    """What is kept of `values` and where: a deflated byte string of gaps, then one for each byte of an entry.

    Gaps are the numbers of zeros before each kept entry, 255 for "255 and on". The first bytes of all kept entries are
    stored together, then all second ones, and so on: exponents repeat, the rest of a float does not.

    Args:
        values: Of any shape and numeric dtype. The index is flat, in C order.
    """
    entries = np.ascontiguousarray(values).reshape(-1, 1).view(np.uint8)
    kept = np.flatnonzero(entries.any(axis=1))
    return [_deflate(_gaps(kept))] + [_deflate(entries[kept, byte]) for byte in range(values.dtype.itemsize)]


def unpack(packed: tf.Tensor, size: int, dtype: tf.DType) -> tf.Tensor:
    """Return the flat array of `size` entries of which `pack` made `packed`, a vector of strings; the same bits."""
    gaps, kept = tf.split(tf.io.decode_compressed(packed, "ZLIB"), [1, dtype.size])
    gaps = tf.cast(tf.io.decode_raw(gaps, tf.uint8), tf.int64)
    is_last = gaps < _FAR
    ends = tf.cumsum(gaps + tf.cast(is_last, tf.int64), axis=1)
    positions = tf.gather_nd(ends, tf.where(is_last)) - 1
    # Bytes are moved, not numbers: arithmetic would lose -0.0 and, on some processors, denormal numbers.
    places = tf.unstack(tf.io.decode_raw(kept, tf.uint8), num=dtype.size)
    rows = tf.stack(places, axis=1)  # not a transpose: on some processors oneDNN has none of bytes, and says so
    entries = tf.tensor_scatter_nd_update(tf.zeros([size, dtype.size], tf.uint8), tf.expand_dims(positions, 1), rows)
    return tf.bitcast(entries, dtype)


def _gaps(kept: np.ndarray) -> np.ndarray:
    gaps = np.diff(kept, prepend=-1) - 1
    far, rest = np.divmod(gaps, _FAR)
    coded = np.full(int(far.sum()) + len(kept), _FAR, np.uint8)
    coded[np.cumsum(far + 1) - 1] = rest
    return coded


def _deflate(content: np.ndarray) -> bytes:
    """Return the shorter of two: searching for repetitions spoils what has none, such as the gaps of a random mask."""
    return min((_compressed(content, strategy) for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY)), key=len)


def _compressed(content: np.ndarray, strategy: int) -> bytes:
    compressor = zlib.compressobj(strategy=strategy)
    return compressor.compress(content.tobytes()) + compressor.flush()
