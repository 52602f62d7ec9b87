"""Whole experiments through the script: real data, real processes, kills included."""

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import calls
import pandas as pd
import pytest
import runs
from tiers import nightly, slow

from tf_lottery import Run, data
from tf_lottery.data.dataset import checksum
from tf_lottery.experiment.storage import Unit

SMALL = (
    "--config.replicates=2",
    "--config.prune.levels=2",
    "--config.prune.rewind_to=7it",
    "--config.train.steps=40it",
    "--config.train.evaluate_every=10it",
)


def command(run_dir, *arguments):
    return runs.command(run_dir, *SMALL, *arguments)


def find_tickets(run_dir, *arguments):
    return runs.find_tickets(run_dir, *SMALL, *arguments)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "run"
    return path, find_tickets(path, "--jobs=1")


def test_a_run_has_all_its_units_and_a_report(finished):
    path, output = finished
    run = Run.load(path)
    rows = pd.read_csv(path / "report/tickets.csv")
    assert len(rows) == 2 * 3 + 2 * 2 * 2
    assert rows[rows.level == 2].kept.unique().tolist() == [run.metrics(Unit(1, 2))["kept"]]
    (environment,) = run.environments()
    assert environment["switches"]["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert environment["data"] == {"digits": checksum(data.load("digits"))}
    assert "14 training runs to do" in output
    assert "Report: " in output


def test_kept_counts_follow_the_exact_recursion(finished):
    run = Run.load(finished[0])
    sizes = {"dense/kernel": 19_200, "dense_1/kernel": 30_000, "output/kernel": 1_000}
    for name, rate in {"dense/kernel": 0.2, "dense_1/kernel": 0.2, "output/kernel": 0.1}.items():
        kept = sizes[name]
        for level in range(3):
            assert run.ticket(Unit(1, level)).masks[name].sum() == kept
            kept -= round(rate * kept)


@pytest.mark.slow
def test_any_number_of_jobs_gives_the_same_bytes(finished, tmp_path):
    find_tickets(tmp_path / "run", "--jobs=3")
    assert runs.digest(tmp_path / "run") == runs.digest(finished[0])


def test_a_finished_run_is_not_trained_again(finished):
    path, _ = finished
    before = written(path)
    assert "to do" not in find_tickets(path)
    assert "to do" not in find_tickets(path, "--config.replicates=1", "--config.controls=()")
    assert written(path) == before


def written(path):
    """Return the times at which the results were written."""
    files = [file for file in path.rglob("replicate_*/**/*") if file.suffix != ".lock"]
    return {file: file.stat().st_mtime_ns for file in files}


@pytest.mark.slow
def test_an_extended_run_equals_one_that_was_trained_in_one_go(finished, tmp_path):
    run_dir = tmp_path / "run"
    find_tickets(
        run_dir, "--jobs=2", "--config.prune.levels=1", "--config.replicates=1", "--config.controls=('reinit',)"
    )
    output = find_tickets(run_dir, "--jobs=2", "--config.controls=('random_mask','reinit')")
    assert "11 training runs to do, 3 done before" in output
    assert runs.digest(run_dir) == runs.digest(finished[0])


def test_a_users_keras_json_and_variables_change_no_byte_of_a_new_or_resumed_run(finished, tmp_path):
    (tmp_path / "keras.json").write_text(
        '{"floatx": "float64", "epsilon": 0.01, "backend": "jax", "image_data_format": "channels_first"}'
    )
    mine = {
        **{"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "torch", "KERAS_MAX_EPOCHS": "1", "PYTHONHASHSEED": "7"},
        **{"TF_NUM_INTRAOP_THREADS": "3", "TF_NUM_INTEROP_THREADS": "3", "OMP_NUM_THREADS": "3"},
    }
    find_tickets(tmp_path / "run", "--config.replicates=1", "--config.prune.levels=1")
    resumed = calls.script("find_tickets", *command(tmp_path / "run")[2:], env=os.environ | mine)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert runs.digest(tmp_path / "run") == runs.digest(finished[0])


@pytest.mark.slow
def test_a_variable_that_changes_bits_is_refused_by_name_when_a_run_is_resumed(tmp_path):
    find_tickets(tmp_path / "run", "--config.replicates=1", "--config.prune.levels=1")
    for name, value, then in (("TF_ENABLE_ONEDNN_OPTS", "0", "1"), ("ONEDNN_MAX_CPU_ISA", "SSE41", "not set")):
        refused = calls.script("find_tickets", *command(tmp_path / "run")[2:], env=os.environ | {name: value})
        assert refused.returncode == 1
        assert f": switches.{name}={then} (run), switches.{name}={value} (now). Resume in that one" in refused.stderr


@pytest.mark.slow
def test_an_impossible_keras_json_is_one_clear_line(tmp_path):
    (tmp_path / "keras.json").write_text('{"floatx": "float31"}')
    refused = calls.script(
        "find_tickets", *command(tmp_path / "run")[2:], env=os.environ | {"KERAS_HOME": str(tmp_path)}
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: Keras cannot be imported. A value in its file keras.json, in the folder ")
    assert refused.stderr.count("\n") == 1


@contextlib.contextmanager
def started(command):
    """Start a program that can be interrupted."""
    with subprocess.Popen(
        command,
        cwd=calls.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A background job of a shell ignores Ctrl-C, and so would the program that it starts.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def struck_in_the_middle(run_dir, strike):
    """Start a run, call `strike(process id, workers)` when a few units are finished, and wait for its end."""
    with started(command(run_dir, "--jobs=2")) as process:
        while process.poll() is None and len(list(run_dir.rglob("manifest.json"))) < 3:
            time.sleep(0.02)
        workers = children(process.pid)
        strike(process.pid, workers)
        _, errors = process.communicate(timeout=60)
    assert len(workers) >= 2
    assert all_gone(workers)
    return process.returncode, errors


@pytest.mark.parametrize(
    ("kill", "expected"),
    [
        slow(signal.SIGINT, 130),
        nightly(signal.SIGTERM, 143),
        slow(signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_an_interrupted_run_resumes_and_ends_with_the_same_bytes(finished, tmp_path, kill, expected):
    run_dir = tmp_path / "run"
    status, errors = struck_in_the_middle(run_dir, lambda pid, workers: os.kill(pid, kill))
    assert status == expected
    if kill != signal.SIGKILL:
        message = f"Interrupted. Finished units are stored in {run_dir}; the same command resumes from there."
        assert errors.splitlines()[-1] == message
        assert "Traceback" not in errors
    assert "done before" in find_tickets(run_dir, "--jobs=2")
    assert runs.digest(run_dir) == runs.digest(finished[0])


@pytest.mark.slow
def test_a_worker_that_dies_is_one_clear_line_and_the_run_can_be_resumed(finished, tmp_path):
    run_dir = tmp_path / "run"
    status, errors = struck_in_the_middle(run_dir, lambda pid, workers: os.kill(workers[-1], signal.SIGKILL))
    assert status == 1
    assert errors.startswith("Error: A training process died")
    assert errors.count("\n") == 1
    find_tickets(run_dir, "--jobs=2")
    assert runs.digest(run_dir) == runs.digest(finished[0])


LONG = ("--config.replicates=1", "--config.prune.levels=1", "--config.controls=()", "--config.train.steps=6000it")
ENDLESS = ("--config.train.steps=1000000it", "--config.train.evaluate_every=1000it")


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    path = tmp_path_factory.mktemp("long") / "run"
    runs.find_tickets(path, *SMALL, *LONG)
    return path


@pytest.mark.nightly
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_unit_that_is_stopped_saves_a_checkpoint_and_resumes_from_it(long, tmp_path, sign):
    run_dir, under_way = tmp_path / "run", Unit(1, 1)
    with started(command(run_dir, *LONG)) as process:
        while not list(run_dir.glob("*/level_00/manifest.json")):
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(0.5)  # level 1 has begun
        process.send_signal(sign)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + sign
    assert "Stopping: each unit saves a checkpoint and ends." in said
    (step,) = Run.load(run_dir).checkpoint_steps(under_way)
    with started(command(run_dir, *LONG, "--checkpoint_every=1it")) as process:
        while Run.load(run_dir).checkpoint_steps(under_way) == [step]:
            assert process.poll() is None
            time.sleep(0.02)
    assert min(Run.load(run_dir).checkpoint_steps(under_way)) >= step  # otherwise it started again
    assert "1 training runs to do, 1 done before" in find_tickets(run_dir, *LONG)
    assert runs.digest(run_dir) == runs.digest(long)


@pytest.mark.nightly
@pytest.mark.parametrize("every", ["1it", "7it"])
def test_results_do_not_depend_on_the_checkpoint_interval(finished, tmp_path, every):
    find_tickets(tmp_path / "run", "--jobs=2", f"--checkpoint_every={every}")
    assert runs.digest(tmp_path / "run") == runs.digest(finished[0])


@pytest.mark.nightly
def test_two_processes_share_the_replicates_of_a_run(finished, tmp_path):
    run_dir = tmp_path / "run"
    commands = [command(run_dir, "--jobs=1", f"--only_replicates={replicate}") for replicate in (1, 2)]
    with started(commands[0]) as first, started(commands[1]) as second:
        for process in (first, second):
            _, errors = process.communicate(timeout=200)
            assert process.returncode == 0 or "is working on the report" in errors
    report = [sys.executable, "scripts/report.py", f"--run_dir={run_dir}"]
    subprocess.run(report, cwd=calls.ROOT, check=True, capture_output=True)
    assert runs.digest(run_dir) == runs.digest(finished[0])


def until_training(process):
    """Read what a program prints before it begins to train."""
    said = ""
    while "to do" not in said:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        said += line
    return said


@pytest.mark.slow
def test_a_replicate_that_another_process_trains_is_refused_with_the_name_of_that_process(tmp_path):
    run_dir = tmp_path / "run"
    with started(command(run_dir, *ENDLESS, "--jobs=1")) as first:
        until_training(first)
        with started(command(run_dir, *ENDLESS, "--jobs=1", "--only_replicates=2")) as second:
            _, errors = second.communicate(timeout=60)
        assert first.poll() is None
    assert second.returncode == 1
    assert errors.startswith(f"Error: Process {first.pid} on ")
    assert errors.endswith(f" is working on replicate 2 of {run_dir}; wait for it to end.\n")


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def all_gone(processes, patience=30):
    """Return whether the processes end soon."""
    for _ in range(10 * patience):
        if not any(is_running(process) for process in processes):
            return True
        time.sleep(0.1)
    return False


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_sweep_prints_how_long_it_will_take_and_is_reported_by_variant(tmp_path):
    variants = "{'k=0': {}, 'k=2': {'prune.rewind_to': '2it', 'controls': ()}}"
    arguments = (f"--config.variants={variants}", "--config.stability.levels=(1,)", "--config.replicates=1", "--jobs=1")
    said = runs.find_tickets(tmp_path / "run", "--smoke", *arguments)
    # One dense network; of k=0 a ticket and two controls, in a further order dense, ticket, random mask; of k=2 three.
    plan = r"^10 training runs to do; \d+ optimizer steps in all: about \d+ s of training with jobs=1\. Measuring"
    assert re.search(plan, said, re.MULTILINE)
    assert "10/10 training runs" in said
    page = (tmp_path / "run/report/index.html").read_text()
    assert "k=0" in page
    assert "k=2" in page
    again = runs.find_tickets(tmp_path / "run", "--smoke", *arguments)
    assert "training runs to do" not in again
