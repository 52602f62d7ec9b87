"""What runs there are, how far each is, whether its files are whole; writes nothing, also while a run goes on.

python scripts/runs.py list runs                  a line a run at or below a directory
python scripts/runs.py show runs/digits_lenet     a line a training of a run
python scripts/runs.py verify runs/digits_lenet   every file of a run, by its checksum; exit status 1 if one is damaged

With --json the same as one object. list: runs and faults. show: one such run, and its trainings. verify: run_dir, files
(how many) and damaged (path, fault). A run: run_dir, model, data, state, processes, trainings_done, trainings_total,
steps_done, steps_total, seconds_left, faults. A training: replicate, level, control, variant, order, state, step,
density, early_stop_test_accuracy, early_stop_step, test_accuracy, seconds, fault.
"""

import difflib

from tf_lottery import cli
from tf_lottery.errors import ConfigError
from tf_lottery.experiment import plugins
from tf_lottery.report import run_table

_COMMANDS = {"list": run_table.show_runs, "show": run_table.show_run, "verify": run_table.verify_run}
_PLUGINS = cli.define_plugins()
_OUTPUT = cli.Output()


def main(command: str = "", run_dir: str = "") -> None:
    if command not in _COMMANDS:
        near = difflib.get_close_matches(command, _COMMANDS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else " See --help."
        raise ConfigError(f"The command must be one of {', '.join(_COMMANDS)}. Received: {command!r}.{hint}")
    if not run_dir:
        raise ConfigError(f"{command} needs a directory: runs.py {command} DIR")
    plugins.load(_PLUGINS.value)
    _COMMANDS[command](run_dir, _OUTPUT.answer)


if __name__ == "__main__":
    cli.run(main, arguments=2)
