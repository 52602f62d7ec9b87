"""Run scripts in processes that are forked from one in which the slow imports are done.

Such a process has its own arguments, folder, environment, streams and exit status. Settings that are read when a module
is imported or Python starts (failpoints, PYTHONHASHSEED, PYTHONIOENCODING) come from the first process, and so do
modules that a script uses but does not import: tests of these start an interpreter, and so do tests of signals.
TensorFlow is not imported before the fork; a script that trains imports it after that.
"""

import atexit
import contextlib
import multiprocessing
import os
import runpy
import signal
import sys
import time
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
_WARM = (
    *("tf_lottery.cli", "tf_lottery.experiment.find_tickets", "tf_lottery.experiment.smoke"),
    *("tf_lottery.report.page", "tf_lottery.report.progress_display", "tf_lottery.report.terminal"),
    *("matplotlib.backends.backend_agg", "matplotlib.figure", "scipy.stats", "rich.live", "rich.progress"),
)
_GRACE = 10  # seconds that other processes of a script have to end after it, as multiprocessing's resource tracker does
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload([*_WARM, "pytest.__main__"])


def script(name, *arguments, env=None, timeout=300):
    """Run scripts/NAME.py and return its CompletedProcess, with text.

    The script runs in the root folder of the repository: relative paths among its arguments are resolved there, and the
    package is imported from there. A call with `--help` ends with status 1, as absl has it.

    Args:
        name: The script, as in "find_tickets" or "benchmark/page".
        arguments: The arguments of its command line.
        env: Its environment. Defaults to that of this process.
        timeout: Seconds after which it is killed, with all processes that it started.

    Raises:
        FileNotFoundError: there is no such script.
        TimeoutError: it was killed.
        ChildProcessError: it has ended, but a process that it started had not, and was killed.
    """
    path = ROOT / f"scripts/{name}.py"  # absolute, so that processes that it spawns find it
    if not path.is_file():
        raise FileNotFoundError(f"there is no script {path}")
    command = [*map(str, (path, *arguments))]
    with TemporaryDirectory() as folder:
        streams = [Path(folder, stream) for stream in ("stdout", "stderr")]
        for stream in streams:
            stream.touch()
        process = _server.Process(target=_run, args=(command, dict(os.environ if env is None else env), streams))
        process.start()
        process.join(timeout)
        if is_late := process.exitcode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
        stdout, stderr = (stream.read_text() for stream in streams)
        if is_late:
            raise TimeoutError(
                f"{' '.join(command)}\ndid not end in {timeout} seconds.\nstdout:\n{stdout}\nstderr:\n{stderr}"
            )
        if not _ends(process.pid, _GRACE):
            os.killpg(process.pid, signal.SIGKILL)
            raise ChildProcessError(
                f"{' '.join(command)}\nleft a process behind.\nstdout:\n{stdout}\nstderr:\n{stderr}"
            )
        return CompletedProcess(command, process.exitcode, stdout, stderr)


def _ends(group, seconds):
    """Return whether all processes of a group end within `seconds`."""
    end = time.monotonic() + seconds
    while _is_running(group):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _is_running(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, _, its_group = file.read_text().rpartition(")")[2].split()[:3]
            if its_group == str(group) and state != "Z":  # a zombie has ended, and waits for its parent
                return True
    return False


def _run(command, environment, streams):
    os.setsid()
    for number, file in enumerate(streams, start=1):
        os.dup2(os.open(file, os.O_WRONLY), number)
    os.chdir(ROOT)
    # The processes that train import the package from here, even if .venv belongs to another clone.
    first = dict.fromkeys([str(ROOT), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))])
    os.environ.clear()
    os.environ.update(environment | {"PYTHONPATH": os.pathsep.join(first)})
    os.fsync = lambda descriptor: None  # as in conftest.py
    multiprocessing.set_start_method(None, force=True)
    others = (entry for entry in sys.path if entry not in (*first, str(ROOT / "tests"), ""))
    sys.path[:] = [str(Path(command[0]).parent), *first, *others]
    sys.argv = command
    try:
        runpy.run_path(command[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()
