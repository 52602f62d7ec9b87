"""Whole models: from a plain model to a prunable one and back."""

import inspect
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import constraint, guard, model_masks, naming
from tf_lottery.masking.prunable import PRUNABLE, MaskHolder, Prunable, prunable_weights

Exclude = Iterable[str | re.Pattern[str]] | str | re.Pattern[str] | Callable[[str], bool]
HOLDER = "tfl_masks"  # the attribute of a subclassed model that owns its masks


def make_prunable(model: Any, exclude: Exclude = ()) -> Any:
    """Give the prunable weights of `model` masks (all ones) that hold from now on, with no callback attached.

    Args:
        model: A built model. Sequential and functional models are left unchanged. A subclassed model is changed in
            place, because its files could not be read any more if its layers were replaced: it gets one more layer,
            `tfl_masks`, that owns the masks; its class and its own layers stay.
        exclude: What never to prune: names of weights (`"output/kernel"`), of layers (`"output"`) or of what they are
            in (`"encoder"`, for all layers inside it), compiled regexes (searched in the weight name), or a function
            from the weight name to bool. A layer's name in Keras will do where it is clear.

    Returns:
        For a Sequential or functional model a new, uncompiled one with the same weights and layer names, whose layers
        with prunable weights are wrapped in `Prunable`; else `model` itself.

    Raises:
        ModelError: `model` is not built, has masks already, or has nothing left to prune; a name in `exclude` is
            unknown; or a layer cannot be made again from its config.

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
            "The model is prunable already, by tf_lottery or by tfmot: use it as it is. `set_masks` changes its masks, "
            "`strip_pruning` removes them."
        )
    weights = prunable_weights(model)
    excluded = _excluded(list(weights), naming.named_layers(model), exclude)
    chosen = {id(weight) for name, weight in weights.items() if name not in excluded}
    if not chosen:
        known = ", ".join(cls.__name__ for cls in PRUNABLE)
        raise ModelError(f"The model has nothing to prune: prunable are {known}. Found: {', '.join(weights) or 'none'}")
    if keras_compat.is_layer_graph(model):
        model = _wrapped(model, chosen)
    else:
        _hold(model, chosen)
        _warn_of_lists(model)
    model_masks.apply_masks(model)
    return model


def strip_pruning(model: Any) -> Any:
    """Return a plain model: pruned weights are zeros in it, no masks, no class of this package.

    Args:
        model: A built model with masks.

    Returns:
        For a Sequential or functional model a new one, uncompiled; a subclassed model itself, without what
        `make_prunable` added.

    Raises:
        ModelError: `model` is not built, or has no masks.

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
        return rebuilt(model, lambda layer: layer_like(unwrapped(layer)))
    if not hasattr(model, HOLDER):
        raise ModelError("The masks of this model are in `Prunable` layers of its own: take those out of its class.")
    for weight, _ in model_masks.masked_variables(model).values():
        constraint.release(weight)
    keras_compat.detach(model, HOLDER)
    keras_compat.forget_traces(model)
    guard.release(model)
    return model


def plain(model: Any) -> Any:
    """What exports start from: a plain model that predicts as `model`, with or without masks, ours or tfmot's.

    Returns:
        For a Sequential or functional model a new, uncompiled one, as of `strip_pruning`, and `model` is left as it is;
        a subclassed model itself, its masks applied.

    Raises:
        ModelError: `model` is not built.
    """
    check_model(model)
    has_masks = constraint.has_masks(model)
    if not keras_compat.is_layer_graph(model):
        if has_masks:
            model_masks.apply_masks(model)
        return model
    new = rebuilt(model, lambda layer: layer_like(unwrapped(layer)))
    variables = naming.named_variables(new)
    for name, (weight, mask) in (model_masks.masked_variables(model) if has_masks else {}).items():
        variables[name].assign(constraint.KeepMask(mask)(weight))
    return new


