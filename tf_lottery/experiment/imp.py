"""Iterative magnitude pruning with rewinding, one training at a time: prune, rewind, train, store.

Algorithm 1 of Frankle et al. 2019 (arXiv 1903.01611) is the sequence of the units (replicate, level 0), (replicate,
level 1), …; the controls of a level hang off it. A unit reads what it needs from the run directory and leaves there
what the next ones need, so any process can do it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays
from tf_lottery.core.pruning import next_masks
from tf_lottery.errors import PruningError
from tf_lottery.experiment import controls, plan, seeding, starts
from tf_lottery.experiment.checkpoints import NO_CHECKPOINTS, Checkpoints, Keeper
from tf_lottery.experiment.setups import Setup, Setups
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.masking import state
from tf_lottery.masking.ticket import Ticket
from tf_lottery.training.progress import Progress
from tf_lottery.training.trainer import Trainer


def train_unit(run: Run, setups: Setups, unit: Unit, checkpoints: Checkpoints = NO_CHECKPOINTS) -> None:
    """Do one training of the experiment and stores it; does nothing if it is done.

    A training that was stopped or killed goes on from its newest state. With several workers each does this, and only
    the chief of them stores. A dense network is stored for all variants that have it.

    Raises:
        StoppedError: `checkpoints` was told to stop; the state is kept.
    """
    if run.is_done(unit):
        return
    setup = setups.of(unit.variant)
    trainer, seeds = setup.trainer, seeding.of_unit(setup.config, unit)
    masks = _masks(run, setup, unit, seeds)
    from_step, start = _rewind(run, setup, unit, masks, seeds)
    alike = [setups.of(label) for label in setups.alike(unit.variant)] if plan.is_dense(unit) else []
    rewind_steps = sorted({each.lengths.rewind for each in alike})
    trainer.replicas.check()
    pauses = Keeper(run, unit, trainer, checkpoints, from_step, rewind_steps)
    progress = trainer.train(
        pauses.restored() or from_step,
        setup.lengths.total,
        seeds["shuffle"],
        seeds["augmentation"],
        snapshots_at=rewind_steps,
        pauses=pauses,
    )
    trainer.replicas.check()
    at_end = trainer.keep(progress)  # what follows leaves the model with other weights
    final, optimizer = at_end.weights["weights"], at_end.weights["optimizer"]
    metrics = _metrics(masks, from_step, trainer, progress) | {"seeds": seeds}
    if unit.shuffle_seed and setup.config.stability.points:
        _measure_line(run, setup, unit, seeds, progress, at_end, pauses)
    result: dict[str, Any] = {
        "history": progress.history,
        "metrics": metrics,
        "line": progress.line,
        "seconds": pauses.seconds,
    }
    if checkpoints.stores:
        if plan.is_dense(unit):
            _save_dense(run, setups, unit, Ticket(masks, {"final": final}), optimizer, progress.snapshots, result)
        else:
            goes_on = setup.config.prune.rewind == "none" and not unit.control and not unit.shuffle_seed
            kept = {"final": optimizer} if goes_on else {}
            ticket = Ticket(masks, {"rewind": start, "final": final}, _origin(setup, unit))
            run.save(unit, ticket=ticket, optimizer=kept, **result)
    trainer.replicas.meet()  # the next unit reads what this one leaves


def _save_dense(
    run: Run,
    setups: Setups,
    unit: Unit,
    ticket: Ticket,
    optimizer: Arrays,
    snapshots: Mapping[int, Mapping[str, Arrays]],
    result: Mapping[str, Any],
) -> None:
    """Store a dense network for each variant that has it and misses it, with the state of its own step k."""
    # The training is under way until that of `unit` is stored, so it comes last.
    for label in sorted(setups.alike(unit.variant), key=lambda label: label == unit.variant):
        setup, place = setups.of(label), dataclasses.replace(unit, variant=label)
        if run.is_done(place):
            continue
        snapshot = snapshots[setup.lengths.rewind]
        weights = {"rewind": snapshot["weights"], **ticket.weights}
        kept = {"rewind": snapshot["optimizer"]}
        if setup.config.prune.rewind == "none":
            kept["final"] = optimizer
        run.save(place, ticket=Ticket(ticket.masks, weights, _origin(setup, place)), optimizer=kept, **result)


def _measure_line(
    run: Run,
    setup: Setup,
    unit: Unit,
    seeds: Mapping[str, int],
    progress: Progress,
    at_end: Ticket,
    pauses: Keeper,
) -> None:
    """Add to the progress, point by point, the line from the weights that the first data order ended with to these."""
    stability = setup.config.stability
    points = setup.connectivity.along(
        run.ticket(dataclasses.replace(unit, shuffle_seed=0), setup.shapes).weights["final"],
        at_end.weights["weights"],
        points=stability.points,
        fresh_statistics=stability.fresh_statistics,
        seeds=(seeds["shuffle"], seeds["augmentation"]),
        measured=len(progress.line),
    )
    for point in points:
        progress.line.append(point)
        if len(progress.line) < stability.points:
            pauses.on_point(progress, at_end)


def _masks(run: Run, setup: Setup, unit: Unit, seeds: Mapping[str, int]) -> Arrays:
    """Return the masks of a training: those of a level are made of the ticket before it."""
    if not unit.level:
        return masks_lib.ones(setup.shapes["masks"])
    if unit.shuffle_seed:
        return run.ticket(dataclasses.replace(unit, shuffle_seed=0), setup.shapes).masks
    masks = _prune(run, setup, unit, seeds)
    return controls.random_mask(masks, seeds["random_mask"]) if unit.control == "random_mask" else masks


def _prune(run: Run, setup: Setup, unit: Unit, seeds: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Return the masks of a level, from the ticket of the level before."""
    prune = setup.config.prune
    before = run.ticket(Unit(unit.replicate, unit.level - 1, variant=unit.variant), setup.shapes)
    try:
        return next_masks(
            before.weights["rewind"],
            before.weights["final"],
            before.masks,
            criterion=prune.criterion,
            fraction=setup.fraction_at(unit.level),
            scope=prune.scope,
            rng=np.random.default_rng(seeds["criterion"]),
        )
    except PruningError as error:
        raise PruningError(f"R{str(unit)[1:]}: {error}") from error


