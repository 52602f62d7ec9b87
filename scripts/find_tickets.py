"""Finds lottery tickets: python scripts/find_tickets.py --config=configs/digits_lenet.py --run_dir=runs/digits_lenet

Any field of the config can be overridden: --config.prune.fraction=0.3 --config.replicates=5
With --json it prints the same object as scripts/report.py --json.
"""

import os

from absl import flags

from tf_lottery import cli
from tf_lottery.experiment.find_tickets import find_tickets
from tf_lottery.experiment.smoke import smoke
from tf_lottery.report import json_output, page, terminal
from tf_lottery.report.progress_display import ProgressDisplay
from tf_lottery.training.topology import STRATEGIES, Topology

_CONFIG = cli.define_experiment()
_RUN_DIR = flags.DEFINE_string("run_dir", None, "Directory of the run; an existing run is resumed or extended.")
_JOBS = flags.DEFINE_integer(
    "jobs",
    None,
    "Number of units that train side by side; results do not depend on it. Default: one per core; 1 with --strategy.",
)
_STRATEGY = flags.DEFINE_string(
    "strategy", "default", "; ".join(f"{name}: {devices}" for name, devices in STRATEGIES.items()) + "."
)
_DEVICES = flags.DEFINE_integer("devices", 0, "Number of devices of strategy mirrored; 0 for all GPUs.")
_CHECKPOINT_EVERY = flags.DEFINE_string(
    "checkpoint_every",
    "10min",
    "How often checkpoints are saved: 500it (steps) or 10min (minutes).",
)
_ONLY_REPLICATES = flags.DEFINE_list(
    "only_replicates", [], "Train only these replicates, as in 2,3; another call can train the others."
)
_ANY_ENVIRONMENT = flags.DEFINE_bool(
    "any_environment", False, "Resume with other versions, devices or data; the run is not bit-exact then."
)
_SMOKE = flags.DEFINE_bool("smoke", False, "Try the config out: 6 steps, 1 level, noise instead of the data.")
_OUTPUT = cli.Output()


def main() -> None:
    config = smoke(_CONFIG.value, _DEVICES.value) if _SMOKE.value else _CONFIG.value
    topology = Topology(_STRATEGY.value, _DEVICES.value)
    topology.check()
    jobs = _JOBS.value if _JOBS.value is not None else os.cpu_count() if topology.is_alone else 1
    with cli.resumable(_RUN_DIR.value):
        with ProgressDisplay(**_OUTPUT.aside) as progress:
            if topology.strategy == "multi_worker":
                progress.on_note("Waiting for all workers of TF_CONFIG ...")
            run = find_tickets(
                config,
                _RUN_DIR.value,
                jobs=jobs,
                topology=topology,
                checkpoint_every=_CHECKPOINT_EVERY.value,
                only_replicates=cli.numbers("only_replicates", _ONLY_REPLICATES.value),
                any_environment=_ANY_ENVIRONMENT.value,
                watcher=progress,
            )
        if topology.is_chief:
            path = page.write(run)
            _OUTPUT.print_result(lambda: json_output.of_report(run, path), lambda: terminal.show_report(run, path))
        else:
            done = {"run_dir": run.path, "report": None}
            _OUTPUT.print_result(lambda: done, lambda: terminal.say("Done. The chief writes the report."))


if __name__ == "__main__":
    cli.run(main, required=["config", "run_dir"])
