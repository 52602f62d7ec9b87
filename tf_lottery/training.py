"""Training any range of steps, exactly: whole segments of steps in one execution, one trace for all levels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import keras_api, state
from tf_lottery.core import order
from tf_lottery.data.dataset import Dataset, Split
from tf_lottery.errors import ConfigError
from tf_lottery.keras_api import keras

_EVALUATION_BATCH = 1000


@keras.saving.register_keras_serializable(package="tf_lottery")
class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A pure function of the step: linear warmup from 0, then drops by a factor.

    Args:
        base: Learning rate after the warmup and before the first drop.
        drops: Steps at which the rate is multiplied by `drop_factor`.
        drop_factor: Usually 0.1.
        warmup: Steps until `base` is reached; the rate at step s is base * min(1, s / warmup).
    """

    def __init__(self, base: float, drops: tuple[int, ...] = (), drop_factor: float = 0.1, warmup: int = 0):
        self.base, self.drops, self.drop_factor, self.warmup = base, tuple(drops), drop_factor, warmup

    def __call__(self, step: Any) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        rate = tf.constant(self.base, tf.float32)
        for drop in self.drops:
            rate = tf.where(step >= drop, rate * self.drop_factor, rate)
        return rate * tf.minimum(1.0, step / self.warmup) if self.warmup else rate

    def get_config(self) -> dict[str, Any]:
        return {"base": self.base, "drops": self.drops, "drop_factor": self.drop_factor, "warmup": self.warmup}


OPTIMIZERS: dict[str, Callable[[LearningRate, float], Any]] = {
    "adam": lambda rate, momentum: keras.optimizers.Adam(rate),
    "sgd": lambda rate, momentum: keras.optimizers.SGD(rate, momentum=momentum),
}


