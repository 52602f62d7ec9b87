"""Averages of weights (`use_ema`) and assigned weights in `fit`: no constraint masks them."""

from collections.abc import Sequence
from typing import Any

from tf_lottery import keras_compat
from tf_lottery.keras_compat import Callback, Model
from tf_lottery.masking import model_masks


def exist(model: Model) -> bool:
    """Return whether one of the optimizers of `model` averages weights."""
    return any(map(keras_compat.is_averaging, keras_compat.owned_optimizers(model).values()))


class Zeros:
    """Zeros of a model that its optimizer's constraints do not see to: averages, and weights that other code assigns.

    Callbacks call `keep` before such weights can be seen: when a validation begins, and when an epoch or `fit` ends,
    after which Keras has written the averages over the weights.
    """

    def __init__(self, model: Model):
        self._model = model
        self._has_warned = False

    def keep(self) -> None:
        """Set pruned weights and their averages to +0.0.

        Warns:
            UserWarning: once, if code has assigned other values to pruned weights.
        """
        if exist(self._model):
            model_masks.apply_masks(self._model)
        elif assigned := model_masks.not_zero(self._model):
            model_masks.apply_masks(self._model)
            if not self._has_warned:
                keras_compat.warn(
                    f"Code has assigned values to pruned weights of {', '.join(assigned)}, as averaging one network "
                    "into another does. They are 0 in validations and tickets, and not in between: leave such copies "
                    "dense, `make_prunable(model, exclude=…)`."
                )
            self._has_warned = True


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
