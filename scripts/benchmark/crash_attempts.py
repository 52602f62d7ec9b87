"""One process tree that is killed or left alone. Needs Linux's /proc."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tf_lottery import failpoints

CHILD = Path(__file__).with_name("crash_child.py")
CHECKPOINT_EVERY = 3
_POLL_SECONDS = 0.01
_PATIENCE_SECONDS = 600
_DIED = "A training process died"


class Attempt:
    """A program of `crash_child.py` on a directory, in a session of its own.

    Args:
        program: Which one.
        directory: Its argument; output and errors are kept beside it.
        jobs: Trainings side by side.
        failpoint: Where one of its processes is to kill itself.
    """

    def __init__(self, program: str, directory: Path, *, jobs: int = 1, failpoint: str = ""):
        self._files = [directory.with_name(f"{directory.name}.{kind}") for kind in ("output", "errors")]
        arguments = [f"{CHECKPOINT_EVERY}it", str(jobs)] if program == "run" else []
        command = [sys.executable, CHILD, program, directory, *arguments]
        environment = {**os.environ, failpoints.VARIABLE: failpoint}
        with self._files[0].open("wb") as output, self._files[1].open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=errors, env=environment, start_new_session=True
            )
        self._started = time.monotonic()

    def lines(self) -> list[str]:
        """What it has said so far, whole lines."""
        text = self._files[0].read_text()
        return text[: text.rfind("\n") + 1].splitlines()

    @property
    def errors(self) -> str:
        return self._files[1].read_text(errors="replace")

    @property
    def is_training(self) -> bool:
        return any(line.startswith("steps ") for line in self.lines())

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def lasts(self, seconds: float) -> bool:
        """Wait; whether it is still running then."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def lasts_until_training(self) -> bool:
        """Wait for the first step; whether it is still running then."""
        while self.lasts(_POLL_SECONDS):
            if self.is_training:
                return True
        return False

    def kill(self, rng: random.Random) -> str:
        """Kill the parent, one of its workers or all of them; returns which."""
        target = rng.choice(["parent", "worker", "all"])
        workers = [process for process in self._members() if b"spawn_main" in _read(process, "cmdline")]
        if target == "worker" and workers:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(rng.choice(workers), signal.SIGKILL)
            return target
        if target == "all":
            os.killpg(self._process.pid, signal.SIGKILL)
            return target
        self._process.kill()
        return "parent"

    def end(self) -> str:
        """Wait for the end of all its processes; returns who was killed: `"parent"`, `"worker"` or nobody, `""`.

        Raises:
            RuntimeError: it has failed in another way, or left processes behind.
        """
        status = self._process.wait(_PATIENCE_SECONDS)
        until = time.monotonic() + _PATIENCE_SECONDS
        while self._members():
            if time.monotonic() > until:
                raise RuntimeError(f"processes were left behind: {self._members()}")
            time.sleep(_POLL_SECONDS)
        if notes := [line for line in self.lines() if line.startswith("note ")]:
            raise RuntimeError(f"there was something to say: {notes}")
        if status == -signal.SIGKILL:
            return "parent"
        if status == 1 and _DIED in self.errors:
            return "worker"
        if status:
            raise RuntimeError(f"it ended with status {status}: {self.errors[-1000:]}")
        return ""

    def _members(self) -> list[int]:
        """Return the processes of its session that are alive."""
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if self._is_member(int(path.name))]

    def _is_member(self, process: int) -> bool:
        fields = _read(process, "stat").rpartition(b")")[2].split()
        return len(fields) > 3 and fields[0] not in (b"Z", b"X") and int(fields[3]) == self._process.pid


def _read(process: int, name: str) -> bytes:
    try:
        return Path("/proc", str(process), name).read_bytes()
    except OSError:
        return b""
