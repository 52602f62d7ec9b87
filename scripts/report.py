"""Builds the report of a run, finished or not: python scripts/report.py --run_dir=runs/digits_lenet

With --json the result is one object: run_dir, report, trainings_done, trainings_total, bit_exact, and levels, one entry
a level and branch: variant, level, branch, replicates, density, verdict, and _mean, _min and _max of
early_stop_test_accuracy, early_stop_step and test_accuracy.
"""

from absl import flags

from tf_lottery import command_line
from tf_lottery.experiment import parts
from tf_lottery.experiment.storage import Run
from tf_lottery.report import answers, page, terminal

_RUN_DIR = flags.DEFINE_string("run_dir", None, "A directory made by find_tickets.py.", required=True)
_PARTS = command_line.define_parts()
_OUTPUT = command_line.Output()


def main() -> None:
    parts.enter(_PARTS.value)
    run = Run.load(_RUN_DIR.value)
    path = page.write(run)
    _OUTPUT.answer(lambda: answers.of_report(run, path), lambda: terminal.show(run, path))


if __name__ == "__main__":
    command_line.run(main)
