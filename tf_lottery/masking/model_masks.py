"""Reading, setting and applying the masks of a whole model, by weight name."""

from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import Model, Variable, keras
from tf_lottery.masking import guard, naming
from tf_lottery.masking.constraint import KeepMask, mask_of


def get_masks(model: Model) -> dict[str, np.ndarray]:
    """Return the masks of `model`.

    Args:
        model: A prunable model, or one that tfmot has wrapped.

    Returns:
        Boolean arrays (True = kept) by weight name, in the shapes of the weights. They are copies.

    Raises:
        ModelError: `model` has no masks.

    Examples:
        >>> import tf_lottery as tfl
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> {name: mask.shape for name, mask in tfl.get_masks(model).items()}
        {'dense/kernel': (64, 300), 'dense_1/kernel': (300, 100), 'output/kernel': (100, 10)}
    """
    return {name: np.asarray(mask.numpy(), bool) for name, (_, mask) in masked_variables(model).items()}


def set_masks(model: Model, masks: Arrays) -> None:
    """Set all masks of `model` and set the weights that they prune to +0.0.

    Args:
        model: A prunable model.
        masks: Arrays of 0/1 (1 = kept) by weight name, in the shapes of the weights: one for each mask of `model`.

    Raises:
        PruningError: names, shapes or values do not fit. Nothing is changed then.
        ModelError: `model` has no masks.

    Examples:
        >>> import tf_lottery as tfl
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> masks = tfl.get_masks(model)
        >>> masks["output/kernel"][:, 3:] = False
        >>> tfl.set_masks(model, masks)
        >>> tfl.density_by_weight(model)
        {'dense/kernel': 1.0, 'dense_1/kernel': 1.0, 'output/kernel': 0.3}
    """
    replace_masks(model, masks)
    apply_masks(model)


def replace_masks(model: Model, masks: Arrays) -> dict[str, np.ndarray]:
    """Set all masks of `model` and leave the weights unchanged, for a caller that writes them next.

    Returns:
        The masks as boolean arrays. They are copies.

    Raises:
        PruningError: names, shapes or values do not fit. Nothing is changed then.
        ModelError: `model` has no masks.
    """
    masked = masked_variables(model)
    masks = masks_lib.validate(masks, like={name: mask for name, (_, mask) in masked.items()})
    for name, (_, mask) in masked.items():
        mask.assign(tf.cast(masks[name], mask.dtype))  # tfmot's are floats
    return masks


def apply_masks(model: Model) -> None:
    """Set pruned weights to +0.0 now, and from now on before each `fit`, `evaluate`, `predict` and save of `model`.

    Training keeps pruned weights at zero by itself. This function is for changes that bypass training: `set_weights`,
    `load_weights` and `assign`. It also masks the weight averages of the optimizer (`use_ema`). `make_prunable` calls
    it. Call it yourself if pruned weights must be zero at once, or on a model from `keras.models.load_model`.

    Args:
        model: A prunable model.

    Raises:
        ModelError: `model` has no masks.

    Examples:
        >>> import numpy as np
        >>> import tf_lottery as tfl
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> masks = tfl.get_masks(model)
        >>> masks["output/kernel"][:, 3:] = False
        >>> tfl.set_masks(model, masks)
        >>> kernel = model.layers[-1].layer.kernel
        >>> _ = kernel.assign(np.ones((100, 10)))  # bypasses the masks
        >>> tfl.apply_masks(model)
        >>> int(np.count_nonzero(kernel))
        300
    """
    for weight, mask in masked_variables(model).values():
        weight.assign(KeepMask(mask)(weight))
    keep_applied(model)


def keep_applied(model: Model) -> None:
    """Do what `apply_masks` does, except for the weights themselves, which the caller has masked already."""
    optimizer = getattr(model, "optimizer", None)
    weights = [weight for weight, _ in masked_variables(model).values()]
    for weight, average in keras_compat.moving_averages(optimizer, weights):
        _mask_average(weight, average)
    keras_compat.change_averages(optimizer, _mask_average)
    guard.call_before(model, guard.USES, _apply_first)


def _apply_first(model: Model, *args: Any, **kwargs: Any) -> None:
    apply_masks(model)


def _mask_average(weight: Variable, average: Variable) -> None:
    if (mask := mask_of(weight)) is not None:
        average.assign(KeepMask(mask)(average))


def density(model: Model) -> float:
    """Return the share of the prunable weights of `model` that its masks keep, 0-1.

    Args:
        model: A prunable model, or one that tfmot has wrapped.

    Returns:
        The number of kept weights, divided by the number of all weights that have masks. Excluded weights do not count.

    Raises:
        ModelError: `model` has no masks.

    Examples:
        >>> import tf_lottery as tfl
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> masks = tfl.get_masks(model)
        >>> masks["dense/kernel"][:] = False  # 19,200 of 50,200
        >>> tfl.set_masks(model, masks)
        >>> round(tfl.density(model), 3)
        0.618
    """
    return masks_lib.density(get_masks(model))


def density_by_weight(model: Model) -> dict[str, float]:
    """Return the share of kept entries, 0-1, in each weight that has a mask.

    Args:
        model: A prunable model, or one that tfmot has wrapped.

    Returns:
        The number of kept entries, divided by the number of all entries, by weight name.

    Raises:
        ModelError: `model` has no masks.

    Examples:
        >>> import tf_lottery as tfl
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10), exclude="output")
        >>> tfl.density_by_weight(model)
        {'dense/kernel': 1.0, 'dense_1/kernel': 1.0}
    """
    return masks_lib.density_by_weight(get_masks(model))


def prunable_weights(model: Model) -> dict[str, np.ndarray]:
    """Return copies of the weights that have masks, by weight name.

    Raises:
        ModelError: `model` has no masks.
    """
    return {name: weight.numpy() for name, (weight, _) in masked_variables(model).items()}


def masked_variables(model: Model) -> dict[str, tuple[Variable, Variable]]:
    """Return the variables of each masked weight and its mask, by weight name, in the order of the model.

    Raises:
        ModelError: `model` is not built, or has no masks.
    """
    if not isinstance(model, keras.layers.Layer):
        raise ModelError(f"A {keras.__name__} model is needed. Received: {type(model).__name__}")
    not_built = f"Model {model.name!r} is not built: give it an Input, call it on data, or `build` it first."
    if not model.built and keras_compat.is_layer_graph(model):
        raise ModelError(not_built)
    by_tfmot = {
        id(weight): mask
        for layer in keras_compat.all_layers(model)
        for weight, mask, _ in getattr(layer, "pruning_vars", ())
    }
    masked = {}
    for name, weight in naming.named_variables(model).items():
        mask = mask_of(weight)
        mask = by_tfmot.get(id(weight)) if mask is None else mask
        if mask is not None:
            masked[name] = (weight, mask)
    if not masked and not model.built:  # a model without `call`, whose parts are built, never is
        raise ModelError(not_built)
    if not masked:
        raise ModelError(
            "The model has no masks. Call `make_prunable(model)` first and use the model that it returns. (A stripped "
            "model has no masks: its pruned weights are ordinary zeros.)"
        )
    return masked
