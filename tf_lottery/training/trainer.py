"""Training any range of steps, exactly: whole segments of steps in one execution, one trace for all levels."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import keras_training, model_masks, state
from tf_lottery.distribution import Replicas
from tf_lottery.feeds.resident import NO_EXAMPLE, Resident
from tf_lottery.feeds.streamed import Streamed
from tf_lottery.training.objective import CROSS_ENTROPY, Objective, cross_entropy


@dataclass
class Outcome:
    """What a training leaves behind.

    Attributes:
        history: One row an evaluation: step, train_loss, validation_loss, validation_accuracy.
        snapshot: The full state at the step asked for, or None.
        early_stop_loss: The lowest validation loss.
        early_stop_step: Its step; the first one of equals.
        early_stop_weights: The variables that were evaluated at that step, by name.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    snapshot: dict[str, dict[str, np.ndarray]] | None = None
    early_stop_loss: float = np.inf
    early_stop_step: int = 0
    early_stop_weights: dict[str, np.ndarray] = field(default_factory=dict)


class Trainer:
    """Trains a prunable model, on one device or on many.

    The result of training from step a to b depends on the state at a, the order seed, the number of replicas, and
    nothing else: not on what was trained before, and on one replica not on where segments end.

    Make it, the model, the optimizer and the feed in the scope of one strategy. Gradients are summed over its replicas.
    BatchNorm normalises each replica's share of a batch by itself, unless it is synchronized; its statistics are made
    one, their mean, whenever they are looked at: at evaluations, at the snapshot, and at the end.

    Args:
        model: A built prunable model that returns logits, or a list of logits of which the first count.
        feed: Where batches come from.
        optimizer: A new optimizer; its learning rate must be a function of the step. With `use_ema`, evaluations use
            its averages of the weights.
        steps: T, the length of a whole training.
        evaluate_every: Steps between evaluations on the validation split; there is one at T too.
        objective: What is minimised.
        decayed: The weights that `objective.weight_decay` decays.
        jit_compile: Whether XLA compiles the steps, on a single replica. Faster for dense layers on a CPU, slower for
            convolutions.
    """

    def __init__(
        self,
        model: Any,
        feed: Resident | Streamed,
        *,
        optimizer: Any,
        steps: int,
        evaluate_every: int,
        objective: Objective = CROSS_ENTROPY,
        decayed: Sequence[Any] = (),
        jit_compile: bool = False,
    ):
        self.model, self.feed, self.optimizer = model, feed, optimizer
        self.steps, self.evaluate_every = steps, evaluate_every
        self.strategy = tf.distribute.get_strategy()
        self._objective, self._decayed = objective, list(decayed)
        model.compile(optimizer)
        optimizer.build(model.trainable_variables)
        model_masks.apply_masks(model)  # now that there are averages to mask
        self._new_optimizer = state.capture(model, optimizer)["optimizer"]
        compiled = jit_compile and self.strategy.num_replicas_in_sync == 1
        self._step = tf.function(self._train_step, jit_compile=compiled, autograph=False)
        self._run = tf.function(self._train_steps, jit_compile=compiled and feed.in_memory, autograph=False)
        self._measure = tf.function(self._losses_and_hits, jit_compile=compiled, autograph=False)
        everything = [*model.variables, *keras_training.optimizer_variables(optimizer)]
        self.replicas = Replicas(everything, averaged=model.non_trainable_variables)

    def reset_optimizer(self, step: int) -> None:
        """Gives the optimizer the slots of a new one; its step counter, so the learning rate, is at `step`."""
        state.restore_optimizer(self._new_optimizer, self.optimizer)
        for counter in keras_training.step_counters(self.optimizer):
            counter.assign(step)
        for weight, average in self.averages:
            average.assign(weight)

    def train(
        self,
        from_step: int,
        to_step: int,
        order_seed: int,
        *,
        snapshot_at: int | None = None,
        on_segment: Callable[[int], None] = lambda steps: None,
    ) -> Outcome:
        """Trains the steps `from_step` … `to_step - 1`, from the state that model and optimizer are in.

        Args:
            from_step, to_step: Half-open range of steps, counted from the start of training.
            order_seed: Which data order, and which draws of the augmentation, to follow.
            snapshot_at: A step at which to keep the full state.
            on_segment: Called with the number of steps of each segment that is done.

        Raises:
            DataError: examples cannot be read.
        """
        outcome = Outcome(early_stop_step=from_step)
        if snapshot_at == from_step:
            outcome.snapshot = self.capture()
        losses, counted = 0.0, 0  # of the training steps since the last evaluation
        for start, stop in segments(from_step, to_step, self.evaluate_every, snapshot_at):
            with self.feed.errors():
                losses += float(self._run(tf.constant(stop - start), *self.feed.segment(order_seed, start, stop)))
            counted += stop - start
            self.replicas.unify()
            if stop == snapshot_at:
                outcome.snapshot = self.capture()
            if stop % self.evaluate_every == 0 or stop == to_step:
                self._evaluate_into(outcome, stop, losses / counted if counted else np.nan)
                losses, counted = 0.0, 0
            on_segment(stop - start)
        return outcome

    def capture(self) -> dict[str, dict[str, np.ndarray]]:
        """The full state of model and optimizer, as `state.capture` returns it."""
        return state.capture(self.model, self.optimizer)

    def evaluate(self, split: str, *, averaged: bool = True) -> dict[str, float]:
        """Measures the model on `"validation"` or `"test"`.

        Args:
            split: Which examples.
            averaged: Whether the optimizer's averages of the weights stand for the weights, where it keeps some.

        Returns:
            Mean cross-entropy (`loss`, without label smoothing and L2) and `accuracy`, 0-1.
        """
        with self._evaluated_weights() if averaged else contextlib.nullcontext(), self.feed.errors():
            measured = [[part.numpy().item() for part in self._measure(x, y)] for x, y in self.feed.held_out(split)]
        losses, hits, examples = map(sum, zip(*measured, strict=True))
        return {"loss": losses / examples, "accuracy": hits / examples}

    def _evaluate_into(self, outcome: Outcome, step: int, train_loss: float) -> None:
        with self._evaluated_weights():
            measured = {
                f"validation_{name}": value for name, value in self.evaluate("validation", averaged=False).items()
            }
            if not outcome.history or measured["validation_loss"] < outcome.early_stop_loss:
                outcome.early_stop_loss, outcome.early_stop_step = measured["validation_loss"], step
                outcome.early_stop_weights = state.weights(self.model)
        outcome.history.append({"step": step, "train_loss": train_loss} | measured)

    @contextlib.contextmanager
    def _evaluated_weights(self) -> Iterator[None]:
        """Puts the optimizer's averages, where it keeps some, in the place of the weights for a while."""
        averages = self.averages
        raw = [tf.convert_to_tensor(weight) for weight, _ in averages]
        try:
            for weight, average in averages:
                weight.assign(average)
            yield
        finally:
            for (weight, _), value in zip(averages, raw, strict=True):
                weight.assign(value)

    @property
    def averages(self) -> list[tuple[Any, Any]]:
        """The weights that the optimizer averages, each with its average."""
        return keras_training.moving_averages(self.optimizer, self.model.trainable_variables)

    def _train_steps(self, count: tf.Tensor, *segment: Any) -> tf.Tensor:
        """Trains `count` steps; returns the sum of their losses."""

        def train_step(i: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            loss = self.strategy.run(self._step, args=self.feed.take(segment, i))
            return i + 1, total + self.strategy.reduce("SUM", loss, axis=None)

        # Not `for i in tf.range(count)`: AutoGraph cannot convert it on Python 3.13 (TensorFlow 2.21).
        return tf.while_loop(lambda i, total: i < count, train_step, (tf.constant(0), tf.constant(0.0)))[1]

    def _train_step(self, *taken: Any) -> tf.Tensor:
        """One step on a replica's share of a batch; returns its part of the batch's mean loss, without L2."""
        x, y = self.feed.examples_of(*taken)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(self._objective.losses(y, self.model(x, training=True))) / self.feed.batch_size
            penalties = list(self.model.losses)
            if self._objective.weight_decay and self._decayed:
                penalties.append(self._objective.penalty(self._decayed))
            # Gradients are summed over replicas, and each has the same weights.
            whole = loss + tf.add_n(penalties) / self.strategy.num_replicas_in_sync if penalties else loss
            scaled = keras_training.scaled_loss(self.optimizer, whole)
        gradients = tape.gradient(scaled, self.model.trainable_variables)
        keras_training.apply_scaled_gradients(self.optimizer, gradients, self.model.trainable_variables)
        return loss

    def _losses_and_hits(self, x: Any, y: Any) -> tuple[tf.Tensor, ...]:
        """Sums over a held-out batch, and how many examples it has."""
        sums = self.strategy.run(self._replica_losses_and_hits, args=(x, y))
        return tuple(self.strategy.reduce("SUM", part, axis=None) for part in sums)

    def _replica_losses_and_hits(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, ...]:
        x, y = self.feed.held_out_of(x, y)
        logits = tf.nest.flatten(self.model(x, training=False))[0]
        is_example = y != NO_EXAMPLE
        losses = tf.where(is_example, cross_entropy(tf.maximum(y, 0), logits), 0.0)
        hits = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), y)
        return tf.reduce_sum(losses), tf.math.count_nonzero(hits), tf.math.count_nonzero(is_example)


def segments(from_step: int, to_step: int, every: int, also: int | None = None) -> Iterator[tuple[int, int]]:
    """Splits a range of steps at the multiples of `every` and at `also`; an empty range is one empty segment."""
    multiples = range(from_step - from_step % every + every, to_step, every)
    inside = {*multiples, also} if also is not None and from_step < also < to_step else {*multiples}
    stops = [*sorted(inside), to_step]
    return zip([from_step, *stops[:-1]], stops, strict=True)
