"""Builds the report of a run, finished or not: python scripts/report.py --run_dir=runs/digits_lenet"""

from absl import flags

from tf_lottery import command_line
from tf_lottery.experiment.storage import Run
from tf_lottery.report import page, terminal

_RUN_DIR = flags.DEFINE_string("run_dir", None, "A directory made by find_tickets.py.", required=True)


def main() -> None:
    run = Run.load(_RUN_DIR.value)
    terminal.show(run, page.write(run))


if __name__ == "__main__":
    command_line.run(main)
