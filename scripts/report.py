"""Builds the report of a run, finished or not: python scripts/report.py --run_dir=runs/digits_lenet

With --json the result is one object: run_dir, report, trainings_done, trainings_total, bit_exact, and levels, one entry
for each variant, branch and level: variant, level, branch, replicates, density, verdict, and _mean, _min and _max of
early_stop_test_accuracy, early_stop_step and test_accuracy.
"""

from absl import flags

from tf_lottery import cli
from tf_lottery.experiment import plugins
from tf_lottery.experiment.storage import Run
from tf_lottery.report import json_output, page, terminal

_RUN_DIR = flags.DEFINE_string("run_dir", None, "A directory made by find_tickets.py.")
_PLUGINS = cli.define_plugins()
_OUTPUT = cli.Output()


def main() -> None:
    plugins.load(_PLUGINS.value)
    run = Run.load(_RUN_DIR.value)
    path = page.write(run)
    _OUTPUT.print_result(lambda: json_output.of_report(run, path), lambda: terminal.show_report(run, path))


if __name__ == "__main__":
    cli.run(main, required=["run_dir"])
