"""Runs with invented results, for what reads runs but trains nothing."""

import zlib

import numpy as np

from tf_lottery.core import masks as masks_lib, steps
from tf_lottery.experiment import config as config_lib, open_run, plan
from tf_lottery.experiment.config import Experiment, Prune, Stability
from tf_lottery.experiment.plan import Execution
from tf_lottery.experiment.storage import Unit
from tf_lottery.masking.ticket import Ticket
from tf_lottery.training import progress
from tf_lottery.training.progress import Progress

ENVIRONMENT = {"python": "3.x", "packages": {"keras": "3.x"}}


def ticket(masks, weights):
    """The ticket of a training that changes no weight."""
    return Ticket(masks, {"rewind": weights, "final": weights})


TICKET = ticket({"w": np.array([True, False])}, {"w": np.array([1.0, 0.0])})


def experiment(**changes):
    return Experiment(**{"replicates": 3, "prune": Prune(levels=2), **changes})


def settled(config):
    """With nothing left open of how to execute trainings, as `find_tickets` gives it to them."""
    return plan.settled(config, Execution(threads=1, jit_compile=False, steps_per_execution=1000))


def metrics(unit, accuracy=0.9, step=100):
    density = 0.8**unit.level
    return {
        "density": density,
        "kept": int(1000 * density),
        "prunable": 1000,
        "density_by_weight": {"dense/kernel": density, "output/kernel": 0.9**unit.level},
        "from_step": 0,
        "to_step": 200,
        "validation_accuracy": accuracy,
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
    made = open_run.open_run(path, config, ENVIRONMENT)
    for unit in plan.units(config):
        save(made, unit, metrics=metrics(unit, *results(unit)), **changes)
    return made


SHAPES = {"dense/kernel": (20, 30), "output/kernel": (30, 10)}
SWEEP = {"k=0": {"prune.rewind_to": "0it"}, "k=60": {"prune.rewind_to": "60it"}}


def sweep_of(variants=SWEEP, **changes):
    """A sweep over k whose second level is measured for stability."""
    return experiment(**{"variants": variants, "stability": Stability(levels=(2,), points=5), **changes})


def sweep(path, config=None, units=None):
    """A run with masks that nest, and weights of its own for each training; late rewinding makes all of it better.

    Args:
        path: Where.
        config: Its experiment, with or without variants.
        units: Those that are done; by default all.
    """
    config = config or sweep_of()
    made = open_run.open_run(path, config, ENVIRONMENT)
    for unit in plan.units(config) if units is None else units:
        member = config_lib.variant(config, unit.variant)
        k = steps.to_steps(member.prune.rewind_to, 1)
        rng = np.random.default_rng(zlib.crc32(str(unit).encode()))
        masks = sweep_masks(unit)
        worse = unit.level * (0.01 + 0.02 * bool(unit.control) + 0.01 * (k == 0))
        found = metrics(unit, 0.95 - worse + 0.002 * rng.normal(), 50 + 10 * int(rng.integers(9)))
        if unit.level or unit.shuffle_seed:
            found["from_step"] = 0 if unit.control.startswith("reinit") else k
        noise = 0.2 + 0.3 * bool(unit.control) + 0.3 * (k == 0)
        copies = np.random.default_rng(unit.replicate)
        dense = {name: copies.normal(size=shape) for name, shape in SHAPES.items()}
        final = {name: weight + noise * rng.normal(size=weight.shape) for name, weight in dense.items()}
        weights = {group: masks_lib.apply(values, masks) for group, values in (("rewind", dense), ("final", final))}
        line = [
            {"share": share, "test_error": 0.1 + noise * share * (1 - share), "test_loss": noise}
            for share in np.linspace(0, 1, member.stability.points)
        ]
        save(made, unit, metrics=found, ticket=Ticket(masks, weights), line=line if unit.shuffle_seed else ())
    return made


def sweep_masks(unit):
    """The masks of a training of `sweep`: the order in which weights go depends on replicate and variant."""
    rng = np.random.default_rng([unit.replicate, zlib.crc32(unit.variant.encode())])
    place = {name: rng.permutation(np.prod(shape)).reshape(shape) for name, shape in SHAPES.items()}
    masks = {name: order < round(order.size * 0.5**unit.level) for name, order in place.items()}
    return masks_lib.shuffle(masks, rng) if unit.control == "random_mask" else masks


def state(step):
    """The state of a training that has come to a step, with all that one can hold."""
    variables = {
        "weights": {"w": np.array([0.5, 0.0]), "bias": np.arange(3.0)},
        "optimizer": {"0000": np.array(step), "0001": np.ones(2)},
    }
    history = [{"step": 50, "train_loss": 0.1, "validation_loss": float("inf"), "validation_accuracy": 0.3}]
    found = Progress(step, 0.25, 10, history, {20: variables}, 0.5, 50, variables["weights"])
    return progress.pack(found, variables, TICKET.masks, {"bias": np.zeros((2, 3))})


def unit(replicate=1, level=0, control="", variant=""):
    return Unit(replicate, level, control, variant)
