"""What the table in tf_lottery/experiment/plan.py was made of: python scripts/benchmark/execution_settings.py

Milliseconds of an optimizer step in the training loop of `find_tickets`, by network, threads, XLA and steps an
execution; a process for each combination of the first three. On a CPU: there was no other device to measure on. Larger
convolutional networks are left out: compiled by XLA inside a loop, conv_2 takes seconds a step.
"""

import subprocess
import sys

import measuring
import numpy as np
from absl import flags

from tf_lottery import cli

_ROUNDS = flags.DEFINE_integer("rounds", 3, "How often everything is measured.", lower_bound=1)
_NETWORK = flags.DEFINE_string("network", None, "Measures this one in this process and prints seconds.")
_THREADS = flags.DEFINE_integer("threads", 1, "Of that.", lower_bound=1)
_JIT = flags.DEFINE_bool("jit_compile", False, "Of that.")

# Batch and shape of examples; how many steps take about a quarter of a second.
NETWORKS = {
    "lenet_300_100": (60, (28, 28, 1), 500),
    "resnet_8_w4": (64, (14, 14, 1), 50),
    "resnet_8_w8_1d": (64, (40, 1), 100),
}
AN_EXECUTION = (1, 10, 50, 100, 500)


def main() -> None:
    if _NETWORK.value:
        return measure(_NETWORK.value, _THREADS.value, _JIT.value)
    rows = []
    for network in NETWORKS:
        found = {
            (threads, compiled): of_process(network, threads, compiled)
            for threads in (1, 2)
            for compiled in (False, True)
        }
        for (threads, compiled), steps in found.items():
            for an_execution, values in steps.items():
                case = f"{network}, batch {NETWORKS[network][0]}"
                how = f"{threads} thread{'s' * (threads > 1)}, {'XLA' if compiled else 'no XLA'}"
                rows.append(measuring.row(case, f"{how}, {an_execution} an execution", values, "ms a step"))
    return measuring.report(rows, "How a training is executed")


def of_process(network: str, threads: int, compiled: bool) -> dict[int, list[float]]:
    settings = (
        f"--network={network}",
        f"--threads={threads}",
        f"--jit_compile={compiled}",
        f"--rounds={_ROUNDS.value}",
    )
    done = subprocess.run([sys.executable, __file__, *settings], capture_output=True, text=True, check=True)
    return {int(steps): list(map(float, values)) for steps, *values in map(str.split, done.stdout.splitlines())}


def measure(network: str, threads: int, compiled: bool) -> None:
    """Print a line for each number of steps an execution: it, and milliseconds a step of each round."""
    from tf_lottery import models
    from tf_lottery.data.dataset import Dataset, Split
    from tf_lottery.feeds.resident import Resident
    from tf_lottery.keras_compat import keras
    from tf_lottery.masking import conversion
    from tf_lottery.training import devices
    from tf_lottery.training.learning_rate import LearningRate
    from tf_lottery.training.progress import Pauses
    from tf_lottery.training.trainer import Trainer

    class Executions(Pauses):
        """Ends each after so many steps."""

        def __init__(self, steps: int):
            self._steps = steps

        def most_steps(self, step: int) -> int:
            return self._steps

    devices.configure(threads, deterministic_ops=not compiled)
    batch, shape, steps = NETWORKS[network]
    if compiled and network != "lenet_300_100":
        steps = max(2, steps // 10)  # convolutions are up to 30 times slower so
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20 * batch, *shape)).astype(np.float32), np.arange(20 * batch, dtype=np.int32) % 10
    held_out = Split(x[:batch], y[:batch])
    model = conversion.make_prunable(models.build(network, shape, 10))
    feed = Resident(Dataset(Split(x, y), held_out, held_out, 10), batch_size=batch, longest=steps)
    optimizer = keras.optimizers.SGD(LearningRate(1e-3), momentum=0.9)
    trainer = Trainer(model, feed, optimizer=optimizer, steps=10**9, evaluate_every=steps, jit_compile=compiled)
    trainer.train(0, 2 * steps, shuffle_seed=0)  # until it knows its pace
    parts = {
        str(each): lambda each=each: trainer.train(0, steps, shuffle_seed=0, pauses=Executions(each))
        for each in AN_EXECUTION
        if each <= steps
    }
    for an_execution, seconds in measuring.in_turn(parts, _ROUNDS.value).items():
        sys.stdout.write(" ".join([an_execution, *(f"{1000 * each / steps:.5f}" for each in seconds)]) + "\n")


if __name__ == "__main__":
    cli.run(main)
