"""Which tests run is decided by their marks, their files and the command line."""

import subprocess
import sys
from pathlib import Path

import pytest
import tiers

ONE = Path("/clone/tests/core/test_one.py")


@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [
        ("test_x", "core/test_one.py::test_x", True),
        ("test_x", "/clone/tests/core/test_one.py::test_x", True),
        ("test_x[1]", "core/test_one.py::test_x", True),
        ("test_x[1]", "core/test_one.py::test_x[1]", True),
        ("test_x[a::b]", "core/test_one.py::test_x[a::b]", True),
        ("TestX::test_y[1]", "core/test_one.py::TestX", True),
        ("test_x[2]", "core/test_one.py::test_x[1]", False),
        ("test_xy", "core/test_one.py::test_x", False),
        ("test_x", "core/test_two.py::test_x", False),
        ("test_x", "core/test_one.py", False),
        ("test_x", "core", False),
    ],
)
def test_a_test_is_named_by_its_file_and_its_function_or_class(name, argument, expected):
    assert tiers.is_named(ONE, name, ["end_to_end", argument], Path("/clone/tests")) is expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("tests/core/test_pruning.py", True),
        ("tf_lottery/core/pruning.py", True),
        ("tests/feeds/test_images.py", True),
        ("tf_lottery/feeds/images.py", True),
        ("tests/test_cli.py", True),
        ("tests/feeds/test_streamed.py", False),
        ("tests/masking/test_ticket.py", True),
        ("tests/callbacks/test_lottery_ticket.py", False),
        ("tf_lottery/masking/conversion.py", False),
    ],
)
def test_a_module_depends_on_keras_as_its_tests_do(file, expected):
    assert tiers.is_keras_free(tiers.TESTS.parent / file) is expected


def test_the_files_that_do_not_depend_on_keras_are_there_and_sorted():
    listed = [(folder, name) for folder, names in tiers.KERAS_FREE.items() for name in names]
    assert listed == sorted(listed)
    assert [file for file in listed if not list((tiers.TESTS / file[0]).glob(f"test_{file[1]}.py"))] == []


def test_the_options_are_known_also_if_only_paths_outside_of_tests_are_given():
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tf_lottery/core/steps.py"]
    options = ["--slow", "--nightly", "--needs-keras", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *options], cwd=tiers.TESTS.parent, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1].startswith("no tests collected (1 deselected)")


def test_the_cases_that_always_run_must_be_cases():
    first, second, third = tiers.always("a", ("b", 1), among=iter(["a", ("b", 1), ("c", 2)]))
    assert (first, second, third.values) == ("a", ("b", 1), ("c", 2))
    assert [mark.name for mark in third.marks] == ["slow"]
    with pytest.raises(AssertionError, match=r"not among the cases: \['momentum'\]; there are: \['sgd'\]"):
        tiers.always("momentum", among=["sgd"])
