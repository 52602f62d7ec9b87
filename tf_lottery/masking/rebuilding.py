"""Copies of Sequential and functional models, made layer by layer, with other layers in place of some."""

from collections.abc import Callable

from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import Layer, Model, keras
from tf_lottery.masking import constraint, naming


def rebuild(
    model: Model,
    replace: Callable[[Layer], Layer],
    fill: Callable[[Layer, Layer], None] | None = None,
    *,
    enters: Callable[[Layer], bool] = keras_compat.is_plain_graph,
) -> Model:
    """Return a copy of a model, and of the models inside it, in which every layer is replaced.

    The copy has the same weights, and the same layers are frozen in it.

    Args:
        model: A Sequential or functional model.
        replace: Takes a layer and returns the one to put in its place, not built.
        fill: Takes a layer and its replacement, built, and gives the replacement its state. Defaults to `copy_state`.
        enters: Takes a layer and returns whether it is a model that is copied layer by layer, too. Defaults to plain
            Sequential and functional models: those of other classes are replaced as a whole.

    Raises:
        ModelError: `copy_state` cannot copy the state of a layer.
    """
    new, pairs = clone(model, replace, enters)
    for old_layer, new_layer in pairs:
        (fill or copy_state)(old_layer, new_layer)
    return new


def clone(
    model: Model,
    replace: Callable[[Layer], Layer],
    enters: Callable[[Layer], bool] = keras_compat.is_plain_graph,
) -> tuple[Model, list[tuple[Layer, Layer]]]:
    """Copy a model, and the models inside it, with every layer replaced; weights are new. See `rebuild`.

    Returns:
        The copy, uncompiled, and for each layer the pair of it and its replacement, both without their wrappers.
    """
    copies: dict[int, Layer] = {}  # layers that several models share stay shared
    pairs = []

    def clone_layer(layer: Layer) -> Layer:
        if id(layer) not in copies:
            is_model = enters(layer)
            copies[id(layer)] = keras_compat.clone_graph(layer, clone_layer) if is_model else replace(layer)
            if not is_model and isinstance(layer, keras.layers.Layer):  # Keras 3 clones operations (`x[0]`), too
                pairs.append((unwrapped(layer), unwrapped(copies[id(layer)])))
        return copies[id(layer)]

    return clone_layer(model), pairs


def unwrapped(layer: Layer) -> Layer:
    """Return the layer inside a wrapper of this package or of tfmot, and any other layer as it is."""
    return layer.layer if constraint.owns_masks(layer) else layer


def layer_like(layer: Layer) -> Layer:
    """Return a new layer with the config of `layer`, not built.

    A layer that has been adapted to data (`adapt`) is returned itself: training does not change what it has learned,
    and a new layer would not know it. So is a layer that has no variables and cannot be made from its config.

    Raises:
        ModelError: the layer has variables, and its class cannot make another one from its config.
    """
    if hasattr(layer, "adapt"):
        return layer
    try:
        return type(layer).from_config(keras_compat.config_of(layer))
    except (NotImplementedError, TypeError, ValueError) as error:
        if not layer.variables:
            return layer  # such as a Lambda layer, which Keras 3 does not deserialize
        raise ModelError(
            f"Layer {layer.name!r} ({type(layer).__name__}) cannot be recreated from its config, which a wrapped "
            "model requires: implement `get_config` in its class, whose constructor takes `**kwargs`, or mask the "
            f"model itself, `make_prunable(model, in_place=True)`. {error}"
        ) from error


def copy_adapted(old: Layer, new: Layer) -> None:
    """Copy what `adapt` has taught the layers inside a layer or model, to an equal one: training does not change it.

    Raises:
        ModelError: the layers have different variables.
    """
    for layer, like in zip(naming.children(new), naming.children(old), strict=True):
        if layer is like:
            continue
        if hasattr(like, "get_vocabulary"):
            layer.set_vocabulary(like.get_vocabulary())
        elif hasattr(like, "adapt"):
            copy_state(like, layer)
        else:
            copy_adapted(like, layer)


def copy_state(old: Layer, new: Layer) -> None:
    """Copy the variables of a layer and of all layers inside it, and whether they are trainable, to an equal layer.

    Layers are matched by position and not by name, because the layers inside a copy get new automatic names.

    Raises:
        ModelError: the layers have different variables.
    """
    if old is new:
        return
    inside, variables, copies = (naming.children(old), naming.children(new)), *map(naming.own_variables, (old, new))
    new.trainable = old.trainable  # this sets all layers inside, too, so it comes before theirs
    try:
        if different := variables.keys() ^ copies.keys():
            raise ValueError(f"It has other variables: {', '.join(sorted(different))}.")
        for name, variable in variables.items():
            copies[name].assign(variable)
        for parts in zip(*inside, strict=True):
            copy_state(*parts)
        if hasattr(new, "finalize_state"):
            new.finalize_state()  # Normalization computes with constants that it makes of its variables
    except ValueError as error:
        raise ModelError(
            f"The config of layer {old.name!r} ({type(old).__name__}) makes a layer with other weights: implement "
            f"`get_config` in its class, or mask the model itself, `make_prunable(model, in_place=True)`. {error}"
        ) from error
