"""The wrapper that gives a layer masks, and which weights of which layers can have them."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tf_lottery import keras_api
from tf_lottery.errors import ModelError
from tf_lottery.keras_api import keras

# The weights that pruning removes, by layer class. By class and never by rank: biases can have rank 2.
PRUNABLE: dict[type, tuple[str, ...]] = {
    keras.layers.Dense: ("kernel",),
    keras.layers.Conv2D: ("kernel",),
    keras.layers.Conv2DTranspose: ("kernel",),
}


class KeepMask:
    """A weight constraint that sets pruned entries back to +0.0 after each optimizer step.

    Args:
        mask: Boolean variable in the weight's shape.
        inner: A constraint of the user's own; it runs first, so that the mask has the last word.
    """

    def __init__(self, mask: Any, inner: Callable[[Any], Any] | None = None):
        self.mask = mask
        self.inner = inner

    def __call__(self, weight: Any) -> tf.Tensor:
        weight = tf.convert_to_tensor(weight if self.inner is None else self.inner(weight))
        return tf.where(tf.convert_to_tensor(self.mask), weight, tf.zeros((), weight.dtype))


@keras.saving.register_keras_serializable(package="tf_lottery")
class Prunable(keras.layers.Wrapper):
    """Wraps a layer and owns the masks of its prunable weights.

    The masks are non-trainable boolean weights (1 = kept), so they travel in `.keras` and `.weights.h5` files. The
    wrapped layer's weights are kept at +0.0 where their mask is 0 after every optimizer step, with no callback
    attached; inference costs nothing extra.

    Args:
        layer: A layer whose class is known to be prunable.
        only: Names of the weights to prune, out of those that the class allows. Default: all of them.
        **kwargs: Keras layer arguments. `name` and `dtype` default to those of `layer`.

    Raises:
        ModelError: nothing in `layer` can be pruned.

    Example:
        >>> layer = Prunable(keras.layers.Dense(10))
    """

    def __init__(self, layer: Any, only: Sequence[str] | None = None, **kwargs: Any):
        kwargs.setdefault("name", layer.name)
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, **kwargs)
        self.supports_masking = layer.supports_masking
        known = prunable_names(layer)
        self.only = tuple(known if only is None else only)
        if not self.only or set(self.only) - set(known):
            raise ModelError(
                f"Layer {layer.name!r} ({type(layer).__name__}) has the prunable weights {list(known)}. "
                f"Received: only={only}"
            )

    def build(self, input_shape: Any = None) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True
        for name in self.only:
            weight = getattr(self.layer, name)
            mask = keras_api.add_mask(self, f"{name}_mask", weight.shape)
            setattr(self, f"{name}_mask", mask)
            keras_api.set_constraint(weight, KeepMask(mask, weight.constraint))
        self.built = True

    def call(self, inputs: Any, **kwargs: Any) -> Any:
        if "mask" not in inspect.signature(self.layer.call).parameters:
            kwargs.pop("mask", None)  # legacy Keras offers its masks to every call that could take them
        return self.layer(inputs, **kwargs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.layer.compute_mask(inputs, mask)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "only": list(self.only)}


def prunable_names(layer: Any) -> tuple[str, ...]:
    """The attribute names of the weights that pruning may remove from `layer`; empty for most classes."""
    return next((PRUNABLE[base] for base in type(layer).__mro__ if base in PRUNABLE), ())
