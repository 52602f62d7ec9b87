"""Averages of weights (`use_ema`) in `fit`: Keras makes them before it applies constraints, so they need masking."""

from tf_lottery import keras_compat
from tf_lottery.keras_compat import Model
from tf_lottery.masking import model_masks


def exist(model: Model) -> bool:
    """Return whether one of the optimizers of `model` averages weights."""
    return any(map(keras_compat.is_averaging, keras_compat.owned_optimizers(model).values()))


def mask(model: Model) -> None:
    """Set pruned weights and their averages to +0.0, if there are averages.

    Callbacks call it before averages can be seen: when a validation begins, and when an epoch or `fit` ends, after
    which Keras has written the averages over the weights.
    """
    if exist(model):
        model_masks.apply_masks(model)
