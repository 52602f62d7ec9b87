"""The scripts as a user calls them: every mistake is one line and exit status 1, and writes nothing."""

import dataclasses
import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import calls
import fakes
import numpy as np
import pytest
from tiers import slow

from tf_lottery.cli import Output

ROOT = Path(__file__).parents[1]
DIGITS = "--config=configs/digits_lenet.py"


def call(script, *arguments):
    return calls.script(script, *arguments, env=os.environ | {"TFDS_DATA_DIR": "nowhere"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.prune.fractoin=0.3"], "The config has no field 'prune.fractoin'. Did you mean 'prune.fraction'?"),
        (["--config.fraction=0.3"], "The config has no field 'fraction'. Did you mean 'prune.fraction'?"),
        (["--config.variants=3"], "this is not a dict, such as {'k=60'"),
        (
            ["--config.prune.fraction=25"],
            "`fraction` must be in [0, 1): it is the share of the kept weights to remove. For",
        ),
        (["--config.prune.levels=-1"], "`prune.levels` must be a whole number of at least 0. Received: -1"),
        (["--config.prune.levels=many"], "flag --config.prune.levels=many: invalid literal for int()"),
        (["--config.prune.scope=globl"], "Did you mean 'global'?"),
        (["--jobs=0"], "`jobs` must be at least 1. Received: 0"),
        (
            ["--jobs=2", "--strategy=mirrored"],
            "`jobs` must be 1: strategy 'mirrored' uses all devices for each unit.",
        ),
        (
            ["--strategy=miror"],
            "`strategy` must be one of default, mirrored, multi_worker, tpu. Received: 'miror'",
        ),
        (["--devices=2"], "`devices` is the number of devices of strategy 'mirrored', 0 for all. Received: devices=2"),
        (["--strategy=multi_worker"], "Strategy 'multi_worker' needs the environment variable TF_CONFIG, as in {"),
        (["--config.train.optimizer=rmsprob"], "Did you mean 'rmsprop'?"),
        (
            ["--config.train.drops=('every 0ep',)"],
            "A repeated drop needs at least one step between drops. Received: 'ev",
        ),
        (["--config.train.label_smoothing=10"], "`train.label_smoothing` must be in [0, 1). Received: 10.0"),
        (
            ["--config.data.augment=flip"],
            "`data.augment` must be one of none, flip_and_crop, inception. Rec",
        ),
        (["--config.model.name=lenet"], "Unknown model 'lenet'. Did you mean 'lenet_300_100'? Known: "),
        (["extra"], "Unexpected argument 'extra': flags begin with --. See --help."),
        (["--config.prune.rates=(5,)"], "`prune.rates` must be a tuple of strings"),
        (["--config=configs/digits_lenet.py:abc"], "get_config() takes 0 positional arguments"),
        (["--jbos=2"], "Unknown command line flag 'jbos'"),
        (
            ["--config=configs/nothing.py"],
            "There is no config file 'configs/nothing.py'. See the folder configs/.",
        ),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, arguments, message):
    done = call("find_tickets", DIGITS, f"--run_dir={tmp_path / 'run'}", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("configs/nothing.py", "There is no config file 'configs/nothing.py'. See the folder configs/."),
        ("pyproject.toml", "The config cannot be used: SyntaxError"),
        ("tests/fakes.py", "The config cannot be used: AttributeError: module"),
    ],
)
def test_a_file_that_is_not_a_config_is_one_line_and_writes_nothing(tmp_path, path, message):
    done = call("find_tickets", f"--config={path}", f"--run_dir={tmp_path / 'run'}")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.prune.rewind_to=1501it"], "`prune.rewind_to` must not lie after the end of training"),
        slow(
            ["--strategy=mirrored", "--devices=2", "--config.train.batch_size=61"],
            "`train.batch_size` is the batch of all 2 replicas together, so 2 must divide it: 60 or 62. Received: 61",
        ),
        slow(
            ["--strategy=tpu"], "Strategy 'tpu' found no TPU. TPU_NAME='local' says where to look: 'local' on a TPU VM"
        ),
        slow(["--config.data.name=fashion_mnist"], "python scripts/prepare_data.py fashion_mnist"),
    ],
)
def test_a_mistake_that_only_data_and_model_show_is_one_line_and_writes_nothing(tmp_path, arguments, message):
    done = call("find_tickets", DIGITS, f"--run_dir={tmp_path / 'run'}", "--jobs=1", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_directory_is_one_line_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    done = call("find_tickets", DIGITS, f"--run_dir={tmp_path}")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"{tmp_path} exists and is not a run directory" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_a_directory_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    done = call("find_tickets", DIGITS, f"--run_dir={tmp_path / 'file' / 'run'}", "--jobs=1")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "cannot be written: Not a directory" in done.stderr


def test_a_missing_flag_is_one_line():
    done = call("find_tickets", DIGITS)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr == "Error: Give --run_dir=VALUE. See --help.\n"


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        (
            "find_tickets",
            ["config", "run_dir", "jobs", "strategy", "checkpoint_every", "[no]smoke", "[no]quiet", "[no]json"],
        ),
        ("report", ["run_dir", "plugins", "[no]quiet", "[no]json"]),
        ("runs", ["plugins", "[no]quiet", "[no]json"]),
        ("export", ["run_dir", "level", "format", "replicate", "control", "variant", "to", "plugins", "[no]json"]),
        ("prepare_data", []),
    ],
)
def test_a_script_starts_in_an_interpreter_of_its_own_and_its_help_names_the_flags(script, flags):
    # Not by `calls.script`: what is imported there already hides imports that a script lacks.
    command = [sys.executable, f"scripts/{script}.py", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    named = re.findall(r"^  (?:-\w,)?--(\S+?):", done.stdout, re.MULTILINE)
    assert set(flags) <= set(named)
    assert ("config" in named) == (script == "find_tickets")


SIGNALLED = """
import os
import signal
import sys

from tf_lottery import cli


def status(number, handler):
    sys.stdout.flush()
    if not (process := os.fork()):
        signal.signal(number, handler)
        cli.run(lambda: gets(number))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def gets(number):
    try:
        os.kill(os.getpid(), number)
    finally:
        if number != signal.SIGINT:
            os.kill(os.getpid(), number)  # changes nothing
        print("cleaned up,", end=" ")


print(status(signal.SIGINT, signal.default_int_handler))
print(status(signal.SIGTERM, signal.SIG_DFL))
print(status(signal.SIGHUP, signal.SIG_DFL))
print(status(signal.SIGHUP, signal.SIG_IGN))  # as under nohup
"""


def test_a_script_that_a_signal_ends_has_the_status_of_the_signal_and_an_ignored_signal_stays_ignored():
    command = [sys.executable, "-c", SIGNALLED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    statuses = [f"cleaned up, {status}" for status in (130, 143, 129, 0)]
    assert (done.stdout.splitlines(), done.stderr) == (statuses, "")


STREAMS = """
import sys
from tf_lottery import cli
from tf_lottery.errors import RunError

def main(what):
    if what == "error":
        raise RunError("it has failed")
    if what == "open":
        open("nothing/there")
    print("a result", end="")
    with open("file", "w") as file:  # does not get the descriptor of a closed stream
        sys.stdout.write(f" in {file.fileno() > 2}")

cli.run(main, arguments=1)
"""


@pytest.mark.parametrize(
    ("what", "streams", "status", "printed"),
    [
        ("result", "", 0, "a result in True"),
        ("result", ">/dev/full", 1, "Error: The output cannot be written: No space left on device.\n"),
        ("result", ">&-", 1, "Error: Standard output is closed. To discard it, redirect it to /dev/null.\n"),
        ("result", "2>&-", 0, "a result in True"),
        ("result", "<&-", 0, "a result in True"),
        ("result", ">&- 2>&-", 1, ""),
        ("error", "", 1, "Error: it has failed\n"),
        ("error", "2>&-", 1, ""),
        ("error", "2>/dev/full", 1, ""),
        ("open", "", 1, "Error: nothing/there: No such file or directory.\n"),
    ],
)
def test_a_full_or_closed_stream_is_one_line(tmp_path, what, streams, status, printed):
    command = f'"$0" -c "$1" {what} {streams}'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, STREAMS], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (status, printed)


@pytest.mark.slow
def test_a_report_depends_neither_on_the_hash_seed_nor_on_the_encoding_of_the_terminal(tmp_path):
    runs = [fakes.sweep(tmp_path / name / "run") for name in ("one", "two")]
    environments = [{"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2", "PYTHONIOENCODING": "ascii"}]
    processes = [
        subprocess.Popen(
            [sys.executable, "scripts/report.py", f"--run_dir={run.path}"],
            **{"cwd": ROOT, "env": os.environ | environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE},
        )
        for run, environment in zip(runs, environments, strict=True)
    ]
    (printed, *errors), (printed_in_ascii, *_) = (process.communicate(timeout=100) for process in processes)
    assert [process.returncode for process in processes] == [0, 0], errors
    assert printed_in_ascii.isascii()
    assert not printed.isascii()
    one, two = ({file.name: file.read_bytes() for file in (run.path / "report").iterdir()} for run in runs)
    assert one.pop("report.lock") != two.pop("report.lock")  # has the process ID
    assert one == two
    assert {"index.html", "tickets.csv", "tables.md"} <= set(one)


def test_a_report_can_be_built_from_any_run(tmp_path):
    run = fakes.run(tmp_path / "run")
    done = call("report", f"--run_dir={run.path}")
    assert done.returncode == 0, done.stderr
    assert "sparsest winning tickets keep 64.0%" in done.stdout
    assert "\x1b" not in done.stdout  # no colours where there is no terminal
    assert (run.path / "report/index.html").exists()


@pytest.mark.parametrize("arguments", [[], ["minst"], ["digits"]])
def test_a_dataset_that_cannot_be_prepared_is_one_line(arguments):
    done = call("prepare_data", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Give the dataset to prepare, one of: cifar10, cifar100, fashion_mnist, fashion_mnist_14, " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--level=1"], "Give --format=VALUE. See --help."),
        (["--format=keras"], "Give --level=VALUE. See --help."),
        (["--level=one", "--format=keras"], "flag --level=one: invalid literal for int()"),
        (
            ["--level=1", "--format=onnx"],
            "flag --format=onnx: value should be one of <saved_model|keras|tflite|ticket|compact|report>",
        ),
        slow(["--level=1", "--format=ticket", "--variant=a"], "has these variants: none. Received: 'a'"),
        slow(
            ["--level=1", "--format=ticket", "--to=pyproject.toml"],
            "pyproject.toml exists. Choose another name, or have it replaced: overwrite=True",
        ),
    ],
)
def test_an_impossible_export_is_one_line_and_writes_nothing(tmp_path, arguments, message):
    run = fakes.run(tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    done = call("export", f"--run_dir={run.path}", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_an_export_prints_its_file_size_and_density_and_nothing_else(tmp_path):
    run = fakes.run(tmp_path / "run")
    done = call("export", f"--run_dir={run.path}", "--level=1", "--format=ticket")
    path = run.path / "exports/replicate_1_level_01.tfl"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{path}: {path.stat().st_size:,} bytes, density 80.00%.\n"


ONE = '{\n  "n": 1\n}\n'


def output(*, quiet=False, json=False):
    """Return an Output with these flags."""
    made = object.__new__(Output)
    made._quiet, made._json = SimpleNamespace(value=quiet), SimpleNamespace(value=json)
    return made


@pytest.mark.parametrize(
    ("flags", "printed"),
    [({}, "text"), ({"quiet": True}, ""), ({"json": True}, ONE), ({"quiet": True, "json": True}, ONE)],
)
def test_a_result_is_printed_as_text_as_json_or_not_at_all(capsys, flags, printed):
    output(**flags).print_result(lambda: {"n": 1}, lambda: sys.stdout.write("text"))
    assert capsys.readouterr() == (printed, "")


def test_numbers_that_are_not_finite_become_null_and_all_types_become_those_of_json(capsys):
    found = {
        "nan": math.nan,
        "list": [np.float64("inf"), np.int64(3), np.float32(0.5), np.bool_(True)],
        "path": Path("a/b"),
        "inner": {"tuple": (None, "é")},
    }
    output(json=True).print_result(lambda: found, lambda: None)
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        **{"nan": None, "list": [None, 3, 0.5, True], "path": "a/b"},
        "inner": {"tuple": [None, "é"]},
    }


SMALL = ("--config.replicates=1", "--config.prune.levels=1", "--config.controls=('reinit',)")


def small():
    """Return the config with the overrides of `SMALL`."""
    spec = importlib.util.spec_from_file_location("digits_lenet", ROOT / "configs/digits_lenet.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    config = module.get_config()
    prune = dataclasses.replace(config.prune, levels=1)
    return dataclasses.replace(config, replicates=1, prune=prune, controls=("reinit",))


@pytest.mark.parametrize(("script", "arguments"), [("report", ()), ("find_tickets", (DIGITS, *SMALL))])
def test_json_output_is_one_object_and_nothing_else(tmp_path, script, arguments):
    run = fakes.run(tmp_path / "run", small())
    done = call(script, *arguments, f"--run_dir={run.path}", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["report"] == str(run.path / "report/index.html")
    assert [(level["branch"], level["level"]) for level in answer["levels"]] == [
        ("reinit", 1),
        ("ticket", 0),
        ("ticket", 1),
    ]


@pytest.mark.parametrize("flags", [["--quiet"], ["--quiet", "--json"], ["--json"]], ids=" ".join)
def test_errors_are_always_printed_to_standard_error(tmp_path, flags):
    done = call("report", f"--run_dir={tmp_path}", *flags)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")


def test_a_quiet_command_prints_nothing(tmp_path):
    run = fakes.run(tmp_path / "run")
    done = call("report", f"--run_dir={run.path}", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (run.path / "report/index.html").exists()


def test_an_export_has_json_output(tmp_path):
    run = fakes.run(tmp_path / "run")
    done = call("export", f"--run_dir={run.path}", "--level=1", "--format=ticket", "--json")
    path = run.path / "exports/replicate_1_level_01.tfl"
    assert json.loads(done.stdout) == {
        **{"run_dir": str(run.path), "replicate": 1, "level": 1, "control": "", "variant": "", "shuffle_seed": 0},
        **{"format": "ticket", "path": str(path), "bytes": path.stat().st_size, "density": pytest.approx(0.8)},
    }
