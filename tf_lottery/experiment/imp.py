"""Iterative magnitude pruning with rewinding, one training at a time: prune, rewind, train, store.

Algorithm 1 of Frankle et al. 2019 (arXiv 1903.01611) is the sequence of the units (replicate, level 0), (replicate,
level 1), …; the controls of a level hang off it. A unit reads what it needs from the run directory and leaves there
what the next ones need, so any process can do it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import data, distribution, keras_api, layers, model_masks, models, naming, prunable, state
from tf_lottery.core import masks as masks_lib, pruning, schedules
from tf_lottery.core.level import next_masks
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import ConfigError, PruningError
from tf_lottery.experiment import controls, lengths as lengths_lib, plan, seeding, variants
from tf_lottery.experiment.checkpoints import NO_CHECKPOINTS, Checkpoints, Keeper
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.lengths import Lengths
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.feeds.make import make_feed
from tf_lottery.keras_api import keras
from tf_lottery.ticket import Shapes, Ticket
from tf_lottery.training import optimizers
from tf_lottery.training.connectivity import Connectivity
from tf_lottery.training.objective import Objective
from tf_lottery.training.optimizers import LearningRate
from tf_lottery.training.progress import Progress
from tf_lottery.training.trainer import Trainer


@dataclass(frozen=True)
class Setup:
    """What all trainings of an experiment without variants share."""

    config: Experiment
    trainer: Trainer
    connectivity: Connectivity
    lengths: Lengths
    fraction_at: schedules.Schedule

    @property
    def shapes(self) -> Shapes:
        """Of all that the files of a training may hold."""
        of_state = self.trainer.shapes()
        weights, optimizer = of_state["weights"], of_state["optimizer"]
        return {"masks": of_state["masks"], "rewind": weights | optimizer, "final": weights | optimizer}

    def initial_weights(self, initialisation: int, dropout: int) -> dict[str, np.ndarray]:
        """The weights of a new model when the process is seeded with one, its random states when with the other."""
        weights, random_states = self._new_variables(initialisation), self._random_states()
        drawn = self._new_variables(dropout) if random_states else {}
        return weights | {name: drawn[name] for name in random_states}

    def _new_variables(self, seed: int) -> dict[str, np.ndarray]:
        keras.utils.set_random_seed(seed)
        feed = self.trainer.feed
        return state.weights(models.build(self.config.model.name, feed.input_shape, feed.num_classes))

    def _random_states(self) -> list[str]:
        variables = naming.named_variables(self.trainer.model)
        return [name for name, variable in variables.items() if keras_api.is_random_state(variable)]


class Setups:
    """The setups of all variants, made when they are asked for, once a process, so that nothing is traced twice.

    Use it, and `train_unit`, in the scope of the strategy to train with.
    """

    def __init__(self, config: Experiment):
        self.config = config
        self._members = variants.members(config)
        self._dense = {label: variants.dense_network(member) for label, member in self._members.items()}
        self._made: dict[str, Setup] = {}

    def of(self, label: str) -> Setup:
        """The setup of a variant; of the experiment for `""`.

        Raises:
            LotteryError: data, model, devices and config do not fit each other.
        """
        if label not in self._made:
            alike = next((self._made[other] for other in self.alike(label) if other in self._made), None)
            self._made[label] = _adapted(alike, self._members[label]) if alike else _set_up(self._members[label])
        return self._made[label]

    def alike(self, label: str) -> list[str]:
        """The variants that have the dense network of this one, itself among them."""
        return [other for other, dense in self._dense.items() if dense == self._dense[label]]


def _set_up(config: Experiment) -> Setup:
    """Loads the data, builds model and optimizer, and checks what can only be checked with them."""
    train, prune = config.train, config.prune
    distribution.check_batch_size(train.batch_size, tf.distribute.get_strategy())
    keras.mixed_precision.set_global_policy(train.precision)
    dataset = data.load(config.data.name, made_up=config.data.made_up)
    lengths = lengths_lib.lengths(config, dataset.examples["train"])
    feed = make_feed(
        dataset,
        augment=config.data.augment,
        image_size=config.data.image_size,
        batch_size=train.batch_size,
        longest=min(lengths.evaluate_every, lengths.total),
        steps=lengths.total,
        threads=train.threads,
    )
    plain = models.build(config.model.name, feed.input_shape, dataset.num_classes)
    decayed = list(prunable.prunable_weights(plain).values())
    model = layers.make_prunable(plain, exclude=[schedules.parse_regex(regex) for regex in prune.exclude])
    trainer = Trainer(
        model,
        feed,
        optimizer=_optimizer(config, lengths),
        steps=lengths.total,
        evaluate_every=lengths.evaluate_every,
        objective=Objective(train.label_smoothing, train.auxiliary_weight, train.weight_decay),
        decayed=decayed,
        jit_compile=train.jit_compile,
    )
    return Setup(config, trainer, Connectivity(trainer), lengths, _schedule(config, model_masks.get_masks(model)))


def _adapted(setup: Setup, config: Experiment) -> Setup:
    """The setup of a variant that has the dense network of another: the same model, pruned or rewound otherwise."""
    lengths = lengths_lib.lengths(config, setup.trainer.feed.examples)
    fraction_at = _schedule(config, model_masks.get_masks(setup.trainer.model))
    return dataclasses.replace(setup, config=config, lengths=lengths, fraction_at=fraction_at)


def _optimizer(config: Experiment, lengths: Lengths) -> Any:
    train = config.train
    rate = LearningRate(
        train.learning_rate,
        lengths.drops,
        train.drop_factor,
        lengths.warmup,
        train.final_learning_rate,
        linear_until=lengths.total if train.decay == "linear" else 0,
        last=lengths.total - 1,  # fine-tuning goes on at the rate that training ended with
    )
    settings = optimizers.Settings(train.momentum, train.nesterov, train.epsilon, train.average)
    return optimizers.make(train.optimizer, rate, settings, scale_loss=train.precision == "mixed_float16")


def train_unit(run: Run, setups: Setups, unit: Unit, checkpoints: Checkpoints = NO_CHECKPOINTS) -> None:
    """Does one training of the experiment and stores it; does nothing if it is done.

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
    alike = [setups.of(label) for label in setups.alike(unit.variant)] if _is_dense(unit) else []
    rewind_steps = sorted({each.lengths.rewind for each in alike})
    trainer.replicas.check()
    pauses = Keeper(run, unit, trainer, checkpoints, from_step, rewind_steps)
    progress = trainer.train(
        pauses.restored() or from_step,
        setup.lengths.total,
        seeds["data_order"],
        seeds["augmentation"],
        snapshots_at=rewind_steps,
        pauses=pauses,
    )
    trainer.replicas.check()
    final, optimizer = trainer.capture().values()
    result = {
        "history": progress.history,
        "metrics": _metrics(masks, from_step, trainer, progress) | {"seeds": seeds},
        "line": _line(run, setup, unit, final, seeds),
        "seconds": pauses.seconds,
    }
    if checkpoints.stores:
        if _is_dense(unit):
            _save_dense(run, setups, unit, Ticket(masks, {"final": final}), optimizer, progress.snapshots, result)
        else:
            kept = {"final": optimizer} if setup.config.prune.rewind == "none" and not unit.control else {}
            ticket = Ticket(masks, {"rewind": start, "final": final}, _origin(setup, unit))
            run.save(unit, ticket=ticket, optimizer=kept, **result)
    trainer.replicas.meet()  # the next unit reads what this one leaves


