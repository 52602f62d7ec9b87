"""Which package may import which: nothing points up."""

import ast
from pathlib import Path

import tf_lottery

ROOT = Path(tf_lottery.__file__).parent

# A package, or a module at the top, may import itself and these.
MAY_IMPORT = {
    "errors": {"escapes"},
    "escapes": set(),
    "schema": set(),
    "core": {"errors"},
    "failpoints": set(),
    "files": {"errors", "failpoints", "locks"},
    "locks": {"errors"},
    "quiet": set(),
    "data": {"errors", "files"},
    "keras_compat": {"errors", "escapes"},
    "models": {"errors", "keras_compat"},
    "masking": {"core", "errors", "escapes", "files", "keras_compat", "schema"},
    "rewinding": {"core", "errors", "keras_compat", "masking"},
    "callbacks": {"core", "errors", "files", "keras_compat", "locks", "masking", "rewinding", "schema"},
    "feeds": {"core", "data", "errors"},
    "training": {"core", "errors", "feeds", "keras_compat", "masking", "schema"},
    "experiment": {
        *("__init__", "core", "data", "errors", "feeds", "files", "keras_compat", "locks", "masking"),
        *("models", "quiet", "rewinding", "schema", "training"),
    },
    "export": {"core", "errors", "experiment", "files", "keras_compat", "masking", "quiet"},
    "report": {"core", "errors", "escapes", "experiment", "files", "locks"},
    "cli": {"errors", "escapes", "experiment", "files"},
    "__init__": {"callbacks", "core", "data", "errors", "experiment", "export", "masking", "models", "training"},
}
WITHOUT_TENSORFLOW = (
    *("cli.py", "core", "data", "errors.py", "escapes.py", "failpoints.py", "files.py", "locks.py"),
    *("masking/ticket.py", "quiet.py", "report", "schema.py"),
    *("export/formats.py", "training/optimizers.py", "training/topology.py"),
)
FILES = sorted(ROOT.rglob("*.py"))


def package(path):
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
    """The imports that the package of `path` must not have."""
    for module in imports(path):
        if module.split(".")[0] == "tf_lottery":
            target = [*module.split("."), "__init__"][1]
            if target not in MAY_IMPORT[package(path)] | {package(path)}:
                yield f"{package(path)} must not import {module}"


def packages(path):
    return {module.split(".")[0] for module in imports(path)}


def test_only_keras_compat_imports_keras():
    assert {package(path) for path in FILES if packages(path) & {"keras", "tf_keras"}} == {"keras_compat"}


def test_core_data_tickets_and_reports_need_no_tensorflow():
    free = [path for name in WITHOUT_TENSORFLOW for path in FILES if path.is_relative_to(ROOT / name)]
    assert len(free) > 40
    assert [path for path in free if packages(path) & {"tensorflow", "tensorflow_model_optimization"}] == []


def test_no_file_is_read_as_code_and_nothing_is_pickled():
    assert [path for path in FILES if packages(path) & {"pickle", "dill", "marshal", "shelve"}] == []
