"""The masks of a whole model, in and out, by weight name."""

from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import guard, naming
from tf_lottery.masking.constraint import KeepMask, mask_of


def get_masks(model: Any) -> dict[str, np.ndarray]:
    """Return the masks of `model`.

    Args:
        model: A prunable model, or one that tfmot has wrapped.

    Returns:
        Boolean arrays in the shapes of the weights, True = kept, by weight name; copies.

    Raises:
        ModelError: `model` has no masks.

    Examples:
        >>> import tf_lottery as tfl
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> {name: mask.shape for name, mask in tfl.get_masks(model).items()}
        {'dense/kernel': (64, 300), 'dense_1/kernel': (300, 100), 'output/kernel': (100, 10)}
    """
    return {name: np.asarray(mask.numpy(), bool) for name, (_, mask) in masked_variables(model).items()}


def set_masks(model: Any, masks: Arrays) -> None:
    """Set all masks of `model` and zeroes what they prune.

    Args:
        model: A prunable model.
        masks: Arrays of 0/1 by weight name, one for each mask of `model`.

    Raises:
        PruningError: names, shapes or values do not fit; then nothing was changed.
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


def replace_masks(model: Any, masks: Arrays) -> dict[str, np.ndarray]:
    """`set_masks` for a caller that writes the weights next: they are left as they are.

    Returns:
        The masks as boolean arrays, copies.
    """
    masked = masked_variables(model)
    masks = masks_lib.validate(masks, like={name: mask for name, (_, mask) in masked.items()})
    for name, (_, mask) in masked.items():
        mask.assign(tf.cast(masks[name], mask.dtype))  # tfmot's are floats
    return masks


def apply_masks(model: Any) -> None:
    """Set pruned weights to +0.0 now, and from now on before each `fit`, `evaluate`, `predict` and save of `model`.

    Training keeps them there by itself. This is for what bypasses training: `set_weights`, `load_weights`, weights
    that you assign. Weight averages of the optimizer (`use_ema`) are masked too. `make_prunable` calls it; call it
    yourself to have the effect at once, or on a model that `keras.models.load_model` returned.

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
        >>> _ = kernel.assign(np.ones((100, 10)))  # past the masks
        >>> tfl.apply_masks(model)
        >>> int(np.count_nonzero(kernel))
        300
    """
    for weight, mask in masked_variables(model).values():
        weight.assign(KeepMask(mask)(weight))
    keep_applied(model)


def keep_applied(model: Any) -> None:
    """All that `apply_masks` does but for the weights themselves, which the caller has masked."""
    optimizer = getattr(model, "optimizer", None)
    weights = [weight for weight, _ in masked_variables(model).values()]
    for weight, average in keras_compat.moving_averages(optimizer, weights):
        _mask_average(weight, average)
    keras_compat.change_averages(optimizer, _mask_average)
    guard.before(model, guard.USES, _apply_first)


def _apply_first(model: Any, *args: Any, **kwargs: Any) -> None:
    apply_masks(model)


def _mask_average(weight: Any, average: Any) -> None:
    if (mask := mask_of(weight)) is not None:
        average.assign(KeepMask(mask)(average))


def density(model: Any) -> float:
    """Share of the prunable weights that the masks of `model` keep, 0-1.

    Args:
        model: A prunable model, or one that tfmot has wrapped.

    Returns:
        Kept weights / all weights that have masks; those that were excluded count nowhere.

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


def density_by_weight(model: Any) -> dict[str, float]:
    """Share of kept weights, 0-1, for each weight that has a mask.

    Args:
        model: A prunable model, or one that tfmot has wrapped.

    Returns:
        Kept weights / all weights, by weight name.

    Raises:
        ModelError: `model` has no masks.

    Examples:
        >>> import tf_lottery as tfl
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10), exclude="output")
        >>> tfl.density_by_weight(model)
        {'dense/kernel': 1.0, 'dense_1/kernel': 1.0}
    """
    return masks_lib.density_by_weight(get_masks(model))


def prunable_weights(model: Any) -> dict[str, np.ndarray]:
    """Return the values of the weights that have masks, by weight name, copies."""
    return {name: weight.numpy() for name, (weight, _) in masked_variables(model).items()}


def masked_variables(model: Any) -> dict[str, tuple[Any, Any]]:
    """Weight and mask variables by weight name, in the order of the model.

    Raises:
        ModelError: `model` is not built, or has no masks.
    """
    if not isinstance(model, keras.layers.Layer):
        raise ModelError(f"A {keras.__name__} model is needed. Received: {type(model).__name__}")
    if not model.built:
        raise ModelError(f"Model {model.name!r} is not built: give it an Input, call it on data, or `build` it first.")
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
    if not masked:
        raise ModelError(
            "The model has no masks. Call `make_prunable(model)` first and use the model it returns. (What is stripped "
            "has none any more: its pruned weights are zeros like any.)"
        )
    return masked
