"""Exports a ticket of a run, or compares the formats that it can be exported in.

python scripts/export.py --run_dir=runs/digits_lenet --level=10 --format=saved_model
python scripts/export.py --run_dir=runs/digits_lenet --level=10 --format=report    a table of sizes and latencies

With --json the result is one object: run_dir, replicate, level, control, variant, shuffle_seed, format, path, bytes,
density; for a report also formats, with one entry for each format: a row of its CSV file.
"""

import os
from typing import Any

from absl import flags

from tf_lottery import cli, quiet
from tf_lottery.experiment import plugins
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.export import formats
from tf_lottery.report import json_output, tables, terminal

_RUN_DIR = flags.DEFINE_string("run_dir", None, "A directory made by find_tickets.py.")
_LEVEL = flags.DEFINE_integer("level", None, "The level; 0 is the dense network.")
_FORMAT = flags.DEFINE_enum(
    "format",
    None,
    [*formats.FORMATS, "report"],
    f"{formats.described()}, or report (a table that compares them).",
)
_REPLICATE = flags.DEFINE_integer("replicate", 1, "The replicate.")
_CONTROL = flags.DEFINE_string("control", "", "A control instead of the ticket, for example random_mask.")
_VARIANT = flags.DEFINE_string("variant", "", "The label of the variant, if the run is a sweep.")
_TO = flags.DEFINE_string("to", None, "The file or directory to write. Defaults to one in RUN_DIR/exports.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replaces an earlier export at that path.")
_PLUGINS = cli.define_plugins()
_OUTPUT = cli.Output()


def main() -> None:
    plugins.load(_PLUGINS.value)
    run = Run.load(_RUN_DIR.value)
    unit = Unit(_REPLICATE.value, _LEVEL.value, _CONTROL.value, _VARIANT.value)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with quiet.stderr():
        from tf_lottery.export import comparison, run_exports
    table = None
    if _FORMAT.value == "report":
        path, table = run_exports.compare(run, unit, _TO.value, overwrite=_OVERWRITE.value)
    else:
        path = run_exports.export(run, unit, _FORMAT.value, _TO.value, overwrite=_OVERWRITE.value)
    size, density = comparison.size(path), run.metrics(unit)["density"]

    def result() -> dict[str, Any]:
        exported = json_output.of_export(run, unit, format_name=_FORMAT.value, path=path, size=size, density=density)
        return exported if table is None else exported | {"formats": json_output.of_formats(table)}

    def show() -> None:
        if table is not None:
            terminal.show_table(tables.export_formats(table), f"{run.path}, {unit}")
        terminal.say(f"{path}: {size:,} bytes, density {density:.2%}.")

    _OUTPUT.print_result(result, show)


if __name__ == "__main__":
    cli.run(main, required=["run_dir", "level", "format"])
