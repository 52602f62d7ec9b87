"""Whole experiments on two replicas: two devices of one process, and two processes that are connected by address."""

import json
import os
import signal
import socket
import subprocess
import time

import calls
import numpy as np
import pytest
import runs

from tf_lottery import Run
from tf_lottery.experiment.storage import Unit

SMALL = (
    *("--config.replicates=1", "--config.prune.levels=2", "--config.prune.rewind_to=7it"),
    *("--config.train.steps=40it", "--config.train.evaluate_every=10it", "--config.controls=('random_mask',)"),
)
MIRRORED = ("--strategy=mirrored", "--devices=2")
WITH_BATCH_NORM = (
    *("--config.model.name=resnet_8_w4", "--config.train.jit_compile=False", "--config.prune.levels=1"),
    *("--config.controls=()", "--checkpoint_every=5it"),
)
STOPPED, SAVED = "Error: replicate 1, level 0 was stopped", "a checkpoint saved; the same command resumes from there."
PATIENCE = 200  # seconds


def free_ports():
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in (first, second)]


def start_mirrored(run_dir, *arguments):
    return [start(runs.command(run_dir, *SMALL, *MIRRORED, *arguments), {})]


def start_workers(run_dir, *arguments, number=2):
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports()]}
    return [
        start(
            runs.command(run_dir, *SMALL, "--strategy=multi_worker", *arguments),
            {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})},
        )
        for index in range(number)
    ]


def start(command, environment):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=calls.ROOT, env=os.environ | environment, text=True, **pipes)


def ended(processes, patience=PATIENCE):
    """Return the status, output and errors of each process."""
    results = []
    for process in processes:
        output, errors = process.communicate(timeout=patience)
        results.append((process.returncode, output, errors))
    return results


STARTS = {"mirrored": start_mirrored, "multi_worker": start_workers}


@pytest.fixture(scope="module", params=STARTS)
def finished(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "run"
    return request.param, path, ended(STARTS[request.param](path))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "run"
    runs.find_tickets(path, *SMALL, "--jobs=2")
    return Run.load(path)


@pytest.mark.slow
def test_all_workers_end_well_and_the_chief_reports(finished):
    strategy, path, results = finished
    assert [status for status, _, _ in results] == [0] * len(results), results[-1][2][-2000:]
    assert ["Report: " in output for _, output, _ in results] == [True, False][: len(results)]
    assert (path / "report/index.html").exists()
    (environment,) = Run.load(path).environments()
    assert (environment["strategy"], environment["replicas"]) == (strategy, 2)


@pytest.mark.slow
def test_two_replicas_find_the_tickets_of_one(finished, alone):
    run = Run.load(finished[1])
    for level in (0, 1, 2):
        two, one = run.ticket(Unit(1, level)), alone.ticket(Unit(1, level))
        assert all(np.array_equal(two.masks[name], mask) for name, mask in one.masks.items())
        for group in ("rewind", "final"):
            for name, array in one.weights[group].items():
                np.testing.assert_allclose(two.weights[group][name], array, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_worker_that_is_stopped_stops_the_others_and_a_checkpoint_is_saved(tmp_path):
    endless = ("--config.train.steps=1000000it", "--checkpoint_every=100it")
    processes = start_workers(run_dir := tmp_path / "run", *endless)
    while not list(run_dir.glob("*/level_00/checkpoint_*")):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)
    processes[-1].send_signal(signal.SIGTERM)
    (status, _, errors), (of_stopped, _, errors_of_stopped) = ended(processes)
    assert of_stopped == 143
    assert "Interrupted" in errors_of_stopped
    step = Run.load(run_dir).checkpoint_steps(Unit(1, 0))[0]
    assert (status, errors) == (1, f"{STOPPED} at step {step} with {SAVED}\n")


@pytest.mark.nightly
def test_a_worker_that_waits_for_another_can_be_stopped(tmp_path):
    (process,) = start_workers(tmp_path / "run", number=1)
    time.sleep(10)
    process.send_signal(signal.SIGTERM)
    ((status, _, errors),) = ended([process], patience=30)
    assert status == 143
    assert "Interrupted" in errors


@pytest.mark.nightly
def test_killed_in_the_middle_no_process_stays_and_the_same_command_ends_with_the_same_bytes(finished, tmp_path):
    strategy, path, _ = finished
    run_dir = tmp_path / "run"
    processes = STARTS[strategy](run_dir)
    while all(process.poll() is None for process in processes) and len(list(run_dir.rglob("manifest.json"))) < 2:
        time.sleep(0.05)
    assert all(process.poll() is None for process in processes)
    processes[-1].send_signal(signal.SIGKILL)
    for status, _, errors in ended(processes)[:-1]:
        assert status == 1
        assert errors.strip().splitlines()[-1].startswith("Error: ")
        assert "he same command" in errors.strip().splitlines()[-1]
        assert "Traceback" not in errors
    again = ended(STARTS[strategy](run_dir))
    assert [status for status, _, _ in again] == [0] * len(again), again[0][2][-2000:]
    assert "done before" in again[0][1]
    assert runs.digest(run_dir) == runs.digest(path)


@pytest.mark.nightly
@pytest.mark.parametrize("strategy", STARTS)
def test_killed_in_the_middle_of_a_level_the_batch_norm_of_each_replica_is_resumed(tmp_path, strategy):
    whole, run_dir = ended(STARTS[strategy](tmp_path / "whole", *WITH_BATCH_NORM)), tmp_path / "run"
    assert [status for status, _, _ in whole] == [0] * len(whole), whole[0][2][-2000:]
    processes = STARTS[strategy](run_dir, *WITH_BATCH_NORM)
    while all(process.poll() is None for process in processes) and not list(run_dir.glob("*/level_01/checkpoint_*")):
        time.sleep(0.01)
    processes[0].send_signal(signal.SIGKILL)
    ended(processes)
    assert Run.load(run_dir).checkpoint_steps(Unit(1, 1))
    again = ended(STARTS[strategy](run_dir, *WITH_BATCH_NORM))
    assert [status for status, _, _ in again] == [0] * len(again), again[0][2][-2000:]
    assert runs.digest(run_dir) == runs.digest(tmp_path / "whole")
