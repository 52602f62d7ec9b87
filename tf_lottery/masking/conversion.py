"""Conversion of whole models: from a plain model to a prunable one and back; copies and files of prunable models."""

import os
import warnings
from collections.abc import Collection
from typing import Any

from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import Layer, Model, keras
from tf_lottery.masking import constraint, held_masks, left_dense, model_masks, naming, rebuilding, shared_layers, state
from tf_lottery.masking.constraint import HOLDER
from tf_lottery.masking.exclusion import Exclude, excluded_names
from tf_lottery.masking.model_masks import check_model
from tf_lottery.masking.prunable import Prunable, prunable_weights, refuse_quantized


def make_prunable(model: Model, exclude: Exclude = (), *, in_place: bool = False) -> Model:
    """Add masks of ones to the prunable weights of a model.

    The masks then hold without any callback: pruned weights are set to +0.0 after every optimizer step (after a `fit`
    with `use_ema`, see `apply_masks`). `set_masks` and the callbacks of this package change the masks.

    A plain Sequential or functional model is left unchanged, and a new model is returned; models that share layers
    with the original keep these, dense and with the old weights. A model of any other class (subclassed, including
    subclasses of Sequential and functional models, such as KerasHub's) is masked in place: it keeps its class, methods,
    layers and variables, stays compiled, and gets one more layer, `tfl_masks`, which owns the masks.

    `tfl.copy`, `tfl.load_model` and `pickle` keep the masks of a model masked in place, and so do `copy.copy` and
    `copy.deepcopy` on Keras 3. What Keras itself makes of it has its weights, with their zeros, and no masks:
    `clone_model`, `keras.models.load_model`, `.h5` files of Sequential and functional models, and the pickle of a model
    that contains it. On legacy Keras so have `copy.copy` and `copy.deepcopy`.

    Layers that are added later stay dense. Masks of layers that are removed are dropped with a warning.

    A warning names trainable weights, frozen or not, that stay dense because their layer class is unknown: see
    `tfl.register_prunable`.

    Args:
        model: A built model. One without `call`, such as a GAN that has only a `train_step`, is built when the models
            inside it are.
        exclude: The weights that are never pruned: names of weights (`"output/kernel"`), of layers (`"output"`), or of
            the layers or models that contain them (`"encoder"` means all layers inside it); compiled regexes, which are
            searched in the weight names; or a function that takes a weight name and returns True to exclude it. The
            Keras name of a layer works as well, unless it is ambiguous. Defaults to `()`: nothing is excluded.
        in_place: Whether a plain Sequential or functional model is masked in place, too: for models that share its
            layers, and for layers that cannot be recreated from their config. Defaults to False.

    Returns:
        For a plain Sequential or functional model: a new, uncompiled model with the same weights and layer names, in
        which the layers with prunable weights are wrapped in `Prunable`. For other models, and with `in_place`: the
        model itself.

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
    if not isinstance(in_place, bool):
        raise ModelError(f"`in_place` must be True or False. Received: in_place={in_place!r}")
    if constraint.has_masks(model):
        raise ModelError(
            "The model already has masks, from tf_lottery or tfmot: use it as it is. `set_masks` changes its masks, "
            "`strip_pruning` removes them."
        )
    refuse_quantized(model)
    weights = prunable_weights(model)
    excluded = excluded_names(exclude, list(naming.named_variables(model)), naming.named_layers(model))
    chosen = {id(weight) for name, weight in weights.items() if name not in excluded}
    if not chosen:
        raise ModelError(_nothing_to_prune(model, weights))
    left_dense.warn(model, excluded)
    if keras_compat.is_plain_graph(model) and not in_place:
        shared_layers.warn(model, chosen)
        model = _with_wrapped_layers(model, chosen)
    else:
        held_masks.hold(model, [name for name, weight in weights.items() if id(weight) in chosen])
    model_masks.apply_masks(model)
    return model


def _nothing_to_prune(model: Model, weights: Collection[str]) -> str:
    unbuilt = ", ".join(layer.name for layer in keras_compat.unbuilt_layers(model))
    not_built = f" These layers are not built, call the model on data first: {unbuilt}." if unbuilt else ""
    return (
        "The model has nothing to prune. tf_lottery prunes kernels and embeddings, except those that `exclude` names. "
        f"Found: {', '.join(weights) or 'none'}.{not_built}{left_dense.hint(model)}"
    )


def strip_pruning(model: Model) -> Model:
    """Remove the masks of a model and return a plain model, in which pruned weights are zeros.

    The plain model contains no class of this package, so it can be saved, loaded and served without it.

    Args:
        model: A built model with masks.

    Returns:
        For a model with wrapped layers: a new, uncompiled model with the same weights and layer names. For a model
        masked in place: the model itself, without what `make_prunable` has added; it stays compiled, and has no masks
        any more. Strip `tfl.copy(model)` to keep it.

    Raises:
        ModelError: the model is not built, has no masks, or is of a class that makes `Prunable` layers itself; or a
            layer of a wrapped model cannot be recreated from its config.

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
    if hasattr(model, HOLDER):
        held_masks.release(model)
        return model
    if keras_compat.is_plain_graph(model):
        return rebuilding.rebuild(model, _plain_layer)
    raise ModelError(
        "The masks of this model are in `Prunable` layers that its own class creates, or in models inside it: remove "
        "them from that class, or strip those models."
    )


