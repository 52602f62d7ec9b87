"""When to keep the state of a training under way."""

import re
from dataclasses import dataclass

from tf_lottery.errors import ConfigError

_WRITTEN = re.compile(r"([0-9]{1,9})(it|min)")


@dataclass(frozen=True)
class Cadence:
    """When to keep the state of a training under way. No choice of it changes a bit of any result.

    Attributes:
        steps: At the multiples of so many optimizer steps; 0: not by steps.
        seconds: After so many seconds.
    """

    steps: int = 0
    seconds: float = float("inf")

    @classmethod
    def parse(cls, every: str) -> "Cadence":
        """From `"500it"` (optimizer steps) or `"10min"` (minutes).

        Raises:
            ConfigError: it is written otherwise, or is 0.
        """
        written = _WRITTEN.fullmatch(every) if isinstance(every, str) else None
        if written is None or not int(written[1]):
            raise ConfigError(
                f'`checkpoint_every` is written "500it" (optimizer steps) or "10min" (minutes). Received: {every!r}'
            )
        number = int(written[1])
        return cls(steps=number) if written[2] == "it" else cls(seconds=60.0 * number)


NEVER = Cadence()
EVERY_TEN_MINUTES = Cadence(seconds=600.0)
