"""Setups: the model, data and optimizer that all units of a variant share in a process; they are traced once."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import data, keras_compat, models, rewinding
from tf_lottery.core import schedules
from tf_lottery.core.masks import Arrays
from tf_lottery.data import dataset as dataset_lib
from tf_lottery.errors import LotteryError
from tf_lottery.experiment import config as config_lib, lengths as lengths_lib
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.lengths import Lengths
from tf_lottery.feeds import make_feed
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks, naming, prunable, state
from tf_lottery.masking.ticket import Shapes
from tf_lottery.rewinding import HoldableRate, Transition
from tf_lottery.training import devices, optimizers
from tf_lottery.training.connectivity import Connectivity
from tf_lottery.training.learning_rate import LearningRate
from tf_lottery.training.objective import Objective
from tf_lottery.training.trainer import Trainer


@dataclass(frozen=True)
class Setup:
    """The objects that all units of one variant share, and the checksum of its data."""

    config: Experiment
    trainer: Trainer
    connectivity: Connectivity
    lengths: Lengths
    transition: Transition
    checksum: str

    @property
    def shapes(self) -> Shapes:
        """The shapes of all arrays that the files of a unit may hold."""
        of_state = self.trainer.shapes()
        everything = {**of_state["weights"], **of_state["optimizer"]}
        return {"masks": of_state["masks"], "rewind": everything, "final": everything}

    def initial_weights(self, initialisation: int, dropout: int) -> dict[str, np.ndarray]:
        """Return the variables of a new model: weights from one seed, states of random generators from the other."""
        weights, random_states = self._new_variables(initialisation), self._random_states()
        drawn = self._new_variables(dropout) if random_states else {}
        return weights | {name: drawn[name] for name in random_states}

    def _new_variables(self, seed: int) -> dict[str, np.ndarray]:
        keras.utils.set_random_seed(seed)
        feed = self.trainer.feed
        return state.weights(models.build(self.config.model.name, feed.input_shape, feed.num_classes))

    def _random_states(self) -> list[str]:
        variables = naming.named_variables(self.trainer.model)
        return [name for name, variable in variables.items() if keras_compat.is_random_state(variable)]


class Setups:
    """The setups of all variants, each made once in a process, when it is first needed.

    Use it, and `train_unit`, in the scope of the distribution strategy. Variants with the same dense network share one
    trainer.
    """

    def __init__(self, config: Experiment):
        self.config = config
        self._members = config_lib.members(config)
        self._dense = {label: config_lib.dense_network_key(member) for label, member in self._members.items()}
        self._made: dict[str, Setup] = {}

    def of(self, label: str) -> Setup:
        """Return the setup of a variant, or that of the experiment itself for `""`.

        Raises:
            LotteryError: data, model, devices and config do not fit each other.
        """
        if label not in self._made:
            alike = next(
                (self._made[other] for other in self.sharing_dense_network(label) if other in self._made), None
            )
            try:
                self._made[label] = _adapted(alike, self._members[label]) if alike else _set_up(self._members[label])
            except LotteryError as error:
                raise type(error)(f"Variant {label!r}: {error}" if label else str(error)) from error
        return self._made[label]

    def sharing_dense_network(self, label: str) -> list[str]:
        """Return the variants with the same dense network as this one, including itself."""
        return [other for other, dense in self._dense.items() if dense == self._dense[label]]


def _set_up(config: Experiment) -> Setup:
    """Load the data, build model and optimizer, and run the checks that need them."""
    train, prune = config.train, config.prune
    devices.check_batch_size(train.batch_size, tf.distribute.get_strategy())
    keras_compat.pin_settings(train.precision)
    dataset = data.load(config.data.name, synthetic=config.data.synthetic)
    lengths = lengths_lib.lengths(config, dataset.examples["train"])
    feed = make_feed(
        dataset,
        augment=config.data.augment,
        image_size=config.data.image_size,
        batch_size=train.batch_size,
        longest=min(lengths.evaluate_every, lengths.total, train.steps_per_execution),
        steps=lengths.total,
        threads=train.threads,
    )
    plain = models.build(config.model.name, feed.input_shape, dataset.num_classes)
    decayed = list(prunable.prunable_weights(plain).values())
    model = conversion.make_prunable(plain, exclude=[schedules.parse_regex(regex) for regex in prune.exclude])
    trainer = Trainer(
        model,
        feed,
        optimizer=_optimizer(config, lengths),
        steps=lengths.total,
        evaluate_every=lengths.evaluate_every,
        objective=Objective(train.label_smoothing, train.auxiliary_weight, train.weight_decay),
        decayed=decayed,
        jit_compile=train.jit_compile,
        steps_per_execution=train.steps_per_execution,
    )
    transition = _transition(config, model_masks.get_masks(model))
    return Setup(config, trainer, Connectivity(trainer), lengths, transition, dataset_lib.checksum(dataset))


def _adapted(setup: Setup, config: Experiment) -> Setup:
    """Return the setup of a variant that shares the dense network, and so the trainer, of another."""
    lengths = lengths_lib.lengths(config, setup.trainer.feed.examples)
    transition = _transition(config, model_masks.get_masks(setup.trainer.model))
    return dataclasses.replace(setup, config=config, lengths=lengths, transition=transition)


def _optimizer(config: Experiment, lengths: Lengths) -> Any:
    train = config.train
    rate = LearningRate(
        train.learning_rate,
        drops=lengths.drops,
        drop_factor=train.drop_factor,
        warmup=lengths.warmup,
        final=train.final_learning_rate,
        linear_until=lengths.total if train.decay == "linear" else 0,
    )
    held = HoldableRate(rate, last_step=lengths.total - 1)  # fine-tuning continues at the rate that training ended with
    settings = optimizers.OptimizerSettings(
        momentum=train.momentum, nesterov=train.nesterov, epsilon=train.epsilon, average=train.average
    )
    return optimizers.make(train.optimizer, held, settings, scale_loss=train.precision == "mixed_float16")


def _transition(config: Experiment, masks: Arrays) -> Transition:
    """Return how the experiment gets from level to level; raise PruningError if a level would run out of weights."""
    prune = config.prune
    transition = Transition(
        rewinding.fraction_schedule(prune.fraction, rates=prune.rates, weight_names=masks),
        criterion=prune.criterion,
        scope=prune.scope,
        rewind=prune.rewind,
        reset_optimizer=prune.reset_optimizer,
    )
    transition.check(masks, prune.levels)
    return transition