def plain(model: Model) -> Model:
    """Return a plain model that makes the same predictions as `model`; exports start from it.

    Args:
        model: A built model, with masks of this package or of tfmot, or without masks.

    Returns:
        For a plain Sequential or functional model that is not masked in place: a new, uncompiled model, as from
        `strip_pruning`; `model` is left unchanged. For other models: the model itself, with its masks applied.

    Raises:
        ModelError: `model` is not built.
    """
    check_model(model)
    has_masks = constraint.has_masks(model)
    if hasattr(model, HOLDER) or not keras_compat.is_plain_graph(model):
        if has_masks:
            model_masks.apply_masks(model)
        return model
    new = rebuilding.rebuild(model, _plain_layer)
    variables = naming.named_variables(new)
    for name, (weight, mask) in (model_masks.masked_variables(model) if has_masks else {}).items():
        variables[name].assign(constraint.KeepMask(mask)(weight))
    return new


def load_model(path: str | os.PathLike[str], **kwargs: Any) -> Model:
    """Load a prunable model, with its masks, from a `.keras` file.

    Keras makes the model from its config, so that its classes must be registered with Keras or passed as
    `custom_objects`, and must have a `get_config` that holds the arguments of their constructors. For a model whose
    class cannot do that, make the model anew, call `make_prunable` with the same `exclude`, and then `load_weights`.

    Args:
        path: The file; on legacy Keras also the directory of a SavedModel. `.h5` files hold masks of wrapped models
            only.
        **kwargs: Arguments of `keras.models.load_model`.

    Returns:
        The model, with its masks applied. It is compiled as it was, with the state of its optimizer; an optimizer or
        loss of your own must be registered with Keras or be among the `custom_objects`, or pass `compile=False`.

    Raises:
        ModelError: the file holds no masks.

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
    if not constraint.has_masks(model) and (str(path).endswith(".keras") or os.path.isdir(path)):
        _load_masks(model, path)
    if not constraint.has_masks(model):
        raise ModelError(
            f"The model in {path} has no masks. It was a plain model, or it was masked in place and saved as `.h5`, "
            "which keeps its zeros only: save it as `.keras`. `make_prunable(keras.models.load_model(path))` gives it "
            "masks of ones."
        )
    model_masks.apply_masks(model)
    return model


def _load_masks(model: Model, path: str | os.PathLike[str]) -> None:
    """Mask a model, and the models inside it, in place as its file says."""
    models = [layer for layer in keras_compat.all_layers(model) if isinstance(layer, keras.Model)]
    saved = [getattr(getattr(one, HOLDER, None), "saved", ()) for one in models]  # of legacy Keras' SavedModel
    holders = [held_masks.attach_holder(one) for one in models]
    for holder, names in zip(holders, saved, strict=True):
        holder.hold(names)
    with warnings.catch_warnings(), keras_compat.taken_for_built(model):
        warnings.simplefilter("ignore")  # Keras has warned already
        model.load_weights(path)  # again: only now are there layers to load the masks into
    for one, holder in zip(models, holders, strict=True):
        if not holder.names:
            keras_compat.detach(one, HOLDER)


def copy(model: Model) -> Model:
    """Return a copy of a prunable model, with its weights and its masks.

    Each layer of a plain Sequential or functional model is made from its own config, a model of any other class from
    its `get_config`, which must hold the arguments of its constructor.

    Args:
        model: A prunable model. Left unchanged.

    Returns:
        A new, uncompiled model of the same class.

    Raises:
        ModelError: `model` has no masks; or it, or one of its layers, cannot be recreated from its config.

    Examples:
        >>> import tf_lottery as tfl
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> masks = tfl.get_masks(model)
        >>> masks["output/kernel"][:, 3:] = False
        >>> tfl.set_masks(model, masks)
        >>> tfl.density_by_weight(tfl.copy(model))
        {'dense/kernel': 1.0, 'dense_1/kernel': 1.0, 'output/kernel': 0.3}
    """
    new = new_like(model)
    state.set_weights(state.weights(model), new, model_masks.get_masks(model))
    return new


def new_like(model: Model) -> Model:
    """Return a new, uncompiled prunable model like `model`, with newly initialised weights and masks of ones.

    Raises:
        ModelError: the model, or one of its layers, cannot be recreated from its config.
    """
    model_masks.masked_variables(model)  # raises if there are none
    with model.distribute_strategy.scope():
        if keras_compat.is_plain_graph(model):
            new, _ = rebuilding.clone(model, _layer_like)
        else:
            new = _recreated(model)
        rebuilding.copy_adapted(model, new)
        _hold_like(new, model)
        model_masks.apply_masks(new)
    _freeze_like(new, model)
    return new


def _hold_like(new: Model, model: Model) -> None:
    """Mask `new`, and the models inside it, in place where `model` and those inside it are."""
    inside = [[root, *naming.named_layers(root).values()] for root in (new, model)]
    for layer, like in zip(*inside, strict=True):
        if hasattr(like, HOLDER):
            held_masks.hold(layer, getattr(like, HOLDER).names)


def _recreated(model: Model) -> Model:
    """Return a new model of the class and config of `model`, built.

    Raises:
        ModelError: its class cannot make it, or makes one with other weights.
    """
    try:
        new = type(model).from_config(model.get_config())
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        raise ModelError(
            f"{type(model).__name__} cannot be recreated from its config: implement `get_config` in the class, and "
            f"`from_config` if the constructor takes other arguments. {error}"
        ) from error
    if not new.built and model.built:
        new.build_from_config(model.get_build_config())
        new.built = True  # Keras 3 sets this only in its loader
    expected, found = naming.named_variables(model), naming.named_variables(new)
    if different := sorted(expected.keys() ^ found.keys()):
        raise ModelError(
            f"{type(model).__name__} cannot be recreated from its config, which makes a model without "
            f"{', '.join(different)}: implement `get_config` and `build` (or `build_from_config`) in its class."
        )
    return new


def _freeze_like(new: Model, model: Model) -> None:
    """Make the layers of `new` trainable or not, as those of `model`. A layer sets those inside it; they come later."""
    for layer, like in zip(keras_compat.all_layers(new), keras_compat.all_layers(model), strict=True):
        layer.trainable = like.trainable


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
