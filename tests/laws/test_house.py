"""The rooms of the house and who may import whom: nothing points up."""

import ast
from pathlib import Path

import tf_lottery

ROOT = Path(tf_lottery.__file__).parent

KERAS = {"keras_api", "keras_training"}
MODELS = {"guard", "layers", "masking", "model_masks", "model_tickets", "naming", "prunable", "state"}
# A room may import itself and these.
ROOMS = {
    "errors": set(),
    "core": {"errors"},
    "failpoints": set(),
    "files": {"errors", "failpoints"},
    "quiet": set(),
    "sealed": set(),
    "ticket": {"core", "errors", "files"},
    "data": {"errors"},
    "keras_api": {"errors"},
    "keras_training": {"errors", "keras_api"},
    "models": {"errors", "keras_api"},
    "guard": set(),
    "masking": {"keras_api"},
    "naming": {"errors", "keras_api", "masking"},
    "prunable": {"errors", "keras_api", "masking", "naming"},
    "model_masks": {"core", "errors", "guard", "masking", "naming", *KERAS},
    "layers": {"errors", "guard", "masking", "model_masks", "naming", "prunable", *KERAS},
    "state": {"core", "errors", "model_masks", "naming", *KERAS},
    "model_tickets": {
        *("errors", "layers", "masking", "model_masks", "naming", "prunable", "state", "ticket", "tfmot_bridge"),
    },
    "tfmot_bridge": {"errors", "masking", "model_masks", "naming", "prunable", *KERAS},
    "callbacks": {"core", "errors", "files", "sealed", "ticket", "tfmot_bridge", *KERAS, *MODELS},
    "feeds": {"core", "data", "errors"},
    "topology": {"errors"},
    "distribution": {"errors", "keras_api", "topology"},
    "training": {"core", "distribution", "errors", "feeds", "model_masks", "naming", "state", "ticket", *KERAS},
    "experiment": {
        *("core", "data", "distribution", "errors", "feeds", "files", "models", "sealed", "ticket", "topology"),
        *("__init__", "quiet", "training", *KERAS, *MODELS),
    },
    "export": {"core", "errors", "experiment", "files", "quiet", "tfmot_bridge", "ticket", *KERAS, *MODELS},
    "report": {"core", "errors", "experiment"},
    "command_line": {"errors", "experiment"},
    "__init__": {
        *(
            "callbacks",
            "core",
            "data",
            "errors",
            "experiment",
            "export",
            "layers",
            "model_masks",
            "model_tickets",
            "models",
        ),
        *("prunable", "ticket", "topology"),
    },
}
NUMPY_ONLY = (
    "errors",
    "core",
    "failpoints",
    "files",
    "quiet",
    "sealed",
    "ticket",
    "topology",
    "data",
    "report",
    "command_line",
)
FILES = sorted(ROOT.rglob("*.py"))


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path):
    """Every module that a file imports, `from tf_lottery import layers` as tf_lottery.layers."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_imports_point_down():
    assert [fault for path in FILES for fault in points_up(path)] == []


def points_up(path):
    """The imports of rooms that the room of `path` must not know."""
    for module in imports(path):
        if module.split(".")[0] == "tf_lottery":
            target = [*module.split("."), "__init__"][1]
            if target not in ROOMS[room(path)] | {room(path)}:
                yield f"{room(path)} must not import {module}"


def packages(path):
    return {module.split(".")[0] for module in imports(path)}


def test_only_one_room_imports_keras():
    assert {room(path) for path in FILES if packages(path) & {"keras", "tf_keras"}} == {"keras_api"}


def test_some_rooms_need_no_tensorflow():
    found = {room(path) for path in FILES if packages(path) & {"tensorflow", "tensorflow_model_optimization"}}
    assert found.isdisjoint(NUMPY_ONLY)


def test_no_file_is_read_as_code_and_nothing_is_pickled():
    assert [path for path in FILES if packages(path) & {"pickle", "dill", "marshal", "shelve"}] == []
