"""How long it takes until something happens: python scripts/benchmark/startup.py

Whole processes, in turn: importing TensorFlow alone and with this package; and a command that trains a single step,
plain Keras against `scripts/find_tickets.py`, which also says what is ahead, stores and reports. Claimed: this package
adds less than 0.3 s to the imports.
"""

import subprocess
import sys
import tempfile

import measuring
from absl import flags

from tf_lottery import cli

_ROUNDS = flags.DEFINE_integer("rounds", 5, "How often everything is measured.", lower_bound=1)

IMPORTS = {"tensorflow": "import tensorflow", "tensorflow, tf_lottery": "import tensorflow, tf_lottery"}
MORE = """
import tensorflow, keras, time
keras.layers
started = time.perf_counter()
import tf_lottery
[getattr(tf_lottery, name) for name in tf_lottery.__all__]
print(time.perf_counter() - started)
"""
ONE_FIT = """
import keras
from tf_lottery import data, models
digits = data.load("digits")
model = models.build("lenet_300_100", digits.input_shape, digits.num_classes)
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
held_out = digits.validation.x, digits.validation.y
model.fit(digits.train.x[:60], digits.train.y[:60], batch_size=60, verbose=0, validation_data=held_out)
"""
ONE_LEVEL = ("--config.replicates=1", "--config.controls=()", "--config.prune.levels=0")
ONE_STEP = ("--config.train.steps=1it", "--config.train.evaluate_every=1it")


def main() -> None:
    imports = {name: lambda code=code: run("-c", code) for name, code in IMPORTS.items()}
    commands = {"plain Keras": lambda: run("-c", ONE_FIT), "find_tickets": find_tickets}
    rows = []
    for case, parts in (("import", imports), ("one step", commands)):
        seconds = measuring.in_turn(parts, _ROUNDS.value)
        base, *others = parts
        rows.append(measuring.row(case, base, seconds[base], "s"))
        for name in others:
            rows.append(measuring.row(case, name, seconds[name], "s", seconds[base], base))
    more = [float(run("-c", MORE)) for _ in range(_ROUNDS.value)]
    rows.insert(
        len(IMPORTS), measuring.row("import", "every name of tf_lottery, after TensorFlow and Keras", more, "s")
    )
    measuring.report(rows, "Starting up")


def find_tickets() -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = ("--config=configs/digits_lenet.py", f"--run_dir={folder}/run", "--jobs=1")
        run("scripts/find_tickets.py", *config, *ONE_LEVEL, *ONE_STEP)


def run(*command: str) -> str:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    cli.run(main)
