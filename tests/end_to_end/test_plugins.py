"""Criteria, data and networks from outside the package, in experiments that train in other processes."""

import os

import calls
import pytest

PLUGINS = """
import numpy as np
import tf_lottery as tfl
from tf_lottery.data import Dataset, Split
from tf_lottery.keras_compat import keras
from tf_lottery.models import names


def last(initial, trained, rng):
    return {name: np.arange(weight.size, dtype=float).reshape(weight.shape) for name, weight in trained.items()}


def corners():
    x = np.random.default_rng(0).random((60, 4), np.float32)
    split = Split(x, (x[:, 0] > 0.5).astype(np.int32))
    return Dataset(split, split, split, num_classes=2)


def line(input_shape, num_classes, width):
    layers = [keras.layers.Dense(width, "relu"), keras.layers.Dense(num_classes, name="output")]
    return keras.Sequential([keras.Input(input_shape), *layers])


tfl.criteria.CRITERIA["last"] = last
tfl.data.SOURCES["corners"] = corners
tfl.data.SHAPES["corners"] = ((4,), 2)
names.MODELS[r"line_(?P<width>[1-9])"] = line
"""
CONFIG = """
import plugins_of_test
from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train


def get_config():
    return Experiment(
        replicates=1,
        model=Model("line_5"),
        data=Data("corners"),
        train=Train(steps="4it", evaluate_every="2it", batch_size=20),
        prune=Prune(levels=1, fraction=0.5, criterion="last"),
        controls=(),
    )
"""


def find_tickets(folder, config):
    (folder / "config.py").write_text(config)
    return script(folder, "find_tickets", f"--config={folder}/config.py", f"--run_dir={folder}/run")


def script(folder, *arguments):
    path = f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return calls.script(*arguments, env=os.environ | {"PYTHONPATH": path})


@pytest.mark.nightly
def test_a_config_that_imports_plugins_is_trained_by_every_process(tmp_path):
    (tmp_path / "plugins_of_test.py").write_text(PLUGINS)
    done = find_tickets(tmp_path, CONFIG)
    assert done.returncode == 0, done.stderr
    assert "50.0%" in done.stdout
    reads = (("report", f"--run_dir={tmp_path}/run"), ("runs", "show", f"{tmp_path}/run"))
    exports = ("export", f"--run_dir={tmp_path}/run", "--level=1", "--format=ticket")
    for command in (*reads, exports):
        asked = script(tmp_path, *command)
        assert asked.returncode == 1
        assert "cannot be used here: " in asked.stderr
        assert "--plugins=MODULE" in asked.stderr
        told = script(tmp_path, *command, "--plugins=plugins_of_test")
        assert told.returncode == 0, told.stderr


@pytest.mark.slow
def test_plugins_that_another_process_cannot_import_are_an_error_with_advice(tmp_path):
    done = find_tickets(tmp_path, PLUGINS + CONFIG.replace("import plugins_of_test\n", ""))
    assert done.returncode == 1
    assert "Error: The module " in done.stderr
    assert "into a module that can be imported" in done.stderr
