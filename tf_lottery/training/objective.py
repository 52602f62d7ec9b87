"""The loss that training minimises: cross-entropy, auxiliary heads, L2."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tf_lottery.keras_compat import keras


@dataclass(frozen=True)
class Objective:
    """The terms of the loss.

    Attributes:
        label_smoothing: Share of each label that is spread evenly over all classes, 0-1.
        auxiliary_weight: Factor of the cross-entropy of a model's auxiliary logits.
        weight_decay: L2 in the gradient: each decayed weight w adds weight_decay * w to its gradient. That is
            `kernel_regularizer=L2(weight_decay / 2)` of Keras, and not the optimizers' decoupled `weight_decay`.
    """

    label_smoothing: float = 0.0
    auxiliary_weight: float = 0.4
    weight_decay: float = 0.0

    def losses(self, y: tf.Tensor, outputs: Any) -> tf.Tensor:
        """Return the loss of each example, without L2.

        Args:
            y: Classes, int32, shape (examples,).
            outputs: Logits of shape (examples, classes), or a list of such tensors, of which all but the first are
                auxiliary.

        Returns:
            float32, shape (examples,).
        """
        logits, *auxiliary = tf.nest.flatten(outputs)
        losses = self._cross_entropy(y, logits)
        for more in auxiliary:
            losses += self.auxiliary_weight * self._cross_entropy(y, more)
        return losses

    def penalty(self, decayed: Sequence[Any]) -> tf.Tensor:
        """Return the L2 term for the weights `decayed`, a float32 scalar."""
        squares = [tf.nn.l2_loss(tf.cast(tf.convert_to_tensor(weight), tf.float32)) for weight in decayed]
        return self.weight_decay * tf.add_n(squares)

    def _cross_entropy(self, y: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        if not self.label_smoothing:
            return cross_entropy(y, logits)
        labels = tf.one_hot(y, logits.shape[-1], dtype=tf.float32)
        return keras.losses.categorical_crossentropy(
            labels, _float32(logits), from_logits=True, label_smoothing=self.label_smoothing
        )


CROSS_ENTROPY = Objective()  # without other terms


def cross_entropy(y: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy of each example, in float32 whatever the precision of the logits."""
    return keras.losses.sparse_categorical_crossentropy(y, _float32(logits), from_logits=True)


def _float32(logits: tf.Tensor) -> tf.Tensor:
    return tf.cast(logits, tf.float32)