@dataclass
class Outcome:
    """What a training leaves behind.

    Attributes:
        history: One row an evaluation: step, train_loss, validation_loss, validation_accuracy.
        snapshot: The full state at the step asked for, or None.
        early_stop_loss: The lowest validation loss.
        early_stop_step: Its step; the first one of equals.
        early_stop_weights: The model's variables at that step, by name.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    snapshot: dict[str, dict[str, np.ndarray]] | None = None
    early_stop_loss: float = np.inf
    early_stop_step: int = 0
    early_stop_weights: dict[str, np.ndarray] = field(default_factory=dict)


class Trainer:
    """Trains a prunable model on arrays that stay in memory.

    The result of training from step a to b depends on the state at a, the order seed, and nothing else: not on
    where segments end, on what was trained before, or on evaluations in between.

    Args:
        model: A built prunable model that returns logits.
        dataset: In-memory splits.
        optimizer: A new optimizer; its learning rate must be a function of the step.
        batch_size: Examples a step.
        steps: T, the length of a whole training.
        evaluate_every: Steps between evaluations on the validation split; there is one at T too.
        jit_compile: Whether XLA compiles the steps. Faster for dense layers on a CPU, slower for convolutions.
    """

    def __init__(
        self,
        model: Any,
        dataset: Dataset,
        *,
        optimizer: Any,
        batch_size: int,
        steps: int,
        evaluate_every: int,
        jit_compile: bool = False,
    ):
        self.model, self.optimizer, self.dataset = model, optimizer, dataset
        self.batch_size, self.steps, self.evaluate_every = batch_size, steps, evaluate_every
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        optimizer.build(model.trainable_variables)
        self._new_optimizer = state.capture(model, optimizer)["optimizer"]
        self._x, self._y = tf.constant(dataset.train.x), tf.constant(dataset.train.y)
        self._held_out = {"validation": _in_batches(dataset.validation), "test": _in_batches(dataset.test)}
        self._run = tf.function(self._train_steps, jit_compile=jit_compile, autograph=False)
        self._measure = tf.function(self._losses_and_hits, jit_compile=jit_compile, autograph=False)

    def reset_optimizer(self, step: int) -> None:
        """Gives the optimizer the slots of a new one; its step counter, so the learning rate, is at `step`."""
        state.restore_optimizer(self._new_optimizer, self.optimizer)
        self.optimizer.iterations.assign(step)

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
            order_seed: Which data order to follow.
            snapshot_at: A step at which to keep the full state.
            on_segment: Called with the number of steps of each segment that is done.
        """
        outcome = Outcome(early_stop_step=from_step)
        if snapshot_at == from_step:
            outcome.snapshot = state.capture(self.model, self.optimizer)
        self.model.reset_metrics()
        for start, stop in segments(from_step, to_step, self.evaluate_every, snapshot_at):
            self._run(*self._order(order_seed, start, stop))
            if stop == snapshot_at:
                outcome.snapshot = state.capture(self.model, self.optimizer)
            if stop % self.evaluate_every == 0 or stop == to_step:
                train_loss = self._train_loss() if stop > from_step else np.nan
                row = {"step": stop, "train_loss": train_loss} | self._validate()
                if not outcome.history or row["validation_loss"] < outcome.early_stop_loss:
                    outcome.early_stop_loss, outcome.early_stop_step = row["validation_loss"], stop
                    outcome.early_stop_weights = state.weights(self.model)
                outcome.history.append(row)
            on_segment(stop - start)
        return outcome

    def evaluate(self, split: str) -> dict[str, float]:
        """Mean cross-entropy (`loss`, without regularisers) and `accuracy` (0-1) on `"validation"` or `"test"`."""
        measured = [self._measure(x, y) for x, y in self._held_out[split]]
        examples = sum(len(y) for _, y in self._held_out[split])
        return {
            "loss": sum(float(loss) for loss, _ in measured) / examples,
            "accuracy": sum(int(hits) for _, hits in measured) / examples,
        }

    def _validate(self) -> dict[str, float]:
        return {f"validation_{name}": value for name, value in self.evaluate("validation").items()}

    def _train_loss(self) -> float:
        """Mean training loss since it was last asked for."""
        loss = float(self.model.metrics[0].result())
        self.model.reset_metrics()
        return loss

    def _order(self, seed: int, start: int, stop: int) -> tuple[tf.Tensor, tf.Tensor]:
        """The batches of a segment, padded to the longest segment: one shape, so one trace."""
        batches = order.batches(seed, len(self.dataset.train), self.batch_size, start, stop)
        longest = min(self.evaluate_every, self.steps)
        padding = np.zeros((longest - len(batches), self.batch_size), np.int32)
        return tf.constant(np.concatenate([batches, padding])), tf.constant(stop - start)

    def _train_steps(self, batches: tf.Tensor, count: tf.Tensor) -> None:
        def train_step(i: tf.Tensor) -> tuple[tf.Tensor]:
            self.model.train_step((tf.gather(self._x, batches[i]), tf.gather(self._y, batches[i])))
            return (i + 1,)

        # Not `for i in tf.range(count)`: AutoGraph cannot convert it on Python 3.13 (TensorFlow 2.21).
        tf.while_loop(lambda i: i < count, train_step, (tf.constant(0),))

    def _losses_and_hits(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = self.model(x, training=False)
        losses = keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True)
        hits = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), y)
        return tf.reduce_sum(losses), tf.math.count_nonzero(hits)


def segments(from_step: int, to_step: int, every: int, also: int | None = None) -> Iterator[tuple[int, int]]:
    """Splits a range of steps at the multiples of `every` and at `also`; an empty range is one empty segment."""
    multiples = range(from_step - from_step % every + every, to_step, every)
    inside = {*multiples, also} if also is not None and from_step < also < to_step else {*multiples}
    stops = [*sorted(inside), to_step]
    return zip([from_step, *stops[:-1]], stops, strict=True)


def _in_batches(split: Split) -> list[tuple[tf.Tensor, tf.Tensor]]:
    batches = [slice(start, start + _EVALUATION_BATCH) for start in range(0, len(split), _EVALUATION_BATCH)]
    return [(tf.constant(split.x[batch]), tf.constant(split.y[batch])) for batch in batches]


def configure_process(threads: int, jit_compile: bool) -> None:
    """Makes this process train repeatably: thread counts, deterministic ops, restorable randomness.

    Call it before TensorFlow runs its first op. The number of threads changes results in the last bits, so it belongs
    to the experiment, not to the machine. XLA and TensorFlow's op determinism exclude each other; on one CPU device XLA
    repeats itself without it.

    Raises:
        ConfigError: TensorFlow has already started with other thread counts.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise ConfigError(f"TensorFlow already runs in this process; {threads} threads cannot be set now.") from error
    if not jit_compile:
        tf.config.experimental.enable_op_determinism()
    keras_api.make_randomness_restorable()
