"""pytest's options and rules, for the tests in tests/ and the examples in tf_lottery/ alike."""

import importlib.metadata
import importlib.util
import os
import sys
import zlib
from pathlib import Path

import pytest
import tiers

ROOT = Path(__file__).parent
MARKS = ("slow", "nightly")
LEFT_OUT = pytest.StashKey[int]()  # how many tests were left out for their marks


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests marked slow, too")
    parser.addoption("--nightly", action="store_true", help="run all tests")
    parser.addoption("--needs-keras", action="store_true", help="run only tests that depend on Keras")


def pytest_configure(config):
    """Refuse to test the package of another clone, and values that TensorFlow silently takes for Keras 3."""
    spec = importlib.util.find_spec("tf_lottery")
    if spec and not Path(spec.origin).is_relative_to(ROOT):
        raise pytest.UsageError(
            f"The tests in {ROOT} would import tf_lottery from {Path(spec.origin).parents[1]}: this is the virtual "
            f"environment of another clone. Set PYTHONPATH={ROOT}."
        )
    if (choice := os.environ.get("TF_USE_LEGACY_KERAS", "")) not in ("", "0", "1", "true", "True", "false", "False"):
        raise pytest.UsageError(f"TF_USE_LEGACY_KERAS must be 1 for legacy Keras, 0 for Keras 3. Received: {choice!r}")


def pytest_report_header():
    """Say which Keras is used."""
    is_legacy = os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True")
    name, package = ("legacy Keras", "tf-keras") if is_legacy else ("Keras 3", "keras")
    return f"{name}: {package} {importlib.metadata.version(package)}"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Seed Keras where it is in use, by the file, so that neither tests nor fixtures depend on what ran before."""
    if keras_compat := sys.modules.get("tf_lottery.keras_compat"):
        keras_compat.keras.utils.set_random_seed(zlib.crc32(item.path.name.encode()))


def pytest_collection_modifyitems(config, items):
    """Leave out what the options leave out, but no test that is named with `::`."""
    kept, free, marked = [], [], []
    for item in items:
        name = item.nodeid.partition("::")[2]
        if tiers.is_named(item.path, name, config.args, config.invocation_params.dir):
            kept.append(item)
        elif config.getoption("--needs-keras") and tiers.is_keras_free(item.path):
            free.append(item)
        elif any(item.get_closest_marker(mark) for mark in left_out(config)):
            marked.append(item)
        else:
            kept.append(item)
    config.stash[LEFT_OUT] = len(marked)
    if hasattr(config, "workeroutput"):
        config.workeroutput["left_out"] = len(marked)
    config.hook.pytest_deselected(items=free + marked)
    items[:] = kept


def left_out(config):
    """Return the marks whose tests do not run."""
    return () if config.getoption("--nightly") else MARKS[1:] if config.getoption("--slow") else MARKS


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Take over, from a worker of pytest-xdist, how many tests were left out: all workers collect the same tests."""
    if number := getattr(node, "workeroutput", {}).get("left_out"):  # a worker that died has no output
        node.config.stash[LEFT_OUT] = number


def pytest_terminal_summary(terminalreporter, config):
    """Say how the tests that were left out for their marks can be run."""
    if number := config.stash.get(LEFT_OUT, 0):
        tests = "1 test" if number == 1 else f"{number} tests"
        options = [f"--{mark}" for mark in left_out(config)]
        terminalreporter.write_line(
            f"{tests} marked {' or '.join(left_out(config))} left out; {', '.join(options)} or FILE::TEST runs them."
        )
