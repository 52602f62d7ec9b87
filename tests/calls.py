"""Calls of scripts, each in a process that is forked from a warm one: imports take longer than most scripts run.

The process is as a user's in all but its imports: its own arguments, folder, environment, streams and exit status.
TensorFlow is not among what is imported before the fork, so that a script that trains starts it as anywhere.
"""

import multiprocessing
import os
import runpy
import sys
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
_WARM = (
    *("tf_lottery.command_line", "tf_lottery.experiment.find_tickets", "tf_lottery.experiment.smoke"),
    *("tf_lottery.report.page", "tf_lottery.report.progress", "tf_lottery.report.terminal"),
    *("matplotlib.backends.backend_agg", "matplotlib.figure", "scipy.stats", "rich.live", "rich.progress"),
)
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload([*_WARM, "calls", "pytest.__main__"])


def script(name, *arguments, env=None, patience=300):
    """Returns the CompletedProcess of scripts/NAME.py, with texts, called in the root folder."""
    with TemporaryDirectory() as folder:
        streams = [Path(folder, stream) for stream in ("stdout", "stderr")]
        process = _server.Process(
            target=_run, args=(f"scripts/{name}.py", [*map(str, arguments)], dict(env or os.environ), streams)
        )
        process.start()
        process.join(patience)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"{name}.py did not end in {patience} seconds: {streams[1].read_text()}")
        output, errors = (stream.read_text() for stream in streams)
        return CompletedProcess(name, process.exitcode, output, errors)


def _run(path, arguments, environment, streams):
    for stream, file in zip((sys.stdout, sys.stderr), streams, strict=True):
        stream.flush()
        os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY), {sys.stdout: 1, sys.stderr: 2}[stream])
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    os.fsync = lambda descriptor: None  # as in conftest.py
    sys.path[:0] = [str(ROOT / "scripts"), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = [path, *arguments]
    runpy.run_path(path, run_name="__main__")
