import os
import sys
import zlib
from pathlib import Path

import hypothesis
import pytest

# No deadlines: a busy machine must not fail a test.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


TESTS = Path(__file__).parent
# These tests do not depend on which Keras is used; they run on Keras 3 only.
KERAS_FREE = (
    *("core", "data", "report", "masking/test_ticket.py", "test_files.py", "test_quiet.py"),
    *("test_failpoints.py", "training/test_topology.py", "test_cli.py", "test_mutants.py", "test_configs.py"),
    *(f"feeds/test_{name}.py" for name in ("images", "encoded", "resident", "make", "feeds_on_replicas")),
    *(
        f"experiment/test_{name}.py"
        for name in ("storage", "generations", "locks", "stability", "variants", "open_run")
    ),
    *(f"experiment/test_{name}.py" for name in ("config", "execution", "lengths", "manifest")),
    *(f"experiment/test_{name}.py" for name in ("plan", "smoke", "validation", "workers", "find_tickets")),
    *(f"properties/test_{name}.py" for name in ("layering", "cross_check", "damage", "fuzz", "failpoints_of_runs")),
    *("properties/test_import_changes_nothing.py", "test_checks.py", "test_package.py", "test_types.py"),
    *(f"test_{name}.py" for name in ("benchmarks", "links", "reference", "reproduction", "site")),
)

# Not searched for doctests: pytest would import these helpers a second time.
collect_ignore = [
    "tiers.py",
    "tiny.py",
    "whole_numbers.py",
    "archives.py",
    "calls.py",
    "fits.py",
    "fakes.py",
    "runs.py",
    "replicas.py",
    "properties/failpoints_of_runs.py",
    "properties/on_two_replicas.py",
    "properties/trainings_on_two_replicas.py",
    "callbacks/levels_on_two_replicas.py",
    "feeds/feeds_on_two_replicas.py",
]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Tests do not lose power. Waiting for the disk takes nine tenths of the time that writing a synthetic run takes;
# test_files.py tests what is synchronised, and when.
os.fsync = lambda descriptor: None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Seed Keras where it is in use, by the file, so that neither tests nor fixtures depend on what ran before."""
    if keras_compat := sys.modules.get("tf_lottery.keras_compat"):
        keras_compat.keras.utils.set_random_seed(zlib.crc32(item.path.name.encode()))


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests marked slow, too")
    parser.addoption("--nightly", action="store_true", help="run all tests")
    parser.addoption("--keras_only", action="store_true", help="leave out tests that do not depend on Keras")


def pytest_collection_modifyitems(config, items):
    nightly, slow = config.getoption("--nightly"), config.getoption("--slow")
    left_out = [] if nightly else ["nightly"] if slow else ["nightly", "slow"]
    if any("::" in argument for argument in config.args):
        left_out = []  # a test that is named is run
    kept, deselected = [], []
    for item in items:
        is_left_out = any(item.get_closest_marker(name) for name in left_out)
        is_left_out |= config.getoption("--keras_only") and is_keras_free(item.path)
        (deselected if is_left_out else kept).append(item)
    config.hook.pytest_deselected(items=deselected)
    items[:] = kept


def is_keras_free(path):
    """Of a test or, in the package, of a module's examples; `tests/` mirrors the package."""
    root = TESTS if path.is_relative_to(TESTS) else TESTS.parent / "tf_lottery"
    return str(path.relative_to(root)).startswith(KERAS_FREE)
