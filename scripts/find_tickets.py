"""Finds lottery tickets: python scripts/find_tickets.py --config=configs/digits_lenet.py --run_dir=runs/digits_lenet

Any field of the config can be overridden: --config.prune.fraction=0.3 --config.replicates=5
"""

import os

from absl import flags

from tf_lottery import command_line
from tf_lottery.experiment.find_tickets import find_tickets
from tf_lottery.report import page, terminal

_CONFIG = command_line.define_experiment()
_RUN_DIR = flags.DEFINE_string("run_dir", None, "Where everything is stored; an existing run goes on.", required=True)
_JOBS = flags.DEFINE_integer("jobs", os.cpu_count(), "Trainings side by side; results are the same for any number.")


def main() -> None:
    config = command_line.experiment(_CONFIG)
    with command_line.resumable(_RUN_DIR.value):
        with terminal.Progress() as progress:
            run = find_tickets(config, _RUN_DIR.value, jobs=_JOBS.value, watcher=progress)
        terminal.show(run, page.write(run))


if __name__ == "__main__":
    command_line.run(main)
