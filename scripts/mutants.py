"""Measures how many small faults the tests see: python scripts/mutants.py --number=100

A mutant has one expression or statement of one line changed. It meets the tests that come through that line, those of
its own module first, until one fails. A mutant that none fails on means the same as the original, or shows a hole in
the tests; it is printed. Which tests come through a line is read from a run of coverage before:

    python -m pytest --numprocesses=auto --slow --cov --cov-context=test --cov-report=
"""

import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import coverage
from absl import flags

from tf_lottery import command_line

_FILES = flags.DEFINE_list("files", ["tf_lottery/core/*.py"], "Files to change, as patterns.")
_NUMBER = flags.DEFINE_integer("number", 20, "Mutants, drawn at random from all lines that tests come through.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the draw.")
_MOST_TESTS = flags.DEFINE_integer("most_tests", 200, "Tests that a mutant meets, at most.")
_SECONDS = flags.DEFINE_integer("seconds", 300, "For which the tests of a mutant may run; one that takes longer hangs.")
_JOBS = flags.DEFINE_integer("jobs", os.cpu_count(), "Mutants side by side.")

ROOT = Path(__file__).parents[1]
_OTHER = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd},
}


@dataclass(frozen=True)
class Mutant:
    """A file with one change.

    Attributes:
        path: The file, from the root.
        line: The first line that changes.
        before, after: The changed text.
        source: The whole file.
    """

    path: str
    line: int
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before!r} -> {self.after!r}"


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """All mutants of a file, one at a time."""
    content = source.encode()
    starts = [0]
    for line in content.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in _behaviour(ast.parse(source)):
        for old, new in _changes(node):
            start, end = starts[old.lineno - 1] + old.col_offset, starts[old.end_lineno - 1] + old.end_col_offset
            text = ast.unparse(ast.fix_missing_locations(new))
            text = text if isinstance(new, ast.stmt) else f"({text})"
            changed = (content[:start] + text.encode() + content[end:]).decode()
            yield Mutant(path, old.lineno, content[start:end].decode(), text, changed)


def _behaviour(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that decide what a program does: no docstring, no type, no words of an error."""
    for node in ast.iter_child_nodes(tree):
        is_type = isinstance(node, ast.arg | ast.AnnAssign) or node is getattr(tree, "returns", None)
        is_text = isinstance(node, ast.Raise | ast.JoinedStr) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        )
        if not is_type and not is_text and "TYPE_CHECKING" not in ast.unparse(getattr(node, "test", ast.Pass())):
            yield node
            yield from _behaviour(node)


def _changes(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """What may stand in the place of a node, or of a part of it."""
    match node:
        case ast.Compare(ops=[operator, *_]):
            new = copy.deepcopy(node)
            new.ops[0] = _OTHER[type(operator)]()
            yield node, new
        case ast.BinOp(op=operator) | ast.BoolOp(op=operator) if type(operator) in _OTHER:
            new = copy.deepcopy(node)
            new.op = _OTHER[type(operator)]()
            yield node, new
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield node, operand
        case ast.Constant(value=bool(value)):
            yield node, ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield node, ast.Constant(value + 1)
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield test, ast.UnaryOp(ast.Not(), test)
        case ast.Return(value=ast.expr()):
            yield node, ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.AugAssign():
            yield node, ast.Pass()


class Tests:
    """The tests of the last run of coverage, by the lines that they come through."""

    def __init__(self) -> None:
        self._data = coverage.CoverageData(str(ROOT / ".coverage"))
        self._data.read()

    def through(self, path: str, line: int) -> list[str]:
        """Those that come through a line: of its own module first, then one a file, then the others."""
        contexts = self._data.contexts_by_lineno(str(ROOT / path)).get(line, [])
        names = sorted({context.partition("|")[0] for context in contexts if context})
        firsts = {name.partition("::")[0]: name for name in reversed(names)}
        own = [name for name in names if f"/test_{Path(path).name}::" in name]
        return list(dict.fromkeys([*own, *firsts.values(), *names]))


def outcome(mutant: Mutant, tests: list[str]) -> str:
    """Runs the tests on a copy of the tree with the mutant in it: `"caught"`, `"alive"`, or `"hangs"`."""
    with tempfile.TemporaryDirectory() as folder:
        left_out = shutil.ignore_patterns(".venv", ".git", "runs", "__pycache__", "*_cache")
        copied = Path(shutil.copytree(ROOT, f"{folder}/tree", ignore=left_out))
        (copied / mutant.path).write_text(mutant.source)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--slow", "--nightly", "-p", "no:cacheprovider", *tests]
        environment = os.environ | {"PYTHONPATH": str(copied)}
        try:
            done = subprocess.run(command, cwd=copied, env=environment, capture_output=True, timeout=_SECONDS.value)
        except subprocess.TimeoutExpired:
            return "hangs"
        return "caught" if done.returncode else "alive"


def main() -> None:
    paths = sorted(str(path.relative_to(ROOT)) for pattern in _FILES.value for path in ROOT.glob(pattern))
    tests = Tests()
    found = [mutant for path in paths for mutant in mutants(path, (ROOT / path).read_text())]
    found = [
        (mutant, through[: _MOST_TESTS.value])
        for mutant in found
        if (through := tests.through(mutant.path, mutant.line))
    ]
    drawn = random.Random(_SEED.value).sample(found, min(_NUMBER.value, len(found)))
    with ThreadPoolExecutor(_JOBS.value) as pool:
        outcomes = list(pool.map(lambda pair: outcome(*pair), drawn))
    for (mutant, _), result in zip(drawn, outcomes, strict=True):
        if result != "caught":
            sys.stdout.write(f"{result}: {mutant}\n")
    sys.stdout.write(f"{outcomes.count('alive')} of {len(drawn)} mutants are alive, {outcomes.count('hangs')} hang.\n")


if __name__ == "__main__":
    command_line.run(main)
