"""What `scripts/runs.py` answers: runs, the trainings of a run, the check of its files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rich.box
from rich.markup import escape
from rich.table import Table

from tf_lottery.errors import DamageError, RunError
from tf_lottery.experiment.storage import Run
from tf_lottery.report import json_output, overview, terminal, text
from tf_lottery.report.overview import Overview, Training

_ONE_LINE_EACH = 1000  # characters, where there is no terminal to fit into
_TIME_LEFT = "training time, one after another, at the pace of those that are done"
_STATES = "A training under way shows its newest kept state; before there is one, it counts as waiting."

Answer = Callable[[Callable[[], Mapping[str, Any]], Callable[[], None]], None]


def show_runs(path: str, answer: Answer) -> None:
    """Answer with an entry a run at or below `path`.

    Args:
        path: A directory.
        answer: Called with what makes the answer for a program, and with what prints it; see `cli.Output`.

    Raises:
        RunError: there is no directory, or no run.
    """
    runs, faults = [], []
    for folder in overview.find(_directory(path)):
        try:
            runs.append(overview.overview(Run.load(folder)))
        except RunError as error:
            faults.append(str(error))
    if not runs and not faults:
        raise RunError(f"There is no run at or below {path}. find_tickets.py makes some.")
    answer(lambda: {"runs": [*map(json_output.of_run, runs)], "faults": faults}, lambda: _print_runs(runs, faults))


def show_run(path: str, answer: Answer) -> None:
    """Answer with an entry a training of the run at `path`; see `show_runs`.

    Raises:
        RunError: there is none.
    """
    run = overview.overview(Run.load(_directory(path)))
    answer(
        lambda: {**json_output.of_run(run), "trainings": [*map(json_output.of_training, run.trainings)]},
        lambda: _print_run(run),
    )


def verify_run(path: str, answer: Answer) -> None:
    """Check every file of the run at `path` and answers with those that are damaged; see `show_runs`.

    Raises:
        RunError: there is no run, or (DamageError, after the answer) a file is damaged.
    """
    run = Run.load(_directory(path))
    faults = [*overview.verify(run)]
    answer(lambda: json_output.of_files(run, faults), lambda: _print_files(faults))
    if damaged := sum(bool(fault) for _, fault in faults):
        raise DamageError(f"{damaged} of {len(faults)} files of {run.path} are damaged.")


def _print_runs(runs: Sequence[Overview], faults: Sequence[str]) -> None:
    table = _table("run", "what", "state", right=("trainings", "optimizer steps", "time left"))
    for run in runs:
        what = text.subject(run.run.config)
        _add(table, str(run.run.path), what, run.state, _trainings(run), _steps(run), _time_left(run))
    if runs:
        terminal.console(_ONE_LINE_EACH).print(table)
        terminal.say(f"Time left is {_TIME_LEFT}.")
    for fault in [*faults, *(fault for run in runs for fault in run.faults)]:
        terminal.say(fault)


def _print_run(run: Overview) -> None:
    sweep = ("variant",) * bool(run.run.config.variants)
    right = ("density", "test accuracy", "seconds")
    table = _table("replicate", *sweep, "level", "control", "state", right=right)
    for training in run.trainings:
        _add(table, *_cells(training, *(training.unit.variant for _ in sweep)))
    terminal.say(f"{run.run.path}: {text.description(run.run.config)}")
    terminal.console(_ONE_LINE_EACH).print(table)
    for fault in run.faults:
        terminal.say(fault)
    terminal.say(_STATES)
    terminal.say(f"{_trainings(run)} trainings done, optimizer steps: {_steps(run)}; {run.state}.")
    terminal.say(f"Time left: {_time_left(run)} ({_TIME_LEFT}).")


def _print_files(faults: Sequence[tuple[Path, str]]) -> None:
    damaged = [fault for _, fault in faults if fault]
    for fault in damaged:
        terminal.say(fault)
    terminal.say("Not checked: the report, which is made anew from the rest, and timing.json, which decides nothing.")
    if not damaged:
        terminal.say(f"{len(faults)} files, all whole.")


def _directory(path: str) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise RunError(f"There is no directory {path}.")
    return folder


def _cells(training: Training, *variant: str) -> list[str]:
    unit, metrics = training.unit, training.metrics
    reached = [f"{metrics['density']:.1%}", f"{metrics['early_stop_test_accuracy']:.2%}"] if metrics else ["", ""]
    seconds = "" if training.seconds is None else f"{training.seconds:.1f}"
    order = f"shuffle seed {unit.shuffle_seed}" if unit.shuffle_seed else ""
    branch = ", ".join(part for part in (unit.control, order) if part)
    return [str(unit.replicate), *variant, str(unit.level), branch, training.state, *reached, seconds]


def _trainings(run: Overview) -> str:
    return f"{run.done}/{len(run.trainings)}"


def _steps(run: Overview) -> str:
    return "unknown" if run.steps is None else f"{run.steps[0]:,}/{run.steps[1]:,}"


def _time_left(run: Overview) -> str:
    seconds = run.seconds_left
    return "unknown" if seconds is None else text.duration(seconds)


def _table(*left: str, right: tuple[str, ...]) -> Table:
    table = Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in left:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right")
    return table


def _add(table: Table, *cells: str) -> None:
    table.add_row(*map(escape, cells))
