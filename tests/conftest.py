import os
from pathlib import Path

import hypothesis

# A busy machine fails no test.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


TESTS = Path(__file__).parent
# What these test is the same on both Kerases: it is tested on Keras 3.
KERAS_FREE = (
    *("core", "data", "feeds", "report", "test_ticket.py", "test_files.py", "test_quiet.py", "test_sealed.py"),
    *("test_failpoints.py", "test_topology.py", "test_distribution.py", "test_command_line.py"),
    *(f"experiment/test_{name}.py" for name in ("storage", "generations", "locks", "stability", "variants", "opening")),
    *(f"experiment/test_{name}.py" for name in ("cadence", "config", "drift", "environment", "execution", "lengths")),
    *(f"experiment/test_{name}.py" for name in ("manifest", "plan", "smoke", "validation", "workers", "find_tickets")),
    *(f"laws/test_{name}.py" for name in ("house", "cross_check", "damage", "fuzz", "failpoints_of_runs")),
    *("laws/test_import_changes_nothing.py", "test_configs.py", "test_checks.py", "test_package.py", "test_types.py"),
    *(f"test_{name}.py" for name in ("benchmarks", "links", "reference", "reproduction", "site", "export_page")),
)

# Looking for doctests in what tests import or start would import it a second time.
collect_ignore = [
    "tiers.py",
    "tiny.py",
    "whole_numbers.py",
    "archives.py",
    "calls.py",
    "fits.py",
    "made_up.py",
    "runs.py",
    "replicas.py",
    "laws/failpoints_of_runs.py",
    "laws/on_two_replicas.py",
    "laws/trainings_on_two_replicas.py",
    "callbacks/levels_on_two_replicas.py",
    "feeds/feeds_on_two_replicas.py",
]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The machine stays up, so what is written is there for whoever reads it. Waiting for the disk takes nine tenths of the
# time in which a run with invented results is written; test_files.py tests what is synchronised, and when.
os.fsync = lambda descriptor: None


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the slow tests too")
    parser.addoption("--nightly", action="store_true", help="run all tests, also those that take minutes")
    parser.addoption("--keras_only", action="store_true", help="leave out what no Keras takes part in")


def pytest_collection_modifyitems(config, items):
    nightly = config.getoption("--nightly")
    left_out = set() if nightly else {"nightly"} if config.getoption("--slow") else {"nightly", "slow"}
    chosen = [item for item in items if left_out.isdisjoint(item.keywords)]
    if config.getoption("--keras_only"):
        chosen = [item for item in chosen if not is_keras_free(item.path)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def is_keras_free(path):
    """Of a test or, in the package, of a module's examples; `tests/` mirrors the package."""
    root = TESTS if path.is_relative_to(TESTS) else TESTS.parent / "tf_lottery"
    return str(path.relative_to(root)).startswith(KERAS_FREE)
