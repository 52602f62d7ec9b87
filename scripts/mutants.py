"""Measure how many small faults the tests detect.

A mutant is a copy of the code in which one expression or statement is changed. The tests that execute its line are run,
those of its own module first, until one fails; mutants that survive all of them are printed. Each survivor means the
same as the original, or needs a test. Mutants with which pytest hangs or cannot run the tests are
printed, too. Which tests execute a line is read from .coverage, which pytest writes. For one module:

    python -m pytest tests/core tf_lottery/core --cov --cov-context=test --cov-report=
    python scripts/mutants.py --files=tf_lottery/core/pruning.py --number=8

For all modules:

    python -m pytest --numprocesses=auto --slow --cov --cov-context=test
    python scripts/mutants.py --files='tf_lottery/**/*.py' --number=100

Lines that run only while a module is imported, or only in other processes, have no mutants.
"""

import ast
import copy
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import coverage
from absl import flags

from tf_lottery import cli
from tf_lottery.errors import RunError

_FILES = flags.DEFINE_list("files", ["tf_lottery/core/*.py"], "Patterns of the files to change, relative to the root.")
_NUMBER = flags.DEFINE_integer("number", 20, "How many mutants to draw at random.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the random choice.")
_MOST_TESTS = flags.DEFINE_integer("most_tests", 200, "How many tests to run for a mutant, at most.", lower_bound=1)
_SECONDS = flags.DEFINE_integer("seconds", 300, "Timeout of the tests of one mutant.", lower_bound=1)
_JOBS = flags.DEFINE_integer("jobs", os.cpu_count(), "How many mutants to test at the same time.", lower_bound=1)

ROOT = Path(__file__).parents[1]
_OTHER = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd},
}


_FAILED = 1  # pytest's status if tests ran and some failed; any other but 0 says nothing about the tests
_OUTCOMES = {0: "survives", None: "hangs"}


@dataclass(frozen=True)
class Mutant:
    """A file in which one place is changed.

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
        line = (ROOT / self.path).read_text().splitlines()[self.line - 1]
        return f"{self.path}:{self.line}: {self.before!r} -> {self.after!r}\n    {line.strip()}"


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """Yield all mutants of a file."""
    content = source.encode()
    starts = [0]
    for line in content.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in _behaviour(ast.parse(source)):
        for old, new in _changes(node):
            start, end = starts[old.lineno - 1] + old.col_offset, starts[old.end_lineno - 1] + old.end_col_offset
            text = ast.unparse(ast.fix_missing_locations(new))
            text = text if isinstance(new, ast.stmt) else f"({text})"
            if ast.dump(new) == ast.dump(old):
                continue
            changed = (content[:start] + text.encode() + content[end:]).decode()
            yield Mutant(path, old.lineno, content[start:end].decode(), text, changed)


def _behaviour(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that decide what a program does: no docstrings, types or texts of errors."""
    for node in ast.iter_child_nodes(tree):
        is_type = isinstance(node, ast.arg | ast.AnnAssign) or node is getattr(tree, "returns", None)
        is_text = isinstance(node, ast.Raise | ast.JoinedStr) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        )
        if not is_type and not is_text and "TYPE_CHECKING" not in ast.unparse(getattr(node, "test", ast.Pass())):
            yield node
            yield from _behaviour(node)


