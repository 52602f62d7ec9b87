"""Training lengths as people write them: `"500it"`, `"2ep"`, or a plain number of steps."""

import math
import re
from fractions import Fraction

from tf_lottery.errors import ConfigError

_WRITTEN = re.compile(r"([0-9]{1,18})(it|ep|)")


def to_steps(length: int | str, steps_per_epoch: int | Fraction) -> int:
    """Optimizer steps in `length`.

    Args:
        length: `"500it"` (optimizer steps), `"2ep"` (passes over the training data), or an int (steps).
        steps_per_epoch: May be a fraction, where batches run on across the border of two epochs.

    Returns:
        The number of steps after which `length` is complete (rounded up).

    Raises:
        ConfigError: `length` is negative or not written in one of these ways.

    >>> to_steps("2ep", Fraction(703125, 1000))
    1407
    """
    if isinstance(length, int) and not isinstance(length, bool) and length >= 0:
        return length
    number, unit = parse(length)
    return math.ceil(number * steps_per_epoch) if unit == "ep" else number


def parse(length: int | str) -> tuple[int, str]:
    """Splits `"2ep"` into 2 and "ep"; raises ConfigError where it is not written like that."""
    written = _WRITTEN.fullmatch(length) if isinstance(length, str) else None
    if written is None:
        raise ConfigError(
            'A training length is written "500it" (optimizer steps), "2ep" (epochs), or as a number of steps. '
            f"Received: {length!r}"
        )
    return int(written[1]), written[2]
