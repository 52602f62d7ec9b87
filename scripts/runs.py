"""Lists runs, shows how far they are, and verifies their files. It only reads, so it is safe while a run is active.

python scripts/runs.py list runs                  the runs at or below a directory, one line each
python scripts/runs.py show runs/digits_lenet     the units (training runs) of one run, one line each
python scripts/runs.py verify runs/digits_lenet   every file of a run, by its checksum; exit status 1 if one is damaged

With --json the result is one object. list: runs and faults. show: the fields of a run, and trainings. verify:
run_dir, files (their number) and damaged (path, fault). A run: run_dir, model, data, state, processes, trainings_done,
trainings_total, steps_done, steps_total, seconds_left, faults. A training, which is a unit: replicate, level, control,
variant, shuffle_seed, state, step, density, early_stop_test_accuracy, early_stop_step, test_accuracy, seconds, fault.
"""

import difflib
from pathlib import Path

from tf_lottery import cli, files
from tf_lottery.errors import ConfigError, DamageError, RunError
from tf_lottery.experiment import plugins
from tf_lottery.experiment.storage import Run
from tf_lottery.report import json_output, overview, terminal

_PLUGINS = cli.define_plugins()
_OUTPUT = cli.Output()


def list_runs(folder: Path) -> None:
    runs, faults = [], []
    for path in overview.find(
        folder, lambda error: faults.append(f"{error.filename} cannot be read: {error.strerror}")
    ):
        try:
            runs.append(overview.read(Run.load(path)))
        except RunError as error:
            faults.append(str(error))
    if not runs and not faults:
        raise RunError(f"There is no run at or below {folder}. Start one with find_tickets.py.")
    _OUTPUT.print_result(
        lambda: {"runs": [*map(json_output.of_run, runs)], "faults": faults},
        lambda: terminal.show_runs(runs, faults),
    )


def show_run(folder: Path) -> None:
    run = overview.read(Run.load(folder))
    _OUTPUT.print_result(
        lambda: {**json_output.of_run(run), "trainings": [*map(json_output.of_unit, run.units)]},
        lambda: terminal.show_run(run),
    )


def verify_run(folder: Path) -> None:
    run = Run.load(folder)
    faults = [*overview.verify(run)]
    _OUTPUT.print_result(lambda: json_output.of_files(run, faults), lambda: terminal.show_files(faults))
    if damaged := sum(bool(fault) for _, fault in faults):
        raise DamageError(f"{damaged} of {len(faults)} files of {run.path} are damaged.")


_COMMANDS = {"list": list_runs, "show": show_run, "verify": verify_run}


def main(command: str = "", folder: str = "") -> None:
    if command not in _COMMANDS:
        near = difflib.get_close_matches(command, _COMMANDS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else " See --help."
        raise ConfigError(f"The command must be one of {', '.join(_COMMANDS)}. Received: {command!r}.{hint}")
    if not folder:
        raise ConfigError(f"{command} needs a directory: runs.py {command} DIR")
    if not files.is_folder(Path(folder)):
        raise RunError(f"There is no directory {folder}.")
    plugins.load(_PLUGINS.value)
    _COMMANDS[command](Path(folder))


if __name__ == "__main__":
    cli.run(main, arguments=2)
