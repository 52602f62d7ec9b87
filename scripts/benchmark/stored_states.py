"""What storing costs, in time and bytes: python scripts/benchmark/stored_states.py

For three networks: keeping the state of a training under way, going on from it, and storing a finished training. A
state is kept every ten minutes unless another interval is asked for, and claimed to cost at most 3% of them.
"""

import dataclasses
import importlib.util
import itertools
import tempfile
from pathlib import Path

import measuring
from absl import flags

from tf_lottery import cli, quiet

_ROUNDS = flags.DEFINE_integer("rounds", 5, "How often everything is measured.", lower_bound=1)
CONFIGS = ("fashion_lenet", "vgg19_standard", "resnet50_iterative")


def main() -> None:
    with quiet.stderr():
        from tf_lottery.training import devices

    devices.configure(1, deterministic_ops=False)
    rows = [row for name in CONFIGS for row in of_config(name)]
    measuring.report(rows, "States and trainings on disk")


def of_config(name: str) -> list[dict[str, object]]:
    from tf_lottery.core import masks as masks_lib
    from tf_lottery.experiment import open_run, plan
    from tf_lottery.experiment.checkpoints import EVERY_TEN_MINUTES
    from tf_lottery.experiment.setups import Setups
    from tf_lottery.experiment.smoke import smoke
    from tf_lottery.experiment.storage import Unit
    from tf_lottery.masking.ticket import Ticket
    from tf_lottery.training.progress import Progress

    config = dataclasses.replace(smoke(read(name)), controls=())
    config = plan.settled(config, plan.choose_execution("CPU", "default", plan.layer_kinds(config)))
    trainer = Setups(config).of("").trainer
    with tempfile.TemporaryDirectory() as folder:
        run, unit, numbers = open_run.open_run(Path(folder, "run"), config, {}), Unit(1, 1), itertools.count(1)
        state = trainer.checkpoint(Progress.start(2))
        weights, optimizer = state.weights["weights"], state.weights["optimizer"]
        ticket = Ticket(masks_lib.ones(trainer.shapes()["masks"]), {"rewind": weights, "final": weights})

        def keep() -> None:
            run.save_checkpoint(unit, next(numbers), trainer.checkpoint(Progress.start(2)))

        def go_on() -> None:
            trainer.resume(run.checkpoint(unit, run.checkpoint_steps(unit)[0], trainer.shapes()))

        def store() -> None:
            run.save(
                Unit(next(numbers), 1),
                ticket=ticket,
                history=[],
                metrics={},
                seconds=1.0,
                optimizer={"rewind": optimizer},
            )

        seconds = measuring.in_turn(
            {"keep a state": keep, "go on from it": go_on, "store a training": store}, _ROUNDS.value
        )
        kept = run.checkpoint_path(unit, run.checkpoint_steps(unit)[0]).stat().st_size
        a_training = next(run.path.rglob("ticket.tfl")).parent
        stored = sum(path.stat().st_size for path in a_training.iterdir())
    every = 100 / EVERY_TEN_MINUTES.seconds
    values = sum(array.nbytes for array in weights.values())
    return [
        *(measuring.row(config.model.name, part, found, "s") for part, found in seconds.items()),
        measuring.row(
            config.model.name,
            "keeping one every ten minutes",
            [every * each for each in seconds["keep a state"]],
            "% of the time",
        ),
        measuring.row(config.model.name, "bytes of a state", [kept / 1e6], "MB", [values / 1e6], "weights"),
        measuring.row(config.model.name, "bytes of a training", [stored / 1e6], "MB", [values / 1e6], "weights"),
    ]


def read(name: str) -> object:
    """Return the experiment of a file in configs/."""
    spec = importlib.util.spec_from_file_location(name, f"configs/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


if __name__ == "__main__":
    cli.run(main)
