"""The training loop: any range of steps, many steps in one execution, one trace for all levels."""

import contextlib
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.feeds.resident import NO_EXAMPLE, Resident
from tf_lottery.feeds.streamed import Streamed
from tf_lottery.masking import model_masks, naming, state as state_lib
from tf_lottery.masking.ticket import Shapes, Ticket
from tf_lottery.training import progress as progress_lib
from tf_lottery.training.devices import Replicas
from tf_lottery.training.objective import CROSS_ENTROPY, Objective, cross_entropy
from tf_lottery.training.progress import NO_PAUSES, Pace, Pauses, Progress

_MEASURED_SECONDS = 0.3


class Trainer:
    """Trains a prunable model on one or several devices.

    The result of training from step a to b depends on the state at a, the seeds and the number of replicas, and on
    nothing else: not on earlier training, nor on pauses, stops and checkpoints.

    Create it, the model, the optimizer and the feed in the scope of one strategy. Gradients are summed over its
    replicas. BatchNorm normalises each replica's share of a batch by itself, unless it is synchronized; its statistics
    are set to their mean over the replicas before they are used: at evaluations, at snapshots, and at the end.

    Args:
        model: A built prunable model that returns logits, or a list whose first entry is the logits.
        feed: The source of batches.
        optimizer: A new optimizer; its learning rate must be a function of the step. With `use_ema`, evaluations use
            its averages of the weights.
        steps: T, the length of a whole training run.
        evaluate_every: Steps between evaluations on the validation split; there is one at T, too.
        objective: The loss. Defaults to cross-entropy.
        decayed: The weights that `objective.weight_decay` decays. Defaults to none.
        jit_compile: Whether XLA compiles the steps, on a single replica. Faster for dense layers on a CPU, slower for
            convolutions. Defaults to False.
        steps_per_execution: The largest number of optimizer steps in one execution; an execution ends after about half
            a second, so that training can be stopped soon. Defaults to 1000.
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
        steps_per_execution: int = 1000,
    ):
        self.model, self.feed, self.optimizer = model, feed, optimizer
        self.steps, self.evaluate_every = steps, evaluate_every
        self.strategy = tf.distribute.get_strategy()
        self._objective, self._decayed = objective, list(decayed)
        model.compile(optimizer)
        optimizer.build(model.trainable_variables)
        model_masks.apply_masks(model)
        compiled = jit_compile and self.strategy.num_replicas_in_sync == 1
        self._step = tf.function(self._train_step, jit_compile=compiled, autograph=False)
        self._run = tf.function(self._train_steps, jit_compile=compiled and feed.in_memory, autograph=False)
        self._measure = tf.function(self._losses_and_hits, jit_compile=compiled, autograph=False)
        everything = [*model.variables, *keras_compat.optimizer_variables(optimizer)]
        trained = {id(variable) for variable in model.trainable_variables}
        named = naming.named_variables(model)
        self.replicas = Replicas(everything, {name: named[name] for name in named if id(named[name]) not in trained})
        self._pace = Pace(steps_per_execution)

    def train(
        self,
        start: int | Progress,
        to_step: int,
        shuffle_seed: int,
        augmentation_seed: int | None = None,
        *,
        snapshots_at: Collection[int] = (),
        pauses: Pauses = NO_PAUSES,
    ) -> Progress:
        """Train to step `to_step`, from the current state of model and optimizer.

        Args:
            start: The first step, counted from the start of training; or the progress so far, from `resume`. If that is
                complete, nothing is trained.
            to_step: The last step.
            shuffle_seed: The seed of the data order.
            augmentation_seed: The seed of the augmentation. Defaults to `shuffle_seed`.
            snapshots_at: Steps at which to record the full state. Defaults to none.
            pauses: The hook between executions. Defaults to one that does nothing.

        Returns:
            The progress, which is complete.

        Raises:
            DataError: examples cannot be read.
        """
        progress = start if isinstance(start, Progress) else Progress.start(start)
        if progress.step == to_step and progress.history:
            return progress
        seeds = shuffle_seed, shuffle_seed if augmentation_seed is None else augmentation_seed
        if progress.step in snapshots_at and progress.step not in progress.snapshots:
            progress.snapshots[progress.step] = self.capture()
        for stop in stops(progress.step, to_step, self.evaluate_every, snapshots_at):
            while progress.step < stop:
                self._execute(progress, min(stop - progress.step, pauses.most_steps(progress.step)), seeds)
                if progress.step < stop:
                    pauses.on_pause(progress)
            self.replicas.unify()
            if stop in snapshots_at:
                progress.snapshots[stop] = self.capture()
            if stop % self.evaluate_every == 0 or stop == to_step:
                self._evaluate_into(progress)
            pauses.on_pause(progress)
        return progress

    def seconds_per_step(self) -> float:
        """Measure how long a step takes, with its share of an evaluation. Leaves the model with other weights."""
        progress, most_steps, seconds = Progress.start(0), min(self.evaluate_every, self.steps), 0.0
        self._execute(progress, 1, (0, 0))  # traced and compiled
        self.evaluate("validation")
        started = time.monotonic()
        while seconds < _MEASURED_SECONDS and progress.step < self.steps:
            self._execute(progress, min(most_steps, self.steps - progress.step), (0, 0))
            (seconds,) = self.replicas.mean([time.monotonic() - started])  # all workers must stop together
        evaluated = time.monotonic()
        self.evaluate("validation")
        return seconds / max(progress.step - 1, 1) + (time.monotonic() - evaluated) / self.evaluate_every

    def checkpoint(self, progress: Progress) -> Ticket:
        """Return a checkpoint for `resume`: model, optimizer, masks and progress. All workers must call it together."""
        own = self.replicas.own_values()
        return progress_lib.pack(progress, self.capture(), model_masks.get_masks(self.model), own)

    def resume(self, checkpoint: Ticket) -> Progress:
        """Set model and optimizer to a checkpoint; return the progress to call `train` with.

        Raises:
            TicketError, ModelError: it is not a checkpoint, or one of another model; nothing is changed then.
            RunError: the replicas have read different checkpoints.
        """
        progress, captured, own = progress_lib.unpack(checkpoint)
        state_lib.restore(captured, self.model, self.optimizer, checkpoint.masks)
        self.replicas.check()
        self.replicas.set_own_values(own)
        return progress

    def shapes(self, snapshots_at: Collection[int] = ()) -> Shapes:
        """Return the shapes of all arrays that a checkpoint may hold, without reading values."""
        return progress_lib.shapes(
            state_lib.shapes(self.model, self.optimizer),
            snapshots_at,
            {name: tuple(mask.shape) for name, (_, mask) in model_masks.masked_variables(self.model).items()},
            self.strategy.num_replicas_in_sync,
        )

    def capture(self) -> dict[str, dict[str, np.ndarray]]:
        """Return the full state of model and optimizer, as `state.capture` returns it."""
        return state_lib.capture(self.model, self.optimizer)

    def evaluate(self, split: str, *, averaged: bool = True) -> dict[str, float]:
        """Measure the model on `"validation"` or `"test"`.

        Args:
            split: The split of the data.
            averaged: Whether to evaluate the optimizer's averages of the weights instead of the weights, if it has any.
                Defaults to True.

        Returns:
            Mean cross-entropy (`loss`, without label smoothing and L2) and `accuracy`, 0-1.
        """
        with self._evaluated_weights() if averaged else contextlib.nullcontext(), self.feed.errors():
            measured = [[part.numpy().item() for part in self._measure(x, y)] for x, y in self.feed.held_out(split)]
        losses, hits, examples = map(sum, zip(*measured, strict=True))
        return {"loss": losses / examples, "accuracy": hits / examples}

    def _execute(self, progress: Progress, most_steps: int, seeds: tuple[int, int]) -> None:
        """Train for one execution, which has `most_steps` steps or fewer."""
        started, start = time.monotonic(), progress.step
        count = min(most_steps, self._pace.steps)
        with self.feed.errors():
            segment = self.feed.segment(*seeds, start, start + count)
            # Summation continues from the sum so far, step by step, so that it does not depend on where executions end.
            losses = self._run(tf.constant(count), tf.constant(progress.losses, tf.float32), *segment)
        model_masks.mask_averages(self.model)
        progress.losses = float(losses)
        progress.counted += count
        progress.step += count
        (seconds,) = self.replicas.mean([time.monotonic() - started])  # all workers must choose the same pace
        self._pace.took(count, seconds)

    def _evaluate_into(self, progress: Progress) -> None:
        train_loss = progress.losses / progress.counted if progress.counted else np.nan
        progress.losses, progress.counted = 0.0, 0
        with self._evaluated_weights():
            measured = {
                f"validation_{name}": value for name, value in self.evaluate("validation", averaged=False).items()
            }
            if not progress.history or measured["validation_loss"] < progress.early_stop_loss:
                progress.early_stop_loss, progress.early_stop_step = measured["validation_loss"], progress.step
                progress.early_stop_weights = state_lib.weights(self.model)
        progress.history.append({"step": progress.step, "train_loss": train_loss} | measured)

    @contextlib.contextmanager
    def _evaluated_weights(self) -> Iterator[None]:
        """Replace the weights by the optimizer's averages, if it has any, inside a `with` statement."""
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
        return keras_compat.moving_averages(self.optimizer, self.model.trainable_variables)

    def _train_steps(self, count: tf.Tensor, losses: tf.Tensor, *segment: Any) -> tf.Tensor:
        """Train `count` steps; return `losses` plus the losses of these steps."""

        def train_step(i: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            loss = self.strategy.run(self._step, args=self.feed.take(segment, i))
            return i + 1, total + self.strategy.reduce("SUM", loss, axis=None)

        # Not `for i in tf.range(count)`: AutoGraph cannot convert it on Python 3.13 (TensorFlow 2.21).
        return tf.while_loop(lambda i, total: i < count, train_step, (tf.constant(0), losses))[1]

    def _train_step(self, *taken: Any) -> tf.Tensor:
        """Train one step on a replica's share of a batch; return its part of the batch's mean loss, without L2."""
        x, y = self.feed.examples_of(*taken)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(self._objective.losses(y, self.model(x, training=True))) / self.feed.batch_size
            penalties = list(self.model.losses)
            if self._objective.weight_decay and self._decayed:
                penalties.append(self._objective.penalty(self._decayed))
            # Gradients are summed over replicas, and each has the same weights.
            whole = loss + tf.add_n(penalties) / self.strategy.num_replicas_in_sync if penalties else loss
            scaled = keras_compat.scaled_loss(self.optimizer, whole)
        gradients = tape.gradient(scaled, self.model.trainable_variables)
        keras_compat.apply_scaled_gradients(self.optimizer, gradients, self.model.trainable_variables)
        return loss

    def _losses_and_hits(self, x: Any, y: Any) -> tuple[tf.Tensor, ...]:
        """Return the sum of the losses and the number of hits in a held-out batch, and its number of examples."""
        sums = self.strategy.run(self._replica_losses_and_hits, args=(x, y))
        return tuple(self.strategy.reduce("SUM", part, axis=None) for part in sums)

    def _replica_losses_and_hits(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, ...]:
        x, y = self.feed.held_out_of(x, y)
        logits = tf.nest.flatten(self.model(x, training=False))[0]
        is_example = y != NO_EXAMPLE
        losses = tf.where(is_example, cross_entropy(tf.maximum(y, 0), logits), 0.0)
        hits = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), y)
        return tf.reduce_sum(losses), tf.math.count_nonzero(hits), tf.math.count_nonzero(is_example)


def stops(from_step: int, to_step: int, every: int, also: Collection[int] = ()) -> list[int]:
    """Return the steps at which training stops: multiples of `every`, steps in `also`, and the end."""
    multiples = range(from_step - from_step % every + every, to_step, every)
    inside = {*multiples, *(step for step in also if from_step < step < to_step)}
    return [*sorted(inside), to_step]