def _rewind(run: Run, setup: Setup, unit: Unit, masks: Arrays, seeds: Mapping[str, int]) -> tuple[int, Arrays]:
    """Put model and optimizer where the unit's training starts; returns the step and the weights it starts with."""
    trainer, start = setup.trainer, starts.of(unit, setup.config.prune, setup.lengths.rewind)
    new = setup.initial_weights(seeds["initialisation"], seeds["dropout"]) if plan.starts_at_zero(unit) else {}
    weights = run.ticket(start.source, setup.shapes).weights[start.group] if start.source else new
    if unit.control:
        weights = controls.treated(unit.control, weights, masks, seeds["treatment"], new)
    if not start.keeps_optimizer:
        return start.step, _start_anew(trainer, weights, masks, start.step)
    full = {"weights": weights, "optimizer": run.optimizer(start.source, start.group, setup.shapes)}
    return start.step, state.restore(full, trainer.model, trainer.optimizer, masks)


def _start_anew(trainer: Trainer, weights: Arrays, masks: Arrays, step: int) -> Arrays:
    """Weights and masks, with the optimizer as a new one at `step`; returns the weights as they are then."""
    written = state.set_weights(weights, trainer.model, masks)
    trainer.reset_optimizer(step)
    return written


def _metrics(masks: Arrays, from_step: int, trainer: Trainer, progress: Progress) -> dict[str, Any]:
    """Return the record of a training, which it needs the model for: afterwards that has the early-stopping weights.

    Accuracies are shares, 0-1; "early_stop" is the step of lowest validation loss.
    """
    at_end = trainer.evaluate("test")
    state.set_weights(progress.early_stop_weights, trainer.model)
    at_early_stop = trainer.evaluate("test", averaged=False)  # they are averages already, where there are some
    return {
        "density": masks_lib.density(masks),
        "kept": masks_lib.kept(masks),
        "prunable": sum(mask.size for mask in masks.values()),
        "density_by_weight": masks_lib.density_by_weight(masks),
        "from_step": from_step,
        "to_step": trainer.steps,
        "evaluated_weights": "averages" if trainer.averages else "raw",
        "validation_accuracy": progress.history[-1]["validation_accuracy"],
        "test_accuracy": at_end["accuracy"],
        "test_loss": at_end["loss"],
        "early_stop_step": progress.early_stop_step,
        "early_stop_validation_loss": progress.early_stop_loss,
        "early_stop_test_accuracy": at_early_stop["accuracy"],
    }


def _origin(setup: Setup, unit: Unit) -> dict[str, Any]:
    """Where a ticket comes from, for a reader who has nothing but its file."""
    names = {"model": setup.config.model.name, "data": setup.config.data.name}
    return names | dataclasses.asdict(unit) | {"rewind_step": setup.lengths.rewind, "steps": setup.lengths.total}
