"""How long functions take, measured side by side in one process."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Latency:
    """How long each of some functions took.

    Attributes:
        seconds: The median of all its calls, by the function's name.
        calls: How many of each were timed.
        threads: How many each could use, as the caller said.
    """

    seconds: dict[str, float]
    calls: int
    threads: int


def latency(
    functions: Mapping[str, Callable[[Any], Any]],
    batches: Sequence[Any],
    repeats: int = 30,
    *,
    threads: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency:
    """Times functions in turn: each batch goes to all of them, then comes the next, `repeats` times over.

    So whatever changes while it runs, the clock of the processor or another program, changes for all of them. All
    batches go to each function once before, untimed: what is made in a first call is made then.

    Args:
        functions: By name; each takes a batch and returns when its result is there (`.numpy()` waits for it).
        batches: What to give them, at least one. Batches of other sizes take other times: give equal ones.
        repeats: How often each batch is timed, at least 1.
        threads: How many each function was set to use: noted, not changed.
        clock: Gives seconds.

    Raises:
        ValueError: nothing is to be timed.

    Example:
        ```python
        latency({"dense": lambda x: dense(x).numpy(), "compact": lambda x: compact(x).numpy()}, [images], threads=1)
        ```
    """
    if not functions or not len(batches) or repeats < 1:
        raise ValueError(
            "At least one function, one batch and one repeat are needed. "
            f"Received: {len(functions)} functions, {len(batches)} batches, repeats={repeats}"
        )
    times: dict[str, list[float]] = {name: [] for name in functions}
    for repeat in range(1 + repeats):
        for batch in batches:
            for name, function in functions.items():
                start = clock()
                function(batch)
                if repeat > 0:
                    times[name].append(clock() - start)
    return Latency({name: statistics.median(each) for name, each in times.items()}, repeats * len(batches), threads)