def load_model(path: Any, exclude: Exclude = (), **kwargs: Any) -> Any:
    """Load a prunable model from a `.keras` file, masks and all.

    Args:
        path: The file.
        exclude: For a subclassed model what `make_prunable` got; Sequential and functional models know it themselves.
        **kwargs: What `keras.models.load_model` takes.

    Returns:
        The model, its masks applied.

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
        model.load_weights(path)  # once more, now that there is a layer to take the masks
    model_masks.apply_masks(model)
    return model


def copy(model: Any) -> Any:
    """Return a new prunable model like `model`, uncompiled, with newly drawn weights and masks of ones.

    Raises:
        ModelError: it cannot be made again from its config.
    """
    masked = model_masks.masked_variables(model)
    with model.distribute_strategy.scope():
        if keras_compat.is_layer_graph(model):
            new, _ = _clone(
                model, lambda layer: _copy_wrapper(layer) if isinstance(layer, Prunable) else layer_like(layer)
            )
        else:
            new = layer_like(model)
            new.build_from_config(model.get_build_config())
            new.built = True  # Keras 3 leaves that to its loader
            variables = naming.named_variables(new)
            _hold(new, {id(variable) for name, variable in variables.items() if name in masked})
        model_masks.apply_masks(new)
        return new


def _copy_wrapper(wrapper: Any) -> Any:
    return Prunable(layer_like(wrapper.layer), wrapper.only)


def check_model(model: Any) -> None:
    """Raise ModelError where `model` is no built model of the Keras that this process uses."""
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"tf_lottery works with models of {keras.__name__} {keras.__version__} in this process "
            f"({keras_compat.reason()}). Received: {type(model).__module__}.{type(model).__name__}"
            f"{': call it first, for what it makes' if inspect.isroutine(model) or inspect.isclass(model) else ''}"
        )
    if not model.built:
        raise ModelError(f"Model {model.name!r} is not built: give it an Input, call it on data, or `build` it first.")


def _excluded(names: list[str], layers: Mapping[str, Any], exclude: Exclude) -> set[str]:
    """Those of the weight names that `exclude` means."""
    is_one = isinstance(exclude, str | re.Pattern | type | keras.layers.Layer)
    if callable(exclude) and not is_one:
        return {name for name in names if exclude(name)}
    items: Any = [exclude] if is_one else exclude or ()
    return {name for item in items for name in _meant(item, names, layers)}


def _meant(item: Any, names: list[str], layers: Mapping[str, Any]) -> set[str]:
    """Those of the weight names that one entry of `exclude` means."""
    if isinstance(item, re.Pattern):
        matching = {name for name in names if item.search(name)}
        if not matching:
            raise ModelError(f"`exclude` has {item.pattern!r}, which no prunable weight matches. Known: {names}")
        return matching
    if not isinstance(item, str):
        raise ModelError(
            "`exclude` takes names of layers or weights, compiled regexes, or a function of the weight name. "
            f"Received: {item!r}"
        )
    ours = {name for name in names if f"{name}/".startswith(f"{item}/")}
    paths = [path for path, layer in layers.items() if layer.name == item]
    keras_own = {name for name in names for path in paths if name.startswith(f"{path}/")}
    if ours and keras_own and ours != keras_own:  # the second model of a process: its dense_1 is the first of it
        raise ModelError(f"`exclude` names {item!r}: Keras calls {keras_own} so, but in weight names it is {ours}.")
    if not ours | keras_own:
        raise ModelError(
            f"`exclude` names {item!r}, which is no prunable layer or weight (for a part of "
            f"names write re.compile({item!r})). Known: {names}"
        )
    return ours | keras_own


def _wrapped(model: Any, chosen: set[int]) -> Any:
    """Return a copy of a graph of layers, in which those with chosen weights are wrapped."""

    def wrap(layer: Any) -> Any:
        weights = prunable_weights(layer) if isinstance(layer, keras.layers.Layer) else {}  # else an operation: `x[0]`
        only = [name for name, weight in weights.items() if id(weight) in chosen]
        return Prunable(layer_like(layer), None if len(only) == len(weights) else only) if only else layer_like(layer)

    return rebuilt(model, wrap)


def _hold(model: Any, chosen: set[int]) -> None:
    """Give a model a layer that owns the masks of the chosen weights."""
    holder = MaskHolder(name=HOLDER)
    keras_compat.attach(model, HOLDER, holder)
    for weight in naming.named_variables(model).values():
        if id(weight) in chosen:
            holder.own_mask(weight)
    keras_compat.forget_traces(model)
    guard.before(model, ["save"], _check_config)


def _check_config(model: Any, path: Any, *args: Any, **kwargs: Any) -> None:
    """Refuse to write a `.keras` file that nobody could read."""
    if not str(path).endswith(".keras"):
        return
    try:
        type(model).from_config(model.get_config())
    except Exception as error:
        raise ModelError(
            f"{type(model).__name__} cannot be made again from its config, so a `.keras` file of it could not be "
            "loaded: implement `get_config` in it (and `from_config` where the constructor takes something else), or "
            f"use `save_weights('….weights.h5')`. {error}"
        ) from error


def _warn_of_lists(model: Any) -> None:
    if not keras_compat.LEGACY and (lost := _lost_in_checkpoints(model)):
        warnings.warn(
            f"tf.train.Checkpoint silently leaves out {', '.join(lost[:3])}{' …' if len(lost) > 3 else ''}, as it does "
            "with all layers that Keras 3 has in Python lists or dicts. Save with `save_weights('….weights.h5')`.",
            stacklevel=3,
        )


def _lost_in_checkpoints(model: Any) -> list[str]:
    """Names of the weights that `tf.train.Checkpoint(model=model)` would not save."""
    lost = {id(weight) for weight in model.weights} - {id(node) for node in tf.train.TrackableView(model).descendants()}
    return [name for name, variable in naming.named_variables(model).items() if id(variable) in lost]


def rebuilt(model: Any, replace: Callable[[Any], Any], fill: Callable[[Any, Any], None] | None = None) -> Any:
    """Return a copy of `model`, and of the models inside it, with every layer replaced; the same weights, the same frozen.

    Args:
        model: A Sequential or functional model.
        replace: What makes another layer, not built, of each layer.
        fill: What gives a new layer the state of the old one; None: `copy_state`.
    """
    new, pairs = _clone(model, replace)
    for old_layer, new_layer in pairs:
        (fill or copy_state)(old_layer, new_layer)
    return new


def copy_state(old: Any, new: Any) -> None:
    """Give a layer the variables of its equal, and its `trainable`, at any depth.

    By structure, not by name: layers that a copy makes inside it get new automatic names.

    Raises:
        ModelError: they are no equals.
    """
    if old is new:
        return
    inside, variables = (naming.children(old), naming.children(new)), map(keras_compat.own_variables, (old, new))
    new.trainable = old.trainable  # also of all that is inside, whose turn comes next
    try:
        for variable, copied in zip(*variables, strict=True):
            copied.assign(variable)
        for parts in zip(*inside, strict=True):
            copy_state(*parts)
        if hasattr(new, "finalize_state"):
            new.finalize_state()  # Normalization computes with constants that it makes of its variables
    except ValueError as error:
        raise ModelError(
            f"Layer {old.name!r} ({type(old).__name__}) makes another one of its config, with other weights: implement "
            f"`get_config` in its class. {error}"
        ) from error


def _clone(model: Any, replace: Callable[[Any], Any]) -> tuple[Any, list[tuple[Any, Any]]]:
    """Return a copy of a graph of layers; and each layer in it and in the models inside it, beside what was copied."""
    copies: dict[int, Any] = {}  # layers that several models share stay shared
    pairs = []

    def clone(layer: Any) -> Any:
        if id(layer) not in copies:
            is_model = keras_compat.is_layer_graph(layer)
            copies[id(layer)] = keras_compat.clone_graph(layer, clone) if is_model else replace(layer)
            if not is_model and isinstance(layer, keras.layers.Layer):  # Keras 3 clones operations (`x[0]`), too
                pairs.append((unwrapped(layer), unwrapped(copies[id(layer)])))
        return copies[id(layer)]

    return clone(model), pairs


def unwrapped(layer: Any) -> Any:
    """Return the layer inside a wrapper, ours or tfmot's; any other layer itself."""
    return layer.layer if constraint.owns_masks(layer) else layer


def layer_like(layer: Any) -> Any:
    """Another layer of the same config, not built; of one that `adapt` has taught its vocabulary or mean, itself.

    Raises:
        ModelError: its class cannot make one.
    """
    if hasattr(layer, "adapt"):
        return layer  # no training changes what it knows, and a copy would not know it
    try:
        return type(layer).from_config(keras_compat.config_of(layer))
    except (NotImplementedError, TypeError, ValueError) as error:
        if not layer.variables:
            return layer  # without a state it may as well be shared: Keras 3 makes no Lambda layer again
        raise ModelError(
            f"Layer {layer.name!r} ({type(layer).__name__}) cannot be made again from its config, as a wrapped model "
            f"needs it: implement `get_config` in its class. {error}"
        ) from error
