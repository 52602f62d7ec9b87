"""Whether a run that is killed anywhere loses or changes a result: python scripts/benchmark/crash_matrix.py

Programs of `crash_child.py` are killed with SIGKILL, at every failpoint there is and at random times, and started again
until they end by themselves. Then every byte but those of wall-clock times and locks must be what a program leaves that
nobody has disturbed. After every kill the files under their final names must be whole, those of finished levels
untouched, and no more than one checkpoint interval may be done again. Any breach is a failure: exit status 1.

A quarter of the random kills come while a program starts, the others while it trains and writes its report; each hits
the program itself, one of its workers, or all of its processes.
"""

import itertools
import os
import platform
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from absl import flags
from crash_attempts import Attempt
from crash_chains import chains
from crash_watch import Watch, digest

from tf_lottery import cli, failpoints
from tf_lottery.errors import RunError

_KILLS = flags.DEFINE_integer("kills", 200, "Kills at random times, at least.", lower_bound=0)
_FAILPOINTS = flags.DEFINE_list(
    "failpoints", ["all"], "All, or some to be killed at one after the other: 'manifest: renamed,report: begins 2'."
)
_PARALLEL = flags.DEFINE_integer("parallel", 2, "Programs side by side.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the random times.")
_WORK_DIR = flags.DEFINE_string("work_dir", None, "Where to work; what has failed stays there. Default: a new folder.")

_SHARE_AT_START = 0.25


class Matrix:
    """The kills, their counts, and what an undisturbed program leaves."""

    def __init__(self, folder: Path):
        self.folder, self.counts, self.failures = folder, Counter(), []
        self.reached: dict[str, Counter[str]] = {}
        self.repeated, self._lock, self._names = 0, threading.Lock(), itertools.count(1)
        self.expected: dict[str, dict[str, str]] = {}
        self.starting = self.training = 0.0

    def undisturbed(self, program: str) -> None:
        """Run a program once and keeps what it leaves, and the seconds it takes."""
        attempt = Attempt(program, directory := self.folder / f"undisturbed_{program}", jobs=2)
        attempt.lasts_until_training()
        starting = attempt.seconds
        attempt.end()
        self.expected[program] = digest(directory)
        if program == "run":
            self.starting, self.training = starting, attempt.seconds - starting
            say(f"undisturbed: {starting:.1f} s to the first step, {self.training:.1f} s from there")

    def chain(self, program: str, chain: list[str]) -> None:
        """Kill a program at one failpoint after the other."""
        self._guarded(f"chain of {chain[0]!r}", program, lambda watch: self._chain(program, chain, watch))

    def lane(self) -> None:
        """Kill runs at random times, one run after the other, until there were kills enough."""
        while self.counts["kills"] < _KILLS.value and not self.failures:
            number = next(self._names)
            rng = random.Random(f"{_SEED.value} {number}")
            self._guarded(f"run {number}", "run", lambda watch, rng=rng: self._killed_at_random(watch, rng))

    def _guarded(self, name: str, program: str, task: Callable[[Watch], None]) -> None:
        """Do a task in a directory of its own, which stays if it fails."""
        directory = Path(tempfile.mkdtemp(prefix=f"{program}_", dir=self.folder)) / "directory"
        watch, started = Watch(directory), time.monotonic()
        try:
            task(watch)
            actual, expected = digest(directory), self.expected[program]
            if different := [file for file in {**actual, **expected} if actual.get(file) != expected.get(file)]:
                self._count(differing=1)
                raise RuntimeError(f"other bytes: {', '.join(different)}")
        except Exception as error:
            self.failures.append(f"{name}: {error} See {directory}.")
            say(f"FAILED: {self.failures[-1]}")
        else:
            shutil.rmtree(directory.parent)
            say(f"{name}: same bytes after {time.monotonic() - started:.0f} s; {self.counts['kills']} random kills")
        self._count(redone=watch.redone, states=watch.states)
        with self._lock:
            self.repeated = max(self.repeated, watch.repeated)

    def _chain(self, program: str, chain: list[str], watch: Watch) -> None:
        for failpoint in chain:
            attempt = Attempt(program, watch.directory, failpoint=failpoint)
            if not (killed := attempt.end()):
                raise RuntimeError(f"it was never at {failpoint!r}.")
            watch.look(attempt)
            with self._lock:
                self.reached.setdefault(failpoint.rstrip(" 0123456789"), Counter())[killed] += 1
        attempt = Attempt(program, watch.directory)
        if attempt.end():
            raise RuntimeError("it was killed by somebody else.")
        watch.look(attempt)

    def _killed_at_random(self, watch: Watch, rng: random.Random) -> None:
        while True:
            attempt = Attempt("run", watch.directory, jobs=rng.choice([1, 2]))
            target = self._strike(attempt, rng) if self.counts["kills"] < _KILLS.value else ""
            was_training, killed = attempt.is_training, attempt.end()
            if target and (killed or target == "worker"):  # a worker with nothing left to do is not missed
                when = "training" if was_training else "resuming" if watch.has_begun else "starting"
                self._count(**{"kills": 1, target: 1, when: 1})
            watch.look(attempt)
            self._count(attempts=1)
            if not killed:
                break
            if not target:
                raise RuntimeError("it was killed by somebody else.")
        self._count(runs=1)

    def _strike(self, attempt: Attempt, rng: random.Random) -> str:
        """Kill an attempt at a random time, if it lasts so long; returns which of its processes."""
        if rng.random() < _SHARE_AT_START:
            is_running = attempt.lasts(rng.uniform(0, self.starting))
        else:  # half of the time, so that a run is killed several times before it ends
            is_running = attempt.lasts_until_training() and attempt.lasts(rng.uniform(0, self.training / 2))
        return attempt.kill(rng) if is_running else ""

    def _count(self, **more: int) -> None:
        with self._lock:
            self.counts.update(more)


