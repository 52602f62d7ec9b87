"""A run with synthetic results, killed at every failpoint, at each of the first times when it comes there.

`python failpoints_of_runs.py FOLDER TIMES` kills it at the first TIMES of a failpoint, and writes what was found to
FOLDER/found.json. One process forks all others, because imports take longer than a run.
"""

import contextlib
import importlib
import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path

import fakes
import numpy as np
import runs

from tf_lottery import failpoints
from tf_lottery.experiment import open_run, plan
from tf_lottery.experiment.config import Prune, Stability
from tf_lottery.experiment.storage import Run
from tf_lottery.masking.ticket import Ticket

CONFIG = fakes.experiment(replicates=1, prune=Prune(levels=1), controls=(), stability=Stability((1,), shuffle_seeds=1))
NEEDS = plan.needs(CONFIG)
UNITS = [*NEEDS]
STEPS = 3  # one more than there are states kept, so that an old one goes
MASK = np.array([True, False, True])
OTHERS = ("callback", "ticket file", *failpoints.EXPORTED)
NAMES = [name for name in failpoints.names() if not name.startswith(OTHERS)]


def perform(path):
    """The run, from wherever it is: what `find_tickets` does, without networks."""
    run = open_run.open_run(path, CONFIG, fakes.ENVIRONMENT)
    for unit in UNITS:
        run.tidy(unit)
        if not run.is_done(unit):
            train(run, unit)
    run.write_report(lambda: {"tickets.csv": b"level,density\n", "index.html": b"<html></html>"})


def train(run, unit):
    """Every step changes the weights, and all of them show in the end."""
    begun = next(iter(run.checkpoint_steps(unit)), 0)
    weights = run.checkpoint(unit, begun).weights["final"]["w"] if begun else start(run, unit)
    for step in range(begun + 1, STEPS + 1):
        weights = np.where(MASK, 3 * weights + step, 0)
        run.save_checkpoint(unit, step, Ticket({"w": MASK}, {"final": {"w": weights}}))
    rewound = {} if unit.level else {"rewind": {"slot": np.arange(3.0)}}
    line = [{"share": 0.5, "test_error": 0.1, "test_loss": 0.2}] if unit.shuffle_seed else []
    fakes.save(
        run,
        unit,
        ticket=Ticket({"w": MASK}, {"rewind": {"w": weights}, "final": {"w": weights}}),
        optimizer=rewound,
        line=line,
    )


def start(run, unit):
    return run.ticket(needed).weights["final"]["w"] if (needed := NEEDS[unit]) else np.ones(3)


def is_killed(path, failpoint="", times=1):
    """Whether a process that performs the run is killed; raises RuntimeError where it fails."""
    if not (child := os.fork()):
        with contextlib.suppress(BaseException):
            os.environ[failpoints.VARIABLE] = f"{failpoint} {times}"
            importlib.reload(failpoints)
            try:
                perform(path)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
        os._exit(1)
    _, status = os.waitpid(child, 0)
    if status not in (0, signal.SIGKILL):
        raise RuntimeError("it does not go on")
    return status == signal.SIGKILL


def struck(path, expected, *kills):
    """What is wrong with a run that is killed here and there, and then performed to its end; None if it never was."""
    shutil.rmtree(path, ignore_errors=True)
    faults = []
    for kill in kills:
        if not is_killed(path, *kill):
            return None
        faults += wrong_with(path)
    done = results(path)
    try:
        is_killed(path)
    except RuntimeError as error:
        faults.append(str(error))
    if runs.digest(path) != expected:
        faults.append("other bytes")
    if any(results(path).get(file) != written for file, written in done.items()):
        faults.append("a result was written again")
    return faults


def wrong_with(path):
    """What is not whole."""
    if not (path / "config.json").exists():
        return []
    return [fault for unit in UNITS for _, fault in Run.load(path).verify(unit) if fault]


def results(path):
    """The files of finished trainings: which, and when they were written."""
    folders = [manifest.parent for manifest in path.rglob("manifest.json")]
    found = [file for folder in folders for file in folder.glob("[!.c]*")]  # neither temporary files nor checkpoints
    return {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in found}


def at_every_time(path, expected, name, most):
    """The faults of a run killed at a failpoint the first time, the second time, … as often as it comes there."""
    found = []
    while len(found) < most and (faults := struck(path, expected, (name, len(found) + 1))) is not None:
        found.append(faults)
    return found


def main(folder, times):
    os.fsync = lambda descriptor: None  # the machine stays up: what is written is there for the next process
    is_killed(folder / "undisturbed")
    expected, path = runs.digest(folder / "undisturbed"), folder / "run"
    once = {name: at_every_time(path, expected, name, times) for name in NAMES}
    twice = {
        f"{first}, then {second}": struck(path, expected, (first,), (second,))
        for first in NAMES
        if "half written" in first or "renamed" in first
        for second in ("leftover: begins", "leftover: done")
    }
    (folder / "found.json").write_text(json.dumps({"once": once, "twice": twice}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
