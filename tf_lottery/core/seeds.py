"""One seed in, many independent ones out: a purpose and a place in the experiment name each."""

import hashlib


def derive(seed: int, *path: str | int) -> int:
    """Return a 32-bit seed for one purpose, such as `derive(0, "replicate", 2, "data_order")`.

    Derived by name, so that a new purpose changes none of the others.
    """
    text = "/".join(str(part) for part in (seed, *path))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
