"""Masks of models whose own layers are not wrapped: adding and removing them, and keeping them in copies."""

import copyreg
from collections.abc import Callable, Collection
from typing import Any

from tf_lottery import keras_compat
from tf_lottery.core.masks import Arrays
from tf_lottery.keras_compat import Model
from tf_lottery.masking import constraint, model_masks
from tf_lottery.masking.constraint import HOLDER
from tf_lottery.masking.prunable import MaskHolder


def hold(model: Model, names: Collection[str]) -> None:
    """Add a layer to a model that owns the masks of the weights with these names.

    Raises:
        ModelError: the model has no weight of such a name.
    """
    attach_holder(model).hold(names)
    keras_compat.forget_traces(model)


def attach_holder(model: Model) -> MaskHolder:
    """Add a layer that owns masks to a model, and return it; it replaces one that is there."""
    if hasattr(model, HOLDER):
        keras_compat.detach(model, HOLDER)
    holder = MaskHolder(name=HOLDER)
    holder.belong_to(model)
    keras_compat.attach(model, HOLDER, holder)
    # Python asks this table how to pickle and copy objects of a class, so no method of the model is replaced.
    if type(model) not in copyreg.dispatch_table:
        copyreg.pickle(type(model), _reduce)
    return holder


def release(model: Model) -> None:
    """Remove what `hold` has added."""
    for weight, _ in model_masks.masked_variables(model).values():
        if constraint.mask_of(weight) is not None:  # a quantized weight has no constraint
            constraint.release(weight)
    keras_compat.detach(model, HOLDER)
    keras_compat.forget_traces(model)


def _reduce(model: Model) -> Any:
    """Return what makes a copy of a model, as `__reduce__` does: the copy that Keras makes, then its masks."""
    made = model.__reduce_ex__(4)
    if not constraint.has_masks(model) or not hasattr(model, HOLDER) or len(made) != 2:
        return made
    masks = model_masks.get_masks(model)
    return with_masks, (*made, {name: masks[name] for name in getattr(model, HOLDER).names})


def with_masks(make: Callable[..., Model], arguments: tuple[Any, ...], masks: Arrays) -> Model:
    """Return the model that `make(*arguments)` returns, masked in place. Pickled models name this function."""
    model = make(*arguments)
    hold(model, list(masks))
    model_masks.set_masks(model, {**model_masks.get_masks(model), **masks})
    return model
