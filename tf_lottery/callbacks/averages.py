"""Averages of weights (`use_ema`) in `fit`: Keras makes them before it applies constraints, so they need masking."""

from collections.abc import Sequence
from typing import Any

from tf_lottery import keras_compat
from tf_lottery.keras_compat import Callback, Model
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


def swapping(model: Model, callbacks: Sequence[Any]) -> list[Callback]:
    """Return those of the callbacks that put averages into `model`; none if there are no averages.

    Warns:
        UserWarning: there are averages and none of the callbacks puts them into the model before it is validated.
    """
    if not exist(model):
        return []
    found = keras_compat.swapping_callbacks(callbacks)
    if not found:
        way_out = "" if keras_compat.LEGACY else " For averages, add `SwapEMAWeights(swap_on_epoch=True)`."
        keras_compat.warn(
            "With `use_ema`, `fit` validates the weights themselves, so tickets hold these and not their averages, "
            f"which Keras writes into the model when `fit` ends.{way_out}"
        )
    return found
