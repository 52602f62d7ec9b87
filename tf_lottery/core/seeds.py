"""Independent seeds for the purposes of an experiment, derived from one seed."""

import hashlib


def derive(seed: int, *path: str | int) -> int:
    """Return a 32-bit seed for one purpose, such as `derive(0, "replicate", 2, "data_order")`.

    Seeds are derived from names, so that a new purpose changes no other seed.

    Args:
        seed: The seed of the experiment.
        *path: The name of the purpose, and where it is in the experiment.
    """
    text = "/".join(str(part) for part in (seed, *path))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
