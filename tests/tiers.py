"""Which tests run when: helpers that mark single cases, and the rules by which pytest selects tests."""

from fnmatch import fnmatch
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "tf_lottery"
# By folder, the test files (without `test_`) that do not depend on which Keras is used; they run on Keras 3 only. The
# same holds for the examples of the modules that they mirror. "*" stands for all files of a folder.
KERAS_FREE = {
    "": [
        *("benchmarks", "calls", "checks", "cli", "configs", "escapes", "failpoints", "files", "links", "locks"),
        *("mutants", "package", "quiet", "reference", "reproduction", "schema", "site", "tiers", "types", "writers"),
    ],
    "callbacks": ["settings"],
    "core": ["*"],
    "data": ["*"],
    "experiment": [
        *("backups", "config", "execution", "find_tickets", "lengths", "manifest", "open_run"),
        *("plan", "run_stability", "schemas", "smoke", "storage", "validation", "workers"),
    ],
    "export": ["formats", "sparse_saved_model_packing", "targets"],
    "feeds": ["encoded", "feeds_on_replicas", "images", "make_feed", "resident"],
    "masking": ["ticket"],
    "models": ["names"],
    "properties": [
        "cross_check",
        "damage",
        "failpoints_of_runs",
        "fuzz",
        "import_changes_nothing",
        "layering",
        "system_errors",
    ],
    "report": ["*"],
    "report/figures": ["*"],
    "training": ["progress", "topology"],
}


def slow(*values):
    """Mark a case of a parametrized test as slow: it runs only with --slow or --nightly."""
    return pytest.param(*values, marks=pytest.mark.slow)


def nightly(*values):
    """Mark a case of a parametrized test as nightly: it runs only with --nightly."""
    return pytest.param(*values, marks=pytest.mark.nightly)


def always(*chosen, among):
    """Return the cases of `among`; all but the chosen ones are marked slow. A tuple is a case of several parameters."""
    among = list(among)
    missing = [case for case in chosen if case not in among]
    assert not missing, f"not among the cases: {missing}; there are: {among}"
    return [case if case in chosen else slow(*(case if isinstance(case, tuple) else (case,))) for case in among]


def is_keras_free(path):
    """Return whether a test file, or the examples of a module of the package, give the same result on both Keras."""
    folder, name = path.parent, path.stem.removeprefix("test_")
    folder = folder.relative_to(TESTS if folder.is_relative_to(TESTS) else PACKAGE).as_posix()
    return any(fnmatch(name, pattern) for pattern in KERAS_FREE.get("" if folder == "." else folder, []))


def is_named(path, name, arguments, folder):
    """Return whether the command line names a test with `::`, alone or by its class or its function.

    Args:
        path: The file of the test.
        name: The rest of its node ID, as in "test_x[1]".
        arguments: The files, folders and node IDs on pytest's command line.
        folder: The folder in which they are resolved.
    """
    return any(
        named and f"{name}[".startswith((f"{named}[", f"{named}::")) and (folder / file).resolve() == path
        for file, _, named in (argument.partition("::") for argument in arguments)
    )
