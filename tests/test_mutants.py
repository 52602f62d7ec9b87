"""Mutants change what a program does, one place at a time."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def mutants_of():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])
        import mutants
    return lambda source: [(mutant.line, mutant.after, mutant.source) for mutant in mutants.mutants("x.py", source)]


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
