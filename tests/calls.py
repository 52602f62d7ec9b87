"""Run scripts in processes that are forked from one in which the slow imports are done.

Such a process has its own arguments, folder, environment, streams and exit status. What is read when a module is
imported (failpoints, PYTHONHASHSEED) comes from the first process: tests of these start an interpreter, and so do tests
of signals. TensorFlow is not imported before the fork; a script that trains imports it as anywhere.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import sys
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
_WARM = (
    *("tf_lottery.cli", "tf_lottery.experiment.find_tickets", "tf_lottery.experiment.smoke"),
    *("tf_lottery.report.page", "tf_lottery.report.progress_display", "tf_lottery.report.terminal"),
    *("matplotlib.backends.backend_agg", "matplotlib.figure", "scipy.stats", "rich.live", "rich.progress"),
)
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload([*_WARM, "pytest.__main__"])


def script(name, *arguments, env=None, patience=300):
    """Run scripts/NAME.py in the root folder and return its CompletedProcess, with text.

    Args:
        name: The script.
        arguments: Those of its command line.
        env: Its environment. Defaults to that of this process.
        patience: Seconds after which it is killed, with all processes that it started, and TimeoutError is raised.
    """
    with TemporaryDirectory() as folder:
        streams = [Path(folder, stream) for stream in ("stdout", "stderr")]
        for stream in streams:
            stream.touch()
        command = f"scripts/{name}.py", [*map(str, arguments)]
        process = _server.Process(target=_run, args=(*command, dict(env or os.environ), streams))
        process.start()
        process.join(patience)
        if process.exitcode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
            raise TimeoutError(f"{name}.py did not end in {patience} seconds: {streams[1].read_text()}")
        return CompletedProcess(name, process.exitcode, *(stream.read_text() for stream in streams))


def _run(path, arguments, environment, streams):
    os.setsid()
    for number, file in enumerate(streams, start=1):
        os.dup2(os.open(file, os.O_WRONLY), number)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    os.fsync = lambda descriptor: None  # as in conftest.py
    multiprocessing.set_start_method(None, force=True)
    of_user = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    inside = (str(ROOT), str(ROOT / "tests"), "")
    sys.path[:] = [str(ROOT / "scripts"), *of_user, *(entry for entry in sys.path if entry not in inside)]
    sys.argv = [path, *arguments]
    try:
        runpy.run_path(path, run_name="__main__")
    finally:
        atexit._run_exitfuncs()
