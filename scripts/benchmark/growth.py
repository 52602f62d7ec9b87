"""How the time of an experiment grows: python scripts/benchmark/growth.py

Whole commands (`scripts/find_tickets.py` on LeNet-300-100 and handwritten digits, 3,000 steps a training) with 1, 5,
10 and 20 levels; with 1, 2 and 4 replicates of 5 levels, one job and two. Claimed: time grows with the number of
trainings, plus a start; two replicates side by side on two cores train at least 1.5 times as fast as one after the
other.

What grows with the size of a network is in level_turnover.py and stored_states.py (0.3, 20 and 25.5 million weights).
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

_ROUNDS = flags.DEFINE_integer("rounds", 2, "How often everything is measured.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 3000, "Of a training.", lower_bound=1)
LEVELS, REPLICATES, JOBS = (1, 5, 10, 20), (1, 2, 4), (1, 2)
LONG = 15_000  # steps, as in the papers' LeNet: what a process compiles once hardly counts then


def main() -> None:
    sizes = {f"{levels} level{'s' * (levels > 1)}, 1 replicate, 1 job": (levels, 1, 1) for levels in LEVELS}
    sizes |= {
        f"5 levels, {replicates} replicate{'s' * (replicates > 1)}, {jobs} job{'s' * (jobs > 1)}": (5, replicates, jobs)
        for replicates in REPLICATES
        for jobs in JOBS
        if jobs <= replicates
    }
    whole: dict[str, list[float]] = {name: [] for name in sizes}
    training: dict[str, list[float]] = {name: [] for name in sizes}
    for name in measuring.in_alternating_order(sizes, _ROUNDS.value):
        seconds, of_trainings = trained(*sizes[name])
        whole[name].append(seconds)
        training[name].append(of_trainings)
    rows = [measuring.row("whole command", name, whole[name], "s") for name in sizes]
    rows += [measuring.row("of it, trainings", name, training[name], "s") for name in sizes]
    rows.append(throughput())
    measuring.report(rows, f"Growth, {_STEPS.value:,} steps a training")


def throughput() -> dict[str, object]:
    """Of two replicates side by side, against one after the other."""
    found: dict[int, list[float]] = {jobs: [] for jobs in JOBS}
    for _ in range(_ROUNDS.value):
        for jobs in JOBS:
            _, seconds = trained(1, 2, jobs, LONG)
            found[jobs].append(60 * 4 / seconds)
    case, part = "throughput of training", f"2 replicates, 2 jobs, {LONG:,} steps a training"
    return measuring.row(case, part, found[2], "trainings a minute", found[1], "that of 1 job")


def trained(levels: int, replicates: int, jobs: int, steps: int = 0) -> tuple[float, float]:
    """Return the seconds of the command, and those of all its trainings, divided by the jobs: they are alike."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        experiment = ("scripts/find_tickets.py", "--config=configs/digits_lenet.py", "--config.controls=()")
        size = (f"--jobs={jobs}", f"--config.replicates={replicates}", f"--config.prune.levels={levels}")
        length = f"--config.train.steps={steps or _STEPS.value}it"
        command = [sys.executable, *experiment, *size, length, f"--run_dir={folder}/run"]
        subprocess.run(command, capture_output=True, check=True)
        seconds = time.perf_counter() - started
        found = [json.loads(path.read_text())["seconds"] for path in Path(folder).rglob("timing.json")]
        return seconds, sum(found) / jobs


if __name__ == "__main__":
    cli.run(main)
