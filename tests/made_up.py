"""Runs with invented results, for what reads runs but trains nothing."""

import numpy as np

from tf_lottery.experiment import opening, plan
from tf_lottery.experiment.config import Experiment, Prune
from tf_lottery.experiment.storage import Unit
from tf_lottery.ticket import Ticket
from tf_lottery.training import progress
from tf_lottery.training.progress import Progress

ENVIRONMENT = {"python": "3.x", "packages": {"keras": "3.x"}}
TICKET = Ticket({"w": np.array([True, False])}, {"final": {"w": np.array([1.0, 0.0])}})


def experiment(**changes):
    return Experiment(**{"replicates": 3, "prune": Prune(levels=2), **changes})


def metrics(unit, accuracy=0.9, step=100):
    density = 0.8**unit.level
    return {
        "density": density,
        "kept": int(1000 * density),
        "prunable": 1000,
        "density_by_weight": {"dense/kernel": density, "output/kernel": 0.9**unit.level},
        "from_step": 0,
        "to_step": 200,
        "test_accuracy": accuracy,
        "test_loss": 1 - accuracy,
        "early_stop_step": step,
        "early_stop_validation_loss": 0.5,
        "early_stop_test_accuracy": accuracy,
    }


def save(run, unit, **changes):
    history = [{"step": 100, "train_loss": 0.1, "validation_loss": 0.2, "validation_accuracy": 0.3}]
    content = {
        "ticket": TICKET,
        "history": history,
        "metrics": metrics(unit),
        "seconds": 1.5,
        "optimizer": {},
        **changes,
    }
    run.save(unit, **content)


def run(path, config=None, results=lambda unit: (0.9, 100), **changes):
    """A whole run in which `results` gives the accuracy and the early-stopping step of each unit; see `save`."""
    config = config or experiment()
    made = opening.open_run(path, config, ENVIRONMENT)
    for unit in plan.units(config):
        save(made, unit, metrics=metrics(unit, *results(unit)), **changes)
    return made


def state(step):
    """The state of a training that has come to a step, with all that one can hold."""
    variables = {
        "weights": {"w": np.array([0.5, 0.0]), "bias": np.arange(3.0)},
        "optimizer": {"0000": np.array(step), "0001": np.ones(2)},
    }
    history = [{"step": 50, "train_loss": 0.1, "validation_loss": float("inf"), "validation_accuracy": 0.3}]
    found = Progress(step, 0.25, 10, history, {20: variables}, 0.5, 50, variables["weights"])
    return progress.pack(found, variables, TICKET.masks, {"bias": np.zeros((2, 3))})


def unit(replicate=1, level=0, control=""):
    return Unit(replicate, level, control)