def _changes(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield pairs of a node, or a part of it, and what replaces it."""
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
    """The tests of the last run with coverage, by the lines that they execute.

    Args:
        paths: The files that have mutants, relative to the root.

    Raises:
        RunError: there has been no such run, or one of the files has changed since.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        file = ROOT / ".coverage"
        self._data = coverage.CoverageData(str(file))
        self._data.read()
        if not any(self._data.measured_contexts()):
            raise RunError(
                "There is no .coverage that says which test executes which line: see --help for the command."
            )
        newer = [path for path in paths if (ROOT / path).stat().st_mtime > file.stat().st_mtime]
        if newer:
            raise RunError(
                f"Changed since .coverage was written, so that its line numbers may be wrong: {', '.join(newer)}. Run "
                "the tests with coverage again: see --help for the command."
            )

    def of(self, mutant: Mutant) -> list[str]:
        """Return the tests that execute the line of a mutant: of its own module first, then one a file, then others."""
        contexts = self._data.contexts_by_lineno(str(ROOT / mutant.path)).get(mutant.line, [])
        names = sorted({name for context in contexts if (name := context.rpartition("|")[0]).startswith("tests/")})
        firsts = {name.partition("::")[0]: name for name in reversed(names)}
        own = [name for name in names if f"/test_{Path(mutant.path).name}::" in name]
        return list(dict.fromkeys([*own, *firsts.values(), *names]))[: _MOST_TESTS.value]


def run(tests: Sequence[str], mutant: Mutant | None, *options: str) -> tuple[int | None, str]:
    """Run tests on a copy of the tree with a mutant in it; return pytest's status (None: timeout) and its output."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        left_out = shutil.ignore_patterns(".venv", ".git", "runs", "__pycache__", "*_cache", ".coverage*")
        copied = Path(shutil.copytree(ROOT, f"{folder}/tree", ignore=left_out))
        if mutant:
            (copied / mutant.path).write_text(mutant.source)
        command = [sys.executable, "-m", "pytest", "-q", "-rf", "--nightly", "-p", "no:cacheprovider", *options, *tests]
        environment = os.environ | {"PYTHONPATH": str(copied)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(command, cwd=copied, env=environment, start_new_session=True, **pipes) as process:
            try:
                output, _ = process.communicate(timeout=_SECONDS.value)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return None, ""
        return process.returncode, output


def check(tests: Sequence[str], failed: Sequence[str]) -> None:
    """Raise RunError where tests cannot be found, or fail, without a mutant too."""
    for names, options in ((tests, ["--collect-only"]), (failed, [])):
        status, output = run(names, None, *options) if names else (0, "")
        if status:
            sys.stderr.write(output[-2000:])
            raise RunError("Tests fail without a mutant, so that the mutants show nothing; see above.")


def drawn() -> tuple[list[Mutant], Tests]:
    """Draw the mutants that the flags ask for.

    Raises:
        RunError: no file matches, or no test executes a line of the files.
    """
    patterns = [pattern for pattern in _FILES.value if pattern and not Path(pattern).is_absolute()]
    files = {path for pattern in patterns for path in ROOT.glob(pattern) if path.suffix == ".py" and path.is_file()}
    paths = sorted(str(path.relative_to(ROOT)) for path in files)
    if not paths:
        raise RunError(f"`files` must match Python files, relative to {ROOT}. Received: {','.join(_FILES.value)}")
    tests = Tests(paths)
    found = [mutant for path in paths for mutant in mutants(path, (ROOT / path).read_text()) if tests.of(mutant)]
    if not found:
        raise RunError(
            f"No test of the last run with coverage executes a line of {','.join(_FILES.value)}: "
            "see --help for the command."
        )
    return random.Random(_SEED.value).sample(found, min(_NUMBER.value, len(found))), tests


def main() -> None:
    chosen, tests = drawn()
    chosen.sort(key=lambda mutant: (mutant.path, mutant.line))
    results = []
    with ThreadPoolExecutor(_JOBS.value) as pool:
        for result in pool.map(lambda mutant: run(tests.of(mutant), mutant, "-x"), chosen):
            results.append(result)
            sys.stderr.write(f"{len(results)} of {len(chosen)} mutants tested\n")
    used = sorted({name for mutant in chosen for name in tests.of(mutant)})
    failed = [
        name for _, output in results for name in re.findall(r"^FAILED (tests/.*?)(?: - |$)", output, re.MULTILINE)
    ]
    check(used, sorted(set(failed) & set(used)))
    for mutant, (status, _) in zip(chosen, results, strict=True):
        if status != _FAILED:
            sys.stdout.write(f"{_OUTCOMES.get(status, f'ends pytest with status {status}')}: {mutant}\n")
    survivors = sum(status == 0 for status, _ in results)
    sys.stdout.write(f"{survivors} of {len(chosen)} mutants survive.\n")


if __name__ == "__main__":
    cli.run(main)
