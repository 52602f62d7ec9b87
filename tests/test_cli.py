"""The scripts as a user calls them; every mistake is one line and exit status 1, and writes nothing."""

import dataclasses
import importlib.util
import json
import math
import os
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
            "`jobs` must be 1: strategy 'mirrored' uses all devices for each.",
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
            "A drop that repeats needs some steps between. Received: 'ev",
        ),
        (["--config.train.label_smoothing=10"], "`train.label_smoothing` must be in [0, 1). Received: 10.0"),
        (
            ["--config.data.augment=flip"],
            "`data.augment` must be one of none, flip_and_crop, inception. Rec",
        ),
        (["--config.model.name=lenet"], "Unknown model 'lenet'. Did you mean 'lenet_300_100'? Known: "),
        (["extra"], "Unexpected argument 'extra': flags begin with --. See --help."),
        (["--config.prune.rates=(5,)"], "`prune.rates` must be a tuple of texts"),
        (["--config=configs/digits_lenet.py:abc"], "get_config() takes 0 positional arguments"),
        (["--jbos=2"], "Unknown command line flag 'jbos'"),
        (
            ["--config=configs/nothing.py"],
            "There is no config file 'configs/nothing.py'. The folder configs/ has some.",
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
        ("configs/nothing.py", "There is no config file 'configs/nothing.py'. The folder configs/ has some."),
        ("pyproject.toml", "The config cannot be used: SyntaxError"),
        ("tests/fakes.py", "The config cannot be used: AttributeError: module"),
    ],
)
def test_a_file_that_is_no_config_is_one_line_and_writes_nothing(tmp_path, path, message):
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
def test_what_only_data_and_model_can_tell_is_one_line_and_writes_nothing(tmp_path, arguments, message):
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


@pytest.mark.parametrize("script", ["find_tickets", "report", "prepare_data", "export"])
def test_help_names_the_flags(script):
    assert "--" in call(script, "--help").stdout
    assert ("--config" in call(script, "--help").stdout) == (script == "find_tickets")


def test_a_report_can_be_built_of_any_run(tmp_path):
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
def test_what_cannot_be_exported_is_one_line_and_writes_nothing(tmp_path, arguments, message):
    run = fakes.run(tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    done = call("export", f"--run_dir={run.path}", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_an_export_says_what_it_wrote_where_and_nothing_else(tmp_path):
    run = fakes.run(tmp_path / "run")
    done = call("export", f"--run_dir={run.path}", "--level=1", "--format=ticket")
    path = run.path / "exports/replicate_1_level_01.tfl"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{path}: {path.stat().st_size:,} bytes, density 80.00%.\n"


ONE = '{\n  "n": 1\n}\n'


def output(*, quiet=False, json=False):
    """As the flags have it."""
    made = object.__new__(Output)
    made._quiet, made._json = SimpleNamespace(value=quiet), SimpleNamespace(value=json)
    return made


@pytest.mark.parametrize(
    ("flags", "printed"),
    [({}, "words"), ({"quiet": True}, ""), ({"json": True}, ONE), ({"quiet": True, "json": True}, ONE)],
)
def test_a_result_is_for_people_for_programs_or_for_nobody(capsys, flags, printed):
    output(**flags).answer(lambda: {"n": 1}, lambda: sys.stdout.write("words"))
    assert capsys.readouterr() == (printed, "")


def test_what_is_no_number_is_null_and_no_type_is_foreign_to_json(capsys):
    found = {
        "nan": math.nan,
        "list": [np.float64("inf"), np.int64(3), np.float32(0.5), np.bool_(True)],
        "path": Path("a/b"),
        "inner": {"tuple": (None, "é")},
    }
    output(json=True).answer(lambda: found, lambda: None)
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        **{"nan": None, "list": [None, 3, 0.5, True], "path": "a/b"},
        "inner": {"tuple": [None, "é"]},
    }


SMALL = ("--config.replicates=1", "--config.prune.levels=1", "--config.controls=('reinit',)")


def small():
    """The experiment that `SMALL` makes of the config."""
    spec = importlib.util.spec_from_file_location("digits_lenet", ROOT / "configs/digits_lenet.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    config = module.get_config()
    prune = dataclasses.replace(config.prune, levels=1)
    return dataclasses.replace(config, replicates=1, prune=prune, controls=("reinit",))


@pytest.mark.parametrize(("script", "arguments"), [("report", ()), ("find_tickets", (DIGITS, *SMALL))])
def test_a_program_gets_one_object_and_nothing_else(tmp_path, script, arguments):
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
def test_an_error_is_said_in_any_case_and_on_standard_error(tmp_path, flags):
    done = call("report", f"--run_dir={tmp_path}", *flags)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")


def test_a_quiet_command_prints_nothing(tmp_path):
    run = fakes.run(tmp_path / "run")
    done = call("report", f"--run_dir={run.path}", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (run.path / "report/index.html").exists()


def test_an_export_is_told_to_a_program(tmp_path):
    run = fakes.run(tmp_path / "run")
    done = call("export", f"--run_dir={run.path}", "--level=1", "--format=ticket", "--json")
    path = run.path / "exports/replicate_1_level_01.tfl"
    assert json.loads(done.stdout) == {
        **{"run_dir": str(run.path), "replicate": 1, "level": 1, "control": "", "variant": "", "order": 0},
        **{"format": "ticket", "path": str(path), "bytes": path.stat().st_size, "density": pytest.approx(0.8)},
    }
