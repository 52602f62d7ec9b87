"""What docs/benchmarks.md says is what the tables beside it hold, and benchmarks sum up as they say."""

import ast
import importlib
import importlib.util
import itertools
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs/benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a module of scripts/benchmark, as its neighbours do."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "scripts/benchmark"), *sys.path])
    return importlib.import_module


def test_the_page_is_made_of_the_tables_beside_it(benchmark):
    page = benchmark("page")
    assert page.document(page.read(FOLDER), FOLDER) == FOLDER.with_suffix(".md").read_text()


def test_every_goal_was_measured_and_every_table_has_a_section(benchmark):
    page = benchmark("page")
    frames = page.read(FOLDER)
    assert page.goals(frames).text.tolist() == [goal.text for goal in page.GOALS]
    assert set(frames) == {name for name, _, _ in page.SECTIONS}


def test_scripts_import_names_that_exist_also_inside_functions():
    missing = [
        f"{path.relative_to(ROOT)}: from {node.module} import {alias.name}"
        for path in sorted((ROOT / "scripts").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "tf_lottery"
        for alias in node.names
        if not exists(node.module, alias.name)
    ]
    assert not missing


def exists(module, name):
    is_attribute = hasattr(importlib.import_module(module), name)
    return is_attribute or importlib.util.find_spec(f"{module}.{name}") is not None


def test_a_goal_counts_by_its_median_and_in_its_direction(benchmark):
    page, measuring = benchmark("page"), benchmark("measuring")
    fast = measuring.row("lenet_300_100, XLA", "masked", [1.02, 1.0, 2.0], "ms", [1.0, 1.0, 1.0], "dense")
    (goal,) = (goal for goal in page.GOALS if goal.name == "growth")
    slow = measuring.row(goal.case, goal.part, [1.4], "a minute", [1.0], "that of 1 job")
    found = page.goals({"masked_fit": pd.DataFrame([fast]), "growth": pd.DataFrame([slow])})
    assert found[["goal", "held", "median", "most"]].to_numpy().tolist() == [
        ["≤ 1.03", True, 1.02, 2.0],
        ["≥ 1.5", False, 1.4, 1.4],
    ]


def test_all_parts_are_measured_in_each_round_in_alternating_order(benchmark, monkeypatch):
    measuring, called, clock = benchmark("measuring"), [], itertools.count()
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: float(next(clock)))
    parts = {name: lambda name=name: called.append(name) for name in "ab"}
    assert measuring.in_turn(parts, 2) == {"a": [1.0, 1.0], "b": [1.0, 1.0]}
    assert "".join(called) == "ab" + "ba" + "ab"  # the first round does not count


def test_a_ratio_is_the_median_of_the_rounds(benchmark):
    row = benchmark("measuring").row("case", "part", [1.0, 8.0, 9.0], "s", [1.0, 2.0, 3.0], "base")
    assert (row["median"], row["least"], row["most"]) == (8.0, 1.0, 9.0)
    assert (row["ratio_median"], row["ratio_least"], row["ratio_most"]) == (3.0, 1.0, 4.0)


def test_figures_are_shown_with_three_digits_and_their_spread(benchmark):
    measuring = benchmark("measuring")
    rows = [
        measuring.row("a", "b", [0.12345, 0.2, 0.3], "ms", [0.1, 0.1, 0.1], "c"),
        measuring.row("a", "c", [12345.6], "s"),
    ]
    assert measuring.table(pd.DataFrame(rows)).to_numpy().tolist() == [
        ["a", "b", "0.200 [0.123–0.300] ms", "2.00 [1.23–3.00]", "c"],
        ["a", "c", "12,346 s", "", ""],
    ]
