"""Exports a ticket of a run, or compares what it can be exported as.

python scripts/export.py --run_dir=runs/digits_lenet --level=10 --format=saved_model
python scripts/export.py --run_dir=runs/digits_lenet --level=10 --format=report    a table of sizes and latencies

With --json the result is one object: run_dir, replicate, level, control, variant, order, format, path, bytes, density;
of a report also forms, one entry a form with the columns of its CSV file.
"""

import os
from typing import Any

from absl import flags

from tf_lottery import cli, quiet
from tf_lottery.experiment import plugins
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.report import json_output, terminal, text

_RUN_DIR = flags.DEFINE_string("run_dir", None, "A directory made by find_tickets.py.", required=True)
_LEVEL = flags.DEFINE_integer("level", None, "Which level; 0 is the dense network.", required=True)
_FORMAT = flags.DEFINE_enum(
    "format",
    None,
    ["saved_model", "keras", "tflite", "ticket", "compact", "report"],
    "saved_model (sparse on disk), keras (a plain .keras file, zeros and all), tflite, ticket (masks and weights), "
    "compact (a .keras file of the smaller network that computes the same), or report (all of them compared).",
    required=True,
)
_REPLICATE = flags.DEFINE_integer("replicate", 1, "Which replicate.")
_CONTROL = flags.DEFINE_string("control", "", "A control instead of the ticket, as in random_mask.")
_VARIANT = flags.DEFINE_string("variant", "", "Of a sweep, the label of the variant.")
_TO = flags.DEFINE_string("to", None, "The file or directory to write. Default: one in RUN_DIR/exports.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replaces an earlier export at that place.")
_PLUGINS = cli.define_plugins()
_OUTPUT = cli.Output()


def main() -> None:
    plugins.load(_PLUGINS.value)
    run = Run.load(_RUN_DIR.value)
    unit = Unit(_REPLICATE.value, _LEVEL.value, _CONTROL.value, _VARIANT.value)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with quiet.stderr():
        from tf_lottery.export import comparison, of_run
    forms = None
    if _FORMAT.value == "report":
        path, forms = of_run.compare(run, unit, _TO.value, overwrite=_OVERWRITE.value)
    else:
        path = of_run.export(run, unit, _FORMAT.value, _TO.value, overwrite=_OVERWRITE.value)
    size, density = comparison.size(path), run.metrics(unit)["density"]

    def result() -> dict[str, Any]:
        exported = json_output.of_export(run, unit, _FORMAT.value, path, size, density)
        return exported if forms is None else exported | {"forms": json_output.of_forms(forms)}

    def show() -> None:
        if forms is not None:
            terminal.show_table(text.forms(forms), f"{run.path}, {unit}")
        terminal.say(f"{path}: {size:,} bytes, density {density:.2%}.")

    _OUTPUT.answer(result, show)


if __name__ == "__main__":
    cli.run(main)
