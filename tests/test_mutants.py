"""Mutants change what a program does, one place at a time."""

import os
import sys
from types import SimpleNamespace

import calls
import coverage
import pytest

from tf_lottery.errors import RunError


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(calls.ROOT / "scripts"), *sys.path])
        import mutants
    return mutants


@pytest.fixture(scope="module")
def mutants_of(script):
    return lambda source: [(mutant.line, mutant.after, mutant.source) for mutant in script.mutants("x.py", source)]


@pytest.mark.parametrize(
    ("line", "others"),
    [
        ("x = a < b", {"x = (a <= b)"}),
        ("x = a and b", {"x = (a or b)"}),
        ("x = not a", {"x = (a)"}),
        ("x = a + 1", {"x = (a - 1)", "x = a + (2)"}),
        ("x = True", {"x = (False)"}),
        ("x = a if b else c", {"x = a if (not b) else c"}),
        ("f(a)", {"pass"}),
        ("x += a", {"pass"}),
    ],
)
def test_a_line_has_these_mutants(mutants_of, line, others):
    assert {source for _, _, source in mutants_of(line)} == others


@pytest.mark.parametrize("line", ['"""Text of 3 < 4."""', "x: int = 3", "raise ValueError(3)", "x = a"])
def test_words_and_types_have_none(mutants_of, line):
    assert mutants_of(line) == []


def test_one_place_changes_and_the_rest_stays_as_it_is(mutants_of):
    source = "def f(a: int) -> bool:\n    # Größe\n    return a == 3  # or not\n"
    assert [(line, after) for line, after, _ in mutants_of(source)] == [
        (3, "return None"),
        (3, "(a != 3)"),
        (3, "(4)"),
    ]
    assert mutants_of(source)[1][2] == source.replace("a == 3", "(a != 3)")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--files=nothing/*.py", f"`files` must match Python files, relative to {calls.ROOT}. Received: nothing/*.py"),
        (f"--files={calls.ROOT}/tf_lottery/core/*.py", "`files` must match Python files, relative to "),
        ("--number=0", "flag --number=0"),
        ("--jobs=0", "flag --jobs=0"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(argument, message):
    done = calls.script("mutants", argument)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (1, 1, "")
    assert done.stderr.startswith(f"Error: {message}")


@pytest.fixture
def measured(script, tmp_path, monkeypatch):
    """A root with files one.py and two.py, of which one test executes the first line of one.py."""
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("x = 1 < 2\n")
    data = coverage.CoverageData(str(tmp_path / ".coverage"))
    data.set_context("tests/test_one.py::test_x|run")
    data.add_lines({str(tmp_path / "one.py"): [1]})
    data.write()
    monkeypatch.setattr(script, "ROOT", tmp_path)
    for name, value in {"_FILES": ["*.py"], "_NUMBER": 100, "_SEED": 0, "_MOST_TESTS": 9}.items():
        monkeypatch.setattr(script, name, SimpleNamespace(value=value))
    return tmp_path


def test_only_lines_that_tests_execute_have_mutants(script, measured, monkeypatch):
    chosen, tests = script.drawn()
    assert {str(mutant) for mutant in chosen} == {
        "one.py:1: '1 < 2' -> '(1 <= 2)'\n    x = 1 < 2",
        "one.py:1: '1' -> '(2)'\n    x = 1 < 2",
        "one.py:1: '2' -> '(3)'\n    x = 1 < 2",
    }
    assert {test for mutant in chosen for test in tests.of(mutant)} == {"tests/test_one.py::test_x"}
    monkeypatch.setattr(script, "_FILES", SimpleNamespace(value=["two.py"]))
    with pytest.raises(RunError, match="No test of the last run with coverage executes a line of two"):
        script.drawn()


def test_a_mutant_is_detected_only_if_tests_run_and_fail(script, measured, monkeypatch, capsys):
    statuses = {"(1 <= 2)": 4, "(2)": 0, "(3)": 1}
    monkeypatch.setattr(script, "_JOBS", SimpleNamespace(value=1))
    monkeypatch.setattr(script, "run", lambda tests, mutant, *options: (mutant and statuses[mutant.after], ""))
    monkeypatch.setattr(script, "check", lambda tests, failed: None)
    script.main()
    printed = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert sorted(printed) == [
        "1 of 3 mutants survive.",
        "ends pytest with status 4: one.py:1: '1 < 2' -> '(1 <= 2)'",
        "survives: one.py:1: '1' -> '(2)'",
    ]


def test_a_file_that_has_changed_since_the_tests_ran_has_no_mutants(script, measured):
    later = (measured / ".coverage").stat().st_mtime + 1
    os.utime(measured / "two.py", (later, later))
    with pytest.raises(RunError, match=r"Changed since .coverage was written, .*: two.py. Run the tests"):
        script.drawn()
