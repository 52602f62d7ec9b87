"""Conversion of whole models: from a plain model to a prunable one and back."""

import inspect
import os
import warnings
from typing import Any

from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import Layer, Model, keras
from tf_lottery.masking import constraint, guard, left_dense, model_masks, naming, rebuilding, shared_layers
from tf_lottery.masking.exclusion import Exclude, excluded_names
from tf_lottery.masking.prunable import MaskHolder, Prunable, prunable_weights, refuse_quantized, undecided_weights

HOLDER = "tfl_masks"  # the attribute of a subclassed model that owns its masks


def make_prunable(model: Model, exclude: Exclude = ()) -> Model:
    """Add masks of ones to the prunable weights of a model.

    The masks then hold without any callback: pruned weights are set to +0.0 after every optimizer step. `set_masks` and
    the callbacks of this package change the masks.

    A Sequential or functional model is left unchanged, and a new model is returned; other models that share layers with
    the original keep these, dense and with the old weights. A subclassed model is changed in place, because its saved
    files could no longer be loaded if its layers were replaced. It keeps its class and its layers and gets one more
    layer, `tfl_masks`, which owns the masks.

    A warning names trained weights that stay dense because their layer class is unknown: see `tfl.register_prunable`.

    Args:
        model: A built model.
        exclude: The weights that are never pruned: names of weights (`"output/kernel"`), of layers (`"output"`), or of
            the layers or models that contain them (`"encoder"` means all layers inside it); compiled regexes, which are
            searched in the weight names; or a function that takes a weight name and returns True to exclude it. The
            Keras name of a layer works as well, unless it is ambiguous. Defaults to `()`: nothing is excluded.

    Returns:
        For a Sequential or functional model: a new, uncompiled model with the same weights and layer names, in which
        the layers with prunable weights are wrapped in `Prunable`. For a subclassed model: the model itself.

    Raises:
        ModelError: the model is not built, already has masks, is quantised, or has no weights to prune; a name in
            `exclude` is unknown; or a layer cannot be recreated from its config.

    Examples:
        >>> import tf_lottery as tfl
        >>> plain = tfl.models.build("lenet_300_100", (8, 8, 1), 10)  # or any model of yours
        >>> model = tfl.make_prunable(plain, exclude="output")
        >>> list(tfl.get_masks(model))
        ['dense/kernel', 'dense_1/kernel']
    """
    check_model(model)
    if constraint.has_masks(model):
        raise ModelError(
            "The model already has masks, from tf_lottery or tfmot: use it as it is. `set_masks` changes its masks, "
            "`strip_pruning` removes them."
        )
    refuse_quantized(model)
    weights = prunable_weights(model)
    excluded = excluded_names(exclude, [*weights, *undecided_weights(model)], naming.named_layers(model))
    chosen = {id(weight) for name, weight in weights.items() if name not in excluded}
    if not chosen:
        raise ModelError(
            "The model has nothing to prune. tf_lottery prunes kernels and embeddings, except those that `exclude` "
            f"names. Found: {', '.join(weights) or 'none'}.{left_dense.hint(model)}"
        )
    left_dense.warn(model, excluded)
    if keras_compat.is_layer_graph(model):
        shared_layers.warn(model, chosen)
        model = _with_wrapped_layers(model, chosen)
    else:
        _hold_masks(model, chosen)
        _warn_about_checkpoints(model)
    model_masks.apply_masks(model)
    return model


def strip_pruning(model: Model) -> Model:
    """Remove the masks of a model and return a plain model, in which pruned weights are zeros.

    The plain model contains no class of this package, so it can be saved, loaded and served without it.

    Args:
        model: A built model with masks.

    Returns:
        For a Sequential or functional model: a new, uncompiled model with the same weights and layer names. For a
        subclassed model: the model itself, without what `make_prunable` has added.

    Raises:
        ModelError: the model is not built, has no masks, or is subclassed and has `Prunable` layers of its own.

    Examples:
        >>> import tf_lottery as tfl
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> [type(layer).__name__ for layer in tfl.strip_pruning(model).layers]
        ['Flatten', 'Dense', 'Dense', 'Dense']
    """
    check_model(model)
    if not constraint.has_masks(model):
        raise ModelError("There is nothing to strip: the model has no masks.")
    model_masks.apply_masks(model)
    if keras_compat.is_layer_graph(model):
        return rebuilding.rebuild(model, _plain_layer)
    if not hasattr(model, HOLDER):
        raise ModelError(
            "The masks of this model are in `Prunable` layers that its own class creates: remove them from that class."
        )
    for weight, _ in model_masks.masked_variables(model).values():
        constraint.release(weight)
    keras_compat.detach(model, HOLDER)
    keras_compat.forget_traces(model)
    guard.release(model)
    return model


def plain(model: Model) -> Model:
    """Return a plain model that makes the same predictions as `model`; exports start from it.

    Args:
        model: A built model, with masks of this package or of tfmot, or without masks.

    Returns:
        For a Sequential or functional model: a new, uncompiled model, as from `strip_pruning`; `model` is left
        unchanged. For a subclassed model: the model itself, with its masks applied.

    Raises:
        ModelError: `model` is not built.
    """
    check_model(model)
    has_masks = constraint.has_masks(model)
    if not keras_compat.is_layer_graph(model):
        if has_masks:
            model_masks.apply_masks(model)
        return model
    new = rebuilding.rebuild(model, _plain_layer)
    variables = naming.named_variables(new)
    for name, (weight, mask) in (model_masks.masked_variables(model) if has_masks else {}).items():
        variables[name].assign(constraint.KeepMask(mask)(weight))
    return new


