"""A whole experiment against the same trainings without one: python scripts/benchmark/whole_experiment.py

Five levels of LeNet-300-100 on Fashion-MNIST (batch 60, evaluation every epoch): six trainings. Measured are whole
commands, from start to end, with imports, data, compilation, all that is stored and the report; in turn:

- `scripts/find_tickets.py`, one job;
- plain Keras `fit` on the same arrays, at its best (`--steps_per_execution` and XLA tried beforehand) and as most write
  it; nothing is pruned, rewound or stored;
- the best `fit` with the PyPI package lottery-ticket-pruner (see plain_fit.py).

Needs Fashion-MNIST (scripts/prepare_data.py) and `pip install lottery-ticket-pruner`. Predicted: 1.1 times the best
fit. Claimed: at most 1.15 times.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measuring
from absl import flags

from tf_lottery import cli

_ROUNDS = flags.DEFINE_integer("rounds", 3, "How often everything is measured.", lower_bound=1)
_EPOCHS = flags.DEFINE_integer("epochs", 3, "Of each training.", lower_bound=1)
LEVELS, STEPS_AN_EPOCH = 5, 917
FIT = ("scripts/benchmark/plain_fit.py", f"--trainings={LEVELS + 1}")
BEST = ("--steps_per_execution=100", "--jit_compile")


def main() -> None:
    fit = (*FIT, f"--epochs={_EPOCHS.value}")
    contenders = {
        "best fit": lambda: of_fits(*fit, *BEST),
        "fit as most write it": lambda: of_fits(*fit),
        "best fit, lottery-ticket-pruner": lambda: of_fits(*fit, *BEST, "--pruner"),
        "find_tickets": find_tickets,
    }
    whole: dict[str, list[float]] = {name: [] for name in contenders}
    step: dict[str, list[float]] = {name: [] for name in contenders}
    for name in measuring.in_alternating_order(contenders, _ROUNDS.value):
        started = time.perf_counter()
        trainings = contenders[name]()
        whole[name].append(time.perf_counter() - started)
        step[name].append(1000 * min(trainings) / (_EPOCHS.value * STEPS_AN_EPOCH))
    rows = [
        measuring.row(case, name, found[name], unit, found["best fit"] if name != "best fit" else None, "best fit")
        for case, unit, found in (("whole command", "s", whole), ("a step of the fastest training", "ms", step))
        for name in contenders
    ]
    measuring.report(rows, f"{LEVELS + 1} trainings of {_EPOCHS.value} epochs")


def find_tickets() -> list[float]:
    """Return the seconds of each training."""
    with tempfile.TemporaryDirectory() as folder:
        epochs = (f"--config.train.steps={_EPOCHS.value}ep", "--config.train.evaluate_every=1ep")
        only_tickets = ("--config.replicates=1", "--config.controls=()", "--config.stability.levels=()")
        run(
            *("scripts/find_tickets.py", "--config=configs/fashion_lenet.py", f"--run_dir={folder}/run", "--jobs=1"),
            *(*epochs, *only_tickets, f"--config.prune.levels={LEVELS}"),
        )
        return [json.loads(path.read_text())["seconds"] for path in Path(folder).rglob("timing.json")]


def of_fits(*command: str) -> list[float]:
    """Return the seconds of each training."""
    return [float(line) for line in run(*command).split()]


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    cli.run(main)
