"""Would it pay to train without the units that cannot matter any more? python scripts/benchmark/dead_units.py

At each of some levels of LeNet-300-100 on Fashion-MNIST: a training step of the masked network, and one of the network
that `tfl.compact` makes of it, masked alike; and what it takes to trace and compile the smaller one, which every level
would have to. This is the most that could be gained: `compact` also folds constants, and a training may not, because
their biases are still learned.

Predicted: nothing above 2% density, where compilation costs more than it brings; a third below.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measuring
import numpy as np
from absl import flags

from tf_lottery import cli

_ROUNDS = flags.DEFINE_integer("rounds", 40, "How often everything is measured.", lower_bound=1)
_LEVELS = flags.DEFINE_multi_integer("level", [5, 10, 15, 20], "Which levels; each removes a fifth.", lower_bound=1)
_RUN_DIR = flags.DEFINE_string(
    "run_dir", None, "A run with these levels. Default: one of three epochs a level is made."
)
BATCH, STEPS = 60, 200


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(_RUN_DIR.value or train(folder))

        import tf_lottery as tfl
        from tf_lottery.training import devices

        devices.configure(1, deterministic_ops=False)
        rows = []
        for level in _LEVELS.value:
            model = tfl.load_network(path, tfl.Unit(1, level))
            rows += of_level(f"level {level}, {tfl.density(model):.1%} kept", model)
    measuring.report(rows, "Training without dead units")


def of_level(case: str, model: object) -> list[dict[str, object]]:
    import tf_lottery as tfl

    small = tfl.make_prunable(tfl.compact(model))
    tfl.set_masks(small, {name: weight != 0 for name, weight in kernels(small).items()})
    compiling = []
    parts = {}
    for name, each in (("whole", model), ("without dead units", small)):
        started = time.perf_counter()
        parts[name] = steps_of(each)
        compiling.append(time.perf_counter() - started)
    seconds = measuring.in_turn(parts, _ROUNDS.value)
    milliseconds = {name: [1000 * each / STEPS for each in found] for name, found in seconds.items()}
    parameters = [float(tfl.export.costs(each).parameters) for each in (model, small)]
    whole, less = milliseconds.values()
    return [
        measuring.row(case, "whole", whole, "ms a step"),
        measuring.row(case, "without dead units", less, "ms a step", whole, "whole"),
        measuring.row(case, "parameters without them", parameters[1:], "", parameters[:1], "whole"),
        measuring.row(case, "to trace and compile that", compiling[1:], "s"),
    ]


def steps_of(model: object) -> object:
    """Train some steps once; returns a function that does it again."""
    from tf_lottery.data.dataset import Dataset, Split
    from tf_lottery.feeds.resident import Resident
    from tf_lottery.keras_compat import keras
    from tf_lottery.training.learning_rate import LearningRate
    from tf_lottery.training.trainer import Trainer

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20 * BATCH, 28, 28, 1)).astype(np.float32), np.arange(20 * BATCH, dtype=np.int32) % 10
    held_out = Split(x[:BATCH], y[:BATCH])
    feed = Resident(Dataset(Split(x, y), held_out, held_out, 10), batch_size=BATCH, longest=STEPS)
    optimizer = keras.optimizers.Adam(LearningRate(1.2e-3))
    trainer = Trainer(model, feed, optimizer=optimizer, steps=10**9, evaluate_every=STEPS, jit_compile=True)
    trainer.train(0, STEPS, shuffle_seed=0)
    return lambda: trainer.train(0, STEPS, shuffle_seed=0)


def kernels(model: object) -> dict[str, np.ndarray]:
    from tf_lottery.masking import model_masks

    return model_masks.prunable_weights(model)


def train(folder: str) -> str:
    only_tickets = ("--config.replicates=1", "--config.controls=()", "--config.stability.levels=()")
    length = (f"--config.prune.levels={max(_LEVELS.value)}", "--config.train.steps=3ep")
    command = ("scripts/find_tickets.py", "--config=configs/fashion_lenet.py", f"--run_dir={folder}/run")
    subprocess.run([sys.executable, *command, *only_tickets, *length], capture_output=True, check=True)
    return f"{folder}/run"


if __name__ == "__main__":
    cli.run(main)
