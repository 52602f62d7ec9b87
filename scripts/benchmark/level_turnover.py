"""What lies between two levels of ResNet-50, in time and memory: python scripts/benchmark/level_turnover.py

The trained weights are read, pruned globally by magnitude, and the weights of step k are put in their place, masked.
Claimed for its 25.5 million weights (102 MB):

1. choosing what goes takes at most 1.5 times one `np.partition` of the magnitudes of all weights, at any level;
2. the peak of memory is at most 4 times the weights' bytes above the model, its masks and W_k. All else that a level
   has on the host counts: the weights read, their masks, scores, the scores in one array, new masks, what is written;
3. each weight is read once and written once (tests/laws/test_transfers.py).

Times are medians of rounds in which everything is measured in turn, so that a busy machine hits all alike; `ratio` is
the median of the rounds' ratios. Parts of a level are told in passes: one is `np.copyto` of 102 MB. Memory is the
process's resident set as Linux reports it, and beside it what NumPy allocates by itself (tracemalloc).

Predicted: the selection 1.2 partitions at level 1 and less at sparser ones; 3.5 times the memory. Seen on a 2-core x86
CPU (AMD EPYC with AVX-512), 9 rounds, Keras 3, two runs alike:

    level   kept    selection / partition    read    score and select    write    whole level
      1     1.000   1.13  (0.90-1.18)        4       26 passes          10        46 passes, 0.36 s
      2     0.800   1.31  (1.19-1.35)        4       31                 11        47
      4     0.512   0.81  (0.58-0.85)        4       19                 11        33
     11     0.107   0.35  (0.22-0.36)        4        9                 11        26 passes, 0.20 s
    peak memory: 3.55 times the weights at level 1, 3.34 at level 2

The yardstick is one for all levels. At a sparse one, `np.partition` of the kept magnitudes alone, lying ready, is
quicker (last column); and that of all magnitudes with the pruned ones as zeros slower, 3.5 s for 10% kept.
"""

import ctypes
import os
import platform
import re
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from absl import flags

from tf_lottery import command_line
from tf_lottery.core import masks as masks_lib, pruning
from tf_lottery.core.level import next_masks
from tf_lottery.core.masks import Arrays

_ROUNDS = flags.DEFINE_integer("rounds", 9, "How often everything is measured.", lower_bound=1)
_LEVELS = flags.DEFINE_multi_integer(
    "level", [1, 2, 4, 11], "Levels to prune for; each removes a fifth.", lower_bound=1
)

FRACTION = 0.2


def main() -> None:
    import tensorflow as tf

    import tf_lottery
    from tf_lottery import layers, model_masks, models, state
    from tf_lottery.keras_api import keras

    say(f"{keras.__name__} {keras.__version__}, TensorFlow {tf.__version__}, tf_lottery {tf_lottery.__version__}")
    say(f"Python {platform.python_version()}, NumPy {np.__version__}, {os.cpu_count()} CPUs, {_ROUNDS.value} rounds")
    model = layers.make_prunable(models.build("resnet_50", (224, 224, 3), 1000))
    rng = np.random.default_rng(0)  # all layers alike, so that none is empty at late levels
    at_k = state.weights(model)
    at_k |= {name: rng.standard_normal(mask.shape, np.float32) for name, mask in model_masks.get_masks(model).items()}
    measure_memory(model, at_k)
    for level in _LEVELS.value:
        measure_times(model, at_k, level)


def turn_over(model: object, at_k: Arrays) -> None:
    """From the end of a level to the start of the next, as in training."""
    from tf_lottery import model_masks, state

    trained, masks = state.weights(model), model_masks.get_masks(model)
    state.set_weights(at_k, model, prune(at_k, trained, masks))


def prune(at_k: Arrays, trained: Arrays, masks: Arrays) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return next_masks(at_k, trained, masks, criterion="magnitude", fraction=FRACTION, scope="global", rng=rng)


def measure_memory(model: object, at_k: Arrays) -> None:
    """Prints the peaks of two levels."""
    weights = sum(array.nbytes for array in at_k.values())
    say(f"{weights / 1e6:.1f} MB of weights. Peak above model and W_k, in times of that: resident set, NumPy's own")
    for level in (1, 2):
        ctypes.CDLL(None).malloc_trim(0)  # gives back what was freed, or it would be taken again unseen
        before = resident_bytes("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to VmRSS
        tracemalloc.start()
        turn_over(model, at_k)
        of_numpy = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        resident = resident_bytes("VmHWM") - before
        say(f"level {level:<10}{resident / weights:>8.2f}{of_numpy / weights:>8.2f}")


def resident_bytes(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)[1])


def measure_times(model: object, at_k: Arrays, level: int) -> None:
    """Prints one table: the selection against its yardstick, then the parts of the level in passes."""
    from tf_lottery import model_masks, state

    ones = {name: np.ones(mask.shape, bool) for name, mask in model_masks.get_masks(model).items()}
    magnitudes = {name: np.abs(at_k[name]) for name in ones}
    masks = pruning.prune(magnitudes, ones, 1 - (1 - pruning.exact(FRACTION)) ** (level - 1))
    trained = state.set_weights(at_k, model, masks)
    scores = {name: np.abs(trained[name]) for name in masks}
    everything = np.concatenate([array.ravel() for array in magnitudes.values()])
    kept = np.concatenate([array[masks[name]] for name, array in scores.items()])
    new, copied = prune(at_k, trained, masks), np.empty_like(everything)
    seconds = in_turn(
        {
            "pass": lambda: np.copyto(copied, everything),
            "partition": lambda: np.partition(everything, pruning.number_to_remove(everything.size, FRACTION) - 1),
            "partition of kept": lambda: np.partition(kept, pruning.number_to_remove(kept.size, FRACTION) - 1),
            "select": lambda: pruning.prune(scores, masks, FRACTION),
            "read": lambda: (state.weights(model), model_masks.get_masks(model)),
            "score and select": lambda: prune(at_k, trained, masks),
            "write": lambda: state.set_weights(at_k, model, new),
            "all of it": lambda: turn_over(model, at_k),
        }
    )
    say(f"level {level}, {masks_lib.density(masks):.3f} kept{'s':>10}{'ratio':>10}{'min-max':>14}  to")
    for part, unit in (("select", "partition"), ("select", "partition of kept")):
        say(row(part, seconds[part], seconds[unit]) + f"  {unit}")
    for part in ("partition", "read", "score and select", "write", "all of it"):
        say(row(part, seconds[part], seconds["pass"]) + "  pass")


def in_turn(parts: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """The seconds of each part in each round; the first round of all is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(1 + _ROUNDS.value):
        for name, part in parts.items():
            started = time.perf_counter()
            part()
            seconds[name].append(time.perf_counter() - started)
    return {name: measured[1:] for name, measured in seconds.items()}


def row(name: str, seconds: list[float], unit: list[float]) -> str:
    ratios = [mine / base for mine, base in zip(seconds, unit, strict=True)]
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
    return f"{name:<20}{statistics.median(seconds):>10.3f}{statistics.median(ratios):>10.2f}{spread:>14}"


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    command_line.run(main)
