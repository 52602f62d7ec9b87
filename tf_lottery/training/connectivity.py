"""Linear mode connectivity: error and loss on the line between two networks (Frankle et al. 2020, arXiv 1912.05671).

Two copies of a network, trained from one state in two data orders, are *stable* if the error hardly rises between them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.core.masks import Arrays
from tf_lottery.keras_compat import keras
from tf_lottery.masking import naming, state
from tf_lottery.training.trainer import Trainer

_EXAMPLES = 2048  # for recomputing BatchNorm statistics


class Connectivity:
    """Measures the model of a trainer along lines between two networks; traced once.

    Args:
        trainer: The trainer whose model, data and devices are used. Measuring leaves the model with other weights.
    """

    def __init__(self, trainer: Trainer):
        self._trainer = trainer
        self._add = tf.function(self._add_batch, autograph=False)
        self._statistics = _moving_statistics(trainer.model)

    def along(
        self,
        first: Arrays,
        second: Arrays,
        *,
        points: int,
        fresh_statistics: bool,
        seeds: tuple[int, int],
        measured: int = 0,
    ) -> Iterator[dict[str, float]]:
        """Measure error and loss on the test set at evenly spaced points of the line.

        Args:
            first, second: All variables at both ends, by name; the model keeps its masks. Variables that are not
                floats, such as the state of a random generator, have the values of `first`.
            points: Number of points, including both ends.
            fresh_statistics: Whether the moving statistics of BatchNorm are recomputed at each point, as means over the
                batches of 2,048 training examples. Otherwise they are interpolated too, and between two networks they
                fit neither.
            seeds: The seeds of the data order and the augmentation of these batches.
            measured: Number of points to skip, because they are measured already. Defaults to 0.

        Yields:
            A row for each point: share (of `second`, 0-1), test_error (0-1; NaN if the loss is not finite), test_loss.
        """
        batches = self._batches(seeds) if fresh_statistics and self._statistics else []
        for share in np.linspace(0, 1, points)[measured:]:
            state.set_weights(between(first, second, share), self._trainer.model)
            if batches:
                self._refresh(batches)
            found = self._trainer.evaluate("test", averaged=False)
            # All diverged networks make the same errors, which would look like stability.
            error = 1 - found["accuracy"] if np.isfinite(found["loss"]) else np.nan
            yield {"share": share.item(), "test_error": error, "test_loss": found["loss"]}

    def _batches(self, seeds: tuple[int, int]) -> list[Any]:
        feed = self._trainer.feed
        found = []
        for step in range(min(-(-_EXAMPLES // feed.batch_size), self._trainer.steps)):
            with feed.errors():
                found.append(feed.take(feed.segment(*seeds, step, step + 1), tf.constant(0)))
        return found

    def _refresh(self, batches: Sequence[Any]) -> None:
        """Set each moving statistic to its mean over the batches."""
        sums = {name: tf.zeros(variable.shape, variable.dtype) for name, (variable, _) in self._statistics.items()}
        for batch in batches:
            sums = self._add(sums, *batch)
        for name, (variable, _) in self._statistics.items():
            variable.assign(sums[name] / len(batches))

    def _add_batch(self, sums: Mapping[str, tf.Tensor], *batch: Any) -> dict[str, tf.Tensor]:
        """Return the sums with the statistics of a batch added, as means over the replicas."""
        strategy = self._trainer.strategy
        found = strategy.run(self._replica_statistics, args=batch)
        return {name: total + strategy.reduce("MEAN", found[name], axis=None) for name, total in sums.items()}

    def _replica_statistics(self, *taken: Any) -> dict[str, tf.Tensor]:
        """Return the statistics of a replica's share of a batch: its update of zeros, divided by (1 - momentum)."""
        x, _ = self._trainer.feed.examples_of(*taken)
        for variable, _ in self._statistics.values():
            variable.assign(tf.zeros(variable.shape, variable.dtype))
        self._trainer.model(x, training=True)
        return {
            name: tf.identity(keras_compat.tf_variable(variable)) / (1 - momentum)
            for name, (variable, momentum) in self._statistics.items()
        }


def between(first: Arrays, second: Arrays, share: float) -> dict[str, np.ndarray]:
    """Return (1 - share) * first + share * second, in the dtypes of `first`; arrays that are not floats are copied."""
    return {
        name: ((1 - share) * array + share * second[name]).astype(array.dtype) if _is_float(array) else array
        for name, array in first.items()
    }


def _moving_statistics(model: Any) -> Mapping[str, tuple[Any, float]]:
    """Return the moving means and variances of BatchNorm, each with its momentum."""
    return {
        f"{name}/{part}": (getattr(layer, f"moving_{part}"), layer.momentum)
        for name, layer in naming.named_layers(model).items()
        if isinstance(layer, keras.layers.BatchNormalization)
        for part in ("mean", "variance")
    }


def _is_float(array: np.ndarray) -> bool:
    return np.issubdtype(array.dtype, np.floating) or array.dtype.name == "bfloat16"
