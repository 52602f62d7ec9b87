"""Reading, setting and applying the masks of a whole model, by weight name."""

import inspect
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import Layer, Model, Variable, keras
from tf_lottery.masking import naming
from tf_lottery.masking.constraint import HOLDER, KeepMask, MaskOwner, mask_of


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
    """Set pruned weights to +0.0 now.

    Training keeps pruned weights at zero by itself. This function is for two other cases:

    - After `set_weights`, `load_weights` or `assign`. Pruned weights are zero again at the next training step that
      updates them, in the next `fit` with a callback of this package, and in every ticket and export; call this
      function where they must be zero at once.
    - After a `fit` with an optimizer that averages weights (`use_ema`) and without a callback of this package. Keras
      takes averages before it applies constraints, and writes them over the weights when `fit` ends.

    The averages in the optimizers are masked as well.

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
    mask_averages(model)


def not_zero(model: Model) -> list[str]:
    """Return the names of the weights of which pruned entries are not 0.

    Raises:
        ModelError: `model` has no masks.
    """
    return [name for name, (weight, mask) in masked_variables(model).items() if _has_strays(weight, mask)]


def _has_strays(weight: Variable, mask: Variable) -> bool:
    pruned = tf.logical_not(tf.cast(tf.convert_to_tensor(mask), tf.bool))
    return bool(tf.reduce_any(pruned & tf.not_equal(tf.convert_to_tensor(weight), 0)))


def mask_averages(model: Model) -> None:
    """Set the pruned entries of the weight averages (`use_ema`) in the optimizers of `model` to +0.0.

    Keras updates the averages before it applies constraints.
    """
    for optimizer in keras_compat.owned_optimizers(model).values():
        for weight, average in keras_compat.moving_averages(optimizer, model.trainable_variables):
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


def check_model(model: Model) -> None:
    """Raise ModelError if `model` is not a built model of the Keras that this process uses."""
    if not isinstance(model, keras.Model):
        is_function = inspect.isroutine(model) or inspect.isclass(model)
        raise ModelError(
            f"tf_lottery works with models of {keras.__name__} {keras.__version__} in this process "
            f"({keras_compat.reason()}). Received: {type(model).__module__}.{type(model).__name__}"
            f"{': call it first and pass the model that it returns' if is_function else ''}"
        )
    _check_built(model)


def _check_built(model: Layer) -> None:
    if model.built:
        return
    unbuilt = keras_compat.unbuilt_layers(model)
    if unbuilt or not model.variables:  # a model without `call`, such as a GAN, is never built, its layers are
        names = f" Not built: {', '.join(layer.name for layer in unbuilt)}." if unbuilt else ""
        raise ModelError(
            f"Model {model.name!r} is not built: give it an Input, call it on data, or `build` it first.{names}"
        )


def masked_variables(model: Model) -> dict[str, tuple[Variable, Variable]]:
    """Return the variables of each masked weight and its mask, by weight name, in the order of the model.

    Raises:
        ModelError: `model` is not built, or has no masks.
    """
    if not isinstance(model, keras.layers.Layer):
        raise ModelError(f"A {keras.__name__} model is needed. Received: {type(model).__name__}")
    _check_built(model)
    variables = naming.named_variables(model)
    masks = _masks_by_weight(model, variables)
    masked = {name: (weight, masks[id(weight)]) for name, weight in variables.items() if id(weight) in masks}
    if not masked:
        raise ModelError(
            "The model has no masks. Call `make_prunable(model)` first and use the model that it returns. (A stripped "
            "model has no masks: its pruned weights are ordinary zeros.)"
        )
    _warn_of_lora(model)
    return masked


def _masks_by_weight(model: Model, variables: Mapping[str, Variable]) -> dict[int, Variable]:
    """Return the masks of weights, by `id` of the weight: those of this package and those of tfmot."""
    masks = {
        id(weight): mask
        for layer in keras_compat.all_layers(model)
        for weight, mask, _ in getattr(layer, "pruning_vars", ())
    }
    masks |= {id(weight): mask for weight in variables.values() if (mask := mask_of(weight)) is not None}
    for owner, root in _mask_owners(model):
        owner.refresh()
        names = variables if root is model else naming.named_variables(root)
        masks |= {id(names[name]): mask for name, mask in owner.masks().items()}
    return masks


def _mask_owners(model: Model) -> Iterator[tuple[MaskOwner, Layer]]:
    """Yield the layers that own masks, each with the layer or model whose weights they mask."""
    for layer in keras_compat.all_layers(model):
        if isinstance(layer, MaskOwner) and hasattr(layer, "layer"):
            yield layer, layer.layer
    if isinstance(holder := getattr(model, HOLDER, None), MaskOwner):
        yield holder, model


def _warn_of_lora(model: Model) -> None:
    adapted = [
        path
        for path, layer in naming.named_layers(model).items()
        if getattr(layer, "lora_enabled", False)
        and any(mask_of(weight) is not None for weight in keras_compat.own_variables(layer))
    ]
    if adapted:
        keras_compat.warn(
            f"LoRA adds dense matrices to the masked weights of {', '.join(adapted)}: masks and densities are those of "
            "the weights without them. Prune after merging LoRA into the weights, or leave it out."
        )