def _is_dense(unit: Unit) -> bool:
    """Whether it is the first training of all, that the others start from."""
    return unit.level == 0 and not unit.order


def _save_dense(
    run: Run,
    setups: Setups,
    unit: Unit,
    ticket: Ticket,
    optimizer: Arrays,
    snapshots: Mapping[int, Mapping[str, Arrays]],
    result: Mapping[str, Any],
) -> None:
    """Stores a dense network for each variant that has it and misses it, with the state of its own step k."""
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


def _line(run: Run, setup: Setup, unit: Unit, final: Arrays, seeds: Mapping[str, int]) -> Sequence[Mapping[str, float]]:
    """Error and loss between the weights that the first data order ended with and those of a further one."""
    stability = setup.config.stability
    if not unit.order or not stability.points:
        return ()
    first = run.ticket(dataclasses.replace(unit, order=0), setup.shapes).weights["final"]
    return setup.connectivity.along(
        first,
        final,
        points=stability.points,
        fresh_statistics=stability.fresh_statistics,
        seeds=(seeds["data_order"], seeds["augmentation"]),
    )


def _masks(run: Run, setup: Setup, unit: Unit, seeds: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The masks of a training: those of a level are made of the ticket before it."""
    if not unit.level:
        return masks_lib.ones(setup.shapes["masks"])
    if unit.order:
        return run.ticket(dataclasses.replace(unit, order=0), setup.shapes).masks
    masks = _prune(run, setup, unit, seeds)
    return controls.random_mask(masks, seeds["random_mask"]) if unit.control == "random_mask" else masks


def _prune(run: Run, setup: Setup, unit: Unit, seeds: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The masks of a level, from the ticket of the level before."""
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
        raise PruningError(f"{str(unit).capitalize()}: {error}") from error


def _rewind(run: Run, setup: Setup, unit: Unit, masks: Arrays, seeds: Mapping[str, int]) -> tuple[int, Arrays]:
    """Puts model and optimizer where the unit's training starts; returns the step and the weights it starts with."""
    trainer, prune, k = setup.trainer, setup.config.prune, setup.lengths.rewind
    starts_at_zero = plan.starts_at_zero(unit)
    new = setup.initial_weights(seeds["initialisation"], seeds["dropout"]) if starts_at_zero else {}
    if _is_dense(unit):
        return 0, _start_anew(trainer, new, masks, step=0)
    dense = Unit(unit.replicate, 0, variant=unit.variant)
    if unit.control and unit.control != "random_mask":
        weights = run.ticket(dense, setup.shapes).weights["rewind"]
        weights = controls.treated(unit.control, weights, masks, seeds["treatment"], new)
        step = 0 if starts_at_zero else k
        return step, _start_anew(trainer, weights, masks, step)
    mode = "weights" if unit.control or not unit.level else prune.rewind
    if mode == "weights":
        source, group, keeps_optimizer = dense, "rewind", not prune.reset_optimizer
    else:
        source, group, keeps_optimizer = dataclasses.replace(dense, level=unit.level - 1), "final", mode == "none"
    weights = run.ticket(source, setup.shapes).weights[group]
    if not keeps_optimizer:
        return k, _start_anew(trainer, weights, masks, step=k)
    full = {"weights": weights, "optimizer": run.optimizer(source, group, setup.shapes)}
    return k, state.restore(full, trainer.model, trainer.optimizer, masks)


def _start_anew(trainer: Trainer, weights: Arrays, masks: Arrays, step: int) -> Arrays:
    """Weights and masks, with the optimizer as a new one at `step`; returns the weights as they are then."""
    written = state.set_weights(weights, trainer.model, masks)
    trainer.reset_optimizer(step)
    return written


def _metrics(masks: Arrays, from_step: int, trainer: Trainer, progress: Progress) -> dict[str, Any]:
    """The record of a training, which it needs the model for: afterwards that has the early-stopping weights.

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


def _schedule(config: Experiment, masks: Arrays) -> schedules.Schedule:
    """The share to remove at each level; raises ConfigError where a layer would end up empty."""
    prune = config.prune
    if prune.scope == "global":
        return schedules.constant(prune.fraction)
    fraction_at = schedules.with_rates(prune.fraction, prune.rates, masks)
    if emptied := pruning.first_emptied(masks, fraction_at, prune.levels):
        raise ConfigError(f"Level {emptied[0]} would remove all of {emptied[1]!r}: ask for fewer `prune.levels`.")
    return fraction_at
