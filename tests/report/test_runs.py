"""scripts/runs.py, called as a user calls it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import calls
import fakes
import pytest

from tf_lottery.experiment import backups, open_run
from tf_lottery.report import overview, terminal

ROOT = Path(__file__).parents[2]
# A process that pretends to train for ever: it holds the lock and saves one checkpoint after another.
GOING_ON = """
import itertools, sys, fakes
from tf_lottery import locks
from tf_lottery.experiment.storage import Run
run = Run.load(sys.argv[1])
with locks.hold(run.lock_path(1), "it"):
    for step in itertools.count(1):
        run.save_checkpoint(fakes.unit(), step, fakes.TICKET)
        if step == 2:
            print("ready", flush=True)
"""
# runs.py on a machine that refuses to look at what is below some paths.
UNREADABLE = """
import os, runpy, sys

def refusing(function):
    def call(path=".", *others, **options):
        if f"{path}/".startswith(tuple(f"{path}/" for path in os.environ["UNREADABLE"].split())):
            raise PermissionError(13, "Permission denied", str(path))
        return function(path, *others, **options)
    return call

os.stat, os.listdir, os.scandir = map(refusing, (os.stat, os.listdir, os.scandir))
runpy.run_path("scripts/runs.py", run_name="__main__")
"""


def runs(*arguments):
    return calls.script("runs", *arguments)


def lines(*arguments):
    """Return the lines that the script prints; it must succeed."""
    done = runs(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def cells(output, first):
    """Return the cells of the only line whose first cell is `first`."""
    (line,) = [line for line in output if line.split()[:1] == [str(first)]]
    return re.split(r"\s{2,}", line.strip())


def damage(path):
    path.write_text("{")


def test_list_has_a_line_per_run_and_one_per_damaged_run(tmp_path):
    fakes.run(tmp_path / "whole")
    begun = open_run.open_run(tmp_path / "deep/be[gun]", fakes.experiment(), fakes.ENVIRONMENT)
    fakes.save(begun, fakes.unit(), seconds=60)
    for path in backups.paths(
        open_run.open_run(tmp_path / "lost", fakes.experiment(), fakes.ENVIRONMENT).path, "config"
    ):
        damage(path)
    output = lines("list", tmp_path)
    digits = "lenet_300_100 on digits"
    assert cells(output, tmp_path / "whole")[1:] == [digits, "finished", "21/21", "4,200/4,200", "0 s"]
    assert cells(output, begun.path)[1:] == [digits, "stopped", "1/21", "200/4,200", "20 min"]
    assert output[-1].startswith(f"{tmp_path / 'lost/config.json'} is damaged: ")
    assert (
        output[-2]
        == "Time left is the training time of the remaining steps, one after another, at the median pace so far."
    )


def test_list_names_what_cannot_be_read_and_continues(tmp_path):
    for name in ("a", "b", "c", "d", "e"):
        fakes.run(tmp_path / name, fakes.experiment(replicates=1, controls=()))
    refused = [
        "a",
        "b/config.json",
        "b/config.backup.json",
        "c/replicate_1/level_01",
        "d/replicate_1/level_01/manifest.json",
    ]
    unreadable = [str(tmp_path / path) for path in refused]
    done = subprocess.run(
        [sys.executable, "-c", UNREADABLE, "list", tmp_path],
        **{"cwd": ROOT, "env": os.environ | {"UNREADABLE": " ".join(unreadable)}, "capture_output": True, "text": True},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    output = done.stdout.splitlines()
    assert cells(output, tmp_path / "e")[2:4] == ["finished", "3/3"]
    told = [unreadable[0], unreadable[1], *unreadable[3:]]
    assert output[-4:] == [f"{path} cannot be read: Permission denied" for path in told]


def test_show_has_a_line_per_unit(tmp_path):
    run = open_run.open_run(tmp_path, fakes.experiment(), fakes.ENVIRONMENT)
    fakes.save(run, fakes.unit(2), seconds=60)
    run.save_checkpoint(fakes.unit(3), 100, fakes.TICKET)
    fakes.save(run, fakes.unit(2, 1, "reinit"), seconds=66)
    output = lines("show", tmp_path)
    assert output[0].startswith(f"{tmp_path}: lenet_300_100 on digits: 3 replicates, 2 levels of 20%")
    table = [re.split(r"\s{2,}", line.strip()) for line in output if re.match(r" \d ", line)]
    assert len(table) == 21
    assert ["1", "0", "waiting"] in table
    assert ["2", "0", "done", "100.0%", "90.00%", "60.0"] in table
    assert ["3", "0", "under way at step 100"] in table
    assert ["2", "1", "reinit", "done", "80.0%", "90.00%", "66.0"] in table
    assert output[-2:] == [
        "2/21 training runs finished, optimizer steps: 500/4,200; stopped.",
        "Time left: 19 min (the training time of the remaining steps, one after another, at the median pace so far).",
    ]


def test_list_and_show_name_damaged_files_and_continue(tmp_path):
    run = fakes.run(tmp_path)
    damage(run.path / "config.json")
    damage(run.folder(fakes.unit()) / "metrics.json")
    for command in ("list", "show"):
        (line,) = [line for line in lines(command, tmp_path) if "damaged: " in line]
        assert line.endswith(f"Delete {run.folder(fakes.unit())} to have it redone.")


def test_verify_counts_the_files_of_a_whole_run(tmp_path):
    fakes.run(tmp_path, fakes.experiment(replicates=1, controls=()))
    assert lines("verify", tmp_path) == [
        "Not verified: the report, which can be built again, and timing.json, on which nothing depends.",
        "16 files, all intact.",
    ]


def test_verify_has_a_line_per_damaged_file_and_ends_with_status_1(tmp_path):
    run = fakes.run(tmp_path, fakes.experiment(replicates=1, controls=()))
    paths = [run.path / "config.backup.json", run.folder(fakes.unit(1, 2)) / "ticket.tfl"]
    for path in paths:
        damage(path)
    done = runs("verify", tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"Error: 2 of 16 files of {tmp_path} are damaged.\n"
    *found, _ = done.stdout.splitlines()
    assert [line.partition(" is damaged: ")[0] for line in found] == [str(path) for path in paths]
    assert found[1].endswith(f"Delete {run.folder(fakes.unit(1, 2))} to have it redone.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "The command must be one of list, show, verify. Received: ''. See --help."),
        (["lst", "."], "The command must be one of list, show, verify. Received: 'lst'. Did you mean 'list'?"),
        (["show"], "show needs a directory: runs.py show DIR"),
        (["list", "nowhere"], "There is no directory nowhere."),
        (["list", "docs"], "There is no run at or below docs. Start one with find_tickets.py."),
        (["show", "docs"], "docs is not a run directory: it has no readable config.json."),
        (["verify", "docs"], "docs is not a run directory: it has no readable config.json."),
        (["show", "a", "b"], "Unexpected argument 'b': flags begin with --. See --help."),
    ],
)
def test_a_mistake_is_one_line(arguments, message):
    done = runs(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {message}\n")


def test_all_three_commands_work_while_a_run_is_active(tmp_path):
    open_run.open_run(tmp_path, fakes.experiment(), fakes.ENVIRONMENT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), os.environ["PYTHONPATH"]])}
    command = [sys.executable, "-c", GOING_ON, tmp_path]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            holder = f"going on, process {process.pid} on {os.uname().nodename}"
            assert cells(lines("list", tmp_path), tmp_path)[2] == holder
            shown = lines("show", tmp_path)
            assert sum("under way at step" in line for line in shown) == 1
            assert shown[-2].endswith(f"; {holder}.")
            # Four files of the run itself, and up to three checkpoints that were not replaced meanwhile.
            assert lines("verify", tmp_path)[-1] in [f"{number} files, all intact." for number in (4, 5, 6, 7)]
            assert process.poll() is None
        finally:
            process.kill()
    assert cells(lines("list", tmp_path), tmp_path)[2] == "stopped"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "unknown"), (0, "0 s"), (59.4, "59 s"), (90, "2 min"), (3600, "1 h 00 min"), (100_000, "27 h 47 min")],
)
def test_times_are_rounded_to_what_a_person_reads(monkeypatch, seconds, words):
    monkeypatch.setattr(overview.Overview, "seconds_left", seconds)
    assert terminal._time_left(overview.Overview(None, [], [])) == words


def answer(*arguments, status=0):
    """Return the JSON object that the script prints; nothing else may be on standard output."""
    done = runs(*arguments, "--json")
    assert done.returncode == status
    return json.loads(done.stdout)


def test_list_and_show_print_json_too(tmp_path):
    run = open_run.open_run(tmp_path / "run", fakes.experiment(), fakes.ENVIRONMENT)
    fakes.save(run, fakes.unit(), seconds=60)
    listed, shown = answer("list", tmp_path), answer("show", run.path)
    assert listed["faults"] == []
    trainings = shown.pop("trainings")
    assert listed["runs"] == [shown]
    counted = ("state", "trainings_done", "trainings_total", "steps_done", "steps_total", "seconds_left")
    assert [shown[name] for name in counted] == ["stopped", 1, 21, 200, 4200, 1200.0]
    assert len(trainings) == 21
    assert trainings[0]["density"] == 1.0


def test_verify_prints_the_damaged_files_as_json_and_fails_all_the_same(tmp_path):
    run = fakes.run(tmp_path, fakes.experiment(replicates=1, controls=()))
    damage(path := run.folder(fakes.unit(1, 2)) / "ticket.tfl")
    found = answer("verify", tmp_path, status=1)
    assert (found["run_dir"], found["files"]) == (str(tmp_path), 16)
    assert [file["path"] for file in found["damaged"]] == [str(path)]
    quiet = runs("verify", tmp_path, "--quiet")
    assert (quiet.returncode, quiet.stdout) == (1, "")
    assert quiet.stderr == f"Error: 1 of 16 files of {tmp_path} are damaged.\n"