def load_model(path: str | os.PathLike[str], exclude: Exclude = (), **kwargs: Any) -> Model:
    """Load a prunable model, with its masks, from a `.keras` file.

    Args:
        path: The file.
        exclude: For a subclassed model, the `exclude` that was passed to `make_prunable`. Sequential and functional
            models store it in their file. Defaults to `()`.
        **kwargs: Arguments of `keras.models.load_model`.

    Returns:
        The model, with its masks applied.

    Raises:
        ModelError: the file holds no prunable model.

    Examples:
        >>> import tempfile
        >>> import tf_lottery as tfl
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model.keras")
        ...     loaded = tfl.load_model(f"{folder}/model.keras")
        >>> tfl.density(loaded)
        1.0
    """
    model = keras.models.load_model(path, **kwargs)
    if not keras_compat.is_layer_graph(model):
        make_prunable(model, exclude)
        model.load_weights(path)  # again: only now is there a layer to load the masks into
    model_masks.apply_masks(model)
    return model


def copy(model: Model) -> Model:
    """Return a new, uncompiled prunable model like `model`, with newly initialised weights and masks of ones.

    Raises:
        ModelError: the model, or one of its layers, cannot be recreated from its config.
    """
    masked = model_masks.masked_variables(model)
    with model.distribute_strategy.scope():
        if keras_compat.is_layer_graph(model):
            new, _ = rebuilding.clone(model, _layer_like)
        else:
            new = rebuilding.layer_like(model)
            new.build_from_config(model.get_build_config())
            new.built = True  # Keras 3 sets this only in its loader
            variables = naming.named_variables(new)
            _hold_masks(new, {id(variable) for name, variable in variables.items() if name in masked})
        model_masks.apply_masks(new)
        return new


def check_model(model: Model) -> None:
    """Raise ModelError if `model` is not a built model of the Keras that this process uses."""
    if not isinstance(model, keras.Model):
        is_function = inspect.isroutine(model) or inspect.isclass(model)
        raise ModelError(
            f"tf_lottery works with models of {keras.__name__} {keras.__version__} in this process "
            f"({keras_compat.reason()}). Received: {type(model).__module__}.{type(model).__name__}"
            f"{': call it first and pass the model that it returns' if is_function else ''}"
        )
    if not model.built:
        raise ModelError(f"Model {model.name!r} is not built: give it an Input, call it on data, or `build` it first.")


def _with_wrapped_layers(model: Model, chosen: set[int]) -> Model:
    """Return a copy of a Sequential or functional model, in which the layers with chosen weights are wrapped."""

    def wrap(layer: Layer) -> Layer:
        weights = prunable_weights(layer) if isinstance(layer, keras.layers.Layer) else {}  # else an operation: `x[0]`
        only = [name for name, weight in weights.items() if id(weight) in chosen]
        new = rebuilding.layer_like(layer)
        return Prunable(new, None if len(only) == len(weights) else only) if only else new

    return rebuilding.rebuild(model, wrap)


def _plain_layer(layer: Layer) -> Layer:
    """Return a new layer like `layer`, without its wrapper."""
    return rebuilding.layer_like(rebuilding.unwrapped(layer))


def _layer_like(layer: Layer) -> Layer:
    """Return a new layer like `layer`, in a wrapper like that of `layer`."""
    if isinstance(layer, Prunable):
        return Prunable(rebuilding.layer_like(layer.layer), layer.only)
    return rebuilding.layer_like(layer)


def _hold_masks(model: Model, chosen: set[int]) -> None:
    """Add a layer to a subclassed model that owns the masks of the chosen weights."""
    holder = MaskHolder(name=HOLDER)
    keras_compat.attach(model, HOLDER, holder)
    for weight in naming.named_variables(model).values():
        if id(weight) in chosen:
            holder.own_mask(weight)
    keras_compat.forget_traces(model)
    guard.call_before(model, ["save"], _check_config)


def _check_config(model: Model, path: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
    """Refuse to write a `.keras` file that could not be loaded."""
    if not str(path).endswith(".keras"):
        return
    try:
        type(model).from_config(model.get_config())
    except Exception as error:
        raise ModelError(
            f"{type(model).__name__} cannot be recreated from its config, so a `.keras` file of it could not be "
            "loaded: implement `get_config` in it (and `from_config` if the constructor takes other arguments), or "
            f"use `save_weights('….weights.h5')`. {error}"
        ) from error


def _warn_about_checkpoints(model: Model) -> None:
    lost = {id(weight) for weight in keras_compat.variables_lost_in_checkpoints(model)}
    if names := [name for name, variable in naming.named_variables(model).items() if id(variable) in lost]:
        warnings.warn(
            f"tf.train.Checkpoint silently leaves out {', '.join(names[:3])}{' …' if len(names) > 3 else ''}, because "
            "it does not save layers that a Keras 3 model holds in a Python list or dict. Save with "
            "`save_weights('….weights.h5')`.",
            stacklevel=3,
        )