def main() -> None:
    folder = Path(_WORK_DIR.value or tempfile.mkdtemp(prefix="crash_matrix_"))
    folder.mkdir(parents=True, exist_ok=True)
    matrix, started = Matrix(folder), time.monotonic()
    asked = [chain for chain in [_FAILPOINTS.value] if chain]
    todo = chains() if asked == [["all"]] else [("run", chain) for chain in asked]
    for program in {"run": None} | dict.fromkeys(program for program, _ in todo):
        matrix.undisturbed(program)
    with ThreadPoolExecutor(_PARALLEL.value) as pool:
        tasks = [pool.submit(matrix.chain, *chain) for chain in todo]
        tasks += [pool.submit(matrix.lane) for _ in range(_PARALLEL.value)]
        try:
            for task in tasks:
                task.result()
        except KeyboardInterrupt:
            matrix.failures.append("Interrupted.")  # ends the lanes
            pool.shutdown(cancel_futures=True)
            raise
    if asked == [["all"]]:
        expected = [name for name in failpoints.names() if not name.startswith(failpoints.EXPORTED)]
        matrix.failures += [f"{name!r} is in no chain." for name in expected if name not in matrix.reached]
    show(matrix, time.monotonic() - started)
    if matrix.failures:
        raise RunError(f"{len(matrix.failures)} failures: {' '.join(matrix.failures)}")


def show(matrix: Matrix, seconds: float) -> None:
    """Print all counts."""
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in ("tensorflow", "keras", "tf-keras"))
    say(f"Python {platform.python_version()}, {packages}, {os.cpu_count()}-core CPU, {seconds:.0f} s")
    say(f"\n{'killed at':<34}{'parent':>8}{'worker':>8}")
    for name, killed in sorted(matrix.reached.items()):
        say(f"{name:<34}{killed['parent']:>8}{killed['worker']:>8}")
    counts = matrix.counts
    for name, count in {
        "failpoints killed at": len(matrix.reached),
        "kills there": sum(killed.total() for killed in matrix.reached.values()),
        "kills at random times": counts["kills"],
        "  while a new run started": counts["starting"],
        "  while a run was resumed": counts["resuming"],
        "  after the first step": counts["training"],
        "  of the program itself": counts["parent"],
        "  of one worker": counts["worker"],
        "  of all processes": counts["all"],
        "runs killed at random, to their end": counts["runs"],
        "programs started for them": counts["attempts"],
        "trainings gone on from a state": counts["states"],
        "most steps done again": matrix.repeated,
        "levels redone": counts["redone"],
        "differing digests": counts["differing"],
        "failures": len(matrix.failures),
    }.items():
        say(f"{name:<40}{count:>6}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    cli.run(main)
