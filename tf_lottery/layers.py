"""Whole models: from a plain model to a prunable one and back, masks in and out."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tf_lottery import keras_api, naming
from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import ModelError
from tf_lottery.keras_api import keras
from tf_lottery.prunable import PRUNABLE, KeepMask, Prunable, prunable_names

Exclude = Iterable[str | re.Pattern[str]] | Callable[[str], bool]


def make_prunable(model: Any, exclude: Exclude = ()) -> Any:
    """A new model with the same weights whose prunable layers carry masks (all ones).

    Args:
        model: A built Sequential or functional model. Left unchanged.
        exclude: What never to prune: full names (`"output"`, `"output/kernel"`), compiled regexes (searched in the
            weight name), or a function from the weight name to bool. A layer's name in Keras will do where it is clear.

    Returns:
        An uncompiled model with the layer names of `model`.

    Raises:
        ModelError: `model` is not built, is subclassed, has nothing left to prune, or a name in `exclude` is unknown.
    """
    layers = _layers_of_graph(model)
    if any(isinstance(layer, Prunable) for layer in layers.values()):
        raise ModelError("The model is prunable already: `set_masks` changes its masks, `strip_pruning` removes them.")
    names = {f"{path}/{name}": layer for path, layer in layers.items() for name in prunable_names(layer)}
    chosen = set(names) - _excluded(names, exclude)
    if not chosen:
        known = ", ".join(cls.__name__ for cls in PRUNABLE)
        raise ModelError(f"The model has nothing to prune: prunable are {known}. Found: {', '.join(names) or 'none'}")
    only = {
        id(layer): [name for name in prunable_names(layer) if f"{path}/{name}" in chosen]
        for path, layer in layers.items()
    }

    def wrap(layer: Any) -> Any:
        copy = type(layer).from_config(layer.get_config())
        return Prunable(copy, only[id(layer)]) if only.get(id(layer)) else copy

    return _rebuilt(model, wrap)


def strip_pruning(model: Any) -> Any:
    """A new plain model: pruned weights are zeros in it, no masks, no class of this package.

    Raises:
        ModelError: `model` is not built, is subclassed, or has no masks.
    """
    _layers_of_graph(model)

    def unwrap(layer: Any) -> Any:
        inner = layer.layer if isinstance(layer, Prunable) else layer
        return type(inner).from_config(inner.get_config())

    apply_masks(model)
    return _rebuilt(model, unwrap)


def get_masks(model: Any) -> dict[str, np.ndarray]:
    """The masks of `model`: boolean arrays by weight name, copies."""
    return {name: mask.numpy() for name, (_, mask) in _masked(model).items()}


def set_masks(model: Any, masks: Arrays) -> None:
    """Sets all masks of `model` and zeroes what they prune.

    Raises:
        PruningError: names, shapes or values do not fit; then nothing was changed.
    """
    masked = _masked(model)
    masks = masks_lib.validate(masks, like={name: mask for name, (_, mask) in masked.items()})
    for name, (_, mask) in masked.items():
        mask.assign(masks[name])
    apply_masks(model)


def apply_masks(model: Any) -> None:
    """Sets pruned weights to +0.0 now. Training does it by itself; needed after `set_weights` and the like."""
    for weight, mask in _masked(model).values():
        weight.assign(KeepMask(mask)(weight))


def density(model: Any) -> float:
    """Share of the prunable weights that the masks of `model` keep, 0-1."""
    return masks_lib.density(get_masks(model))


def prunable_weights(model: Any) -> dict[str, np.ndarray]:
    """The values of the weights that have masks, by weight name, copies."""
    return {name: weight.numpy() for name, (weight, _) in _masked(model).items()}


def _masked(model: Any) -> dict[str, tuple[Any, Any]]:
    """Weight and mask variables by weight name."""
    wrappers = naming.named_layers(model, select=Prunable)
    masked = {
        f"{path}/{name}": (getattr(wrapper.layer, name), getattr(wrapper, f"{name}_mask"))
        for path, wrapper in wrappers.items()
        for name in wrapper.only
    }
    if not masked:
        raise ModelError("The model has no masks. Call `make_prunable(model)` first and use the model it returns.")
    return masked


def _layers_of_graph(model: Any) -> dict[str, Any]:
    """The layers of `model` and of the models inside it, by path; not those inside other layers."""
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"tf_lottery works with models of {keras.__name__} {keras.__version__} in this process "
            f"(TF_USE_LEGACY_KERAS=1 means tf_keras). Received: {type(model).__module__}.{type(model).__name__}"
        )
    if not keras_api.is_layer_graph(model):
        raise ModelError(f"Only Sequential and functional models can be wrapped. Received: {type(model).__name__}")
    if not model.built:
        raise ModelError(f"Model {model.name!r} is not built: give it an Input, call it on data, or `build` it first.")

    def members(graph: Any) -> set[int]:
        inside = [members(layer) if keras_api.is_layer_graph(layer) else {id(layer)} for layer in graph.layers]
        return set().union(*inside)

    in_graph = members(model)
    wrappers = naming.named_layers(model, select=Prunable)
    return {path: layer for path, layer in {**naming.named_layers(model), **wrappers}.items() if id(layer) in in_graph}


def _excluded(names: Mapping[str, Any], exclude: Exclude) -> set[str]:
    """Those of the weight names (with the layer of each) that `exclude` means."""
    if callable(exclude):
        return {name for name in names if exclude(name)}
    excluded: set[str] = set()
    for item in [exclude] if isinstance(exclude, str | re.Pattern) else exclude:
        if isinstance(item, re.Pattern):
            excluded |= {name for name in names if item.search(name)}
            continue
        ours = {name for name in names if item in (name, name.rpartition("/")[0])}
        keras_own = {name for name, layer in names.items() if layer.name == item}
        if ours and keras_own and ours != keras_own:  # the second model of a process: its dense_1 is the first of it
            raise ModelError(f"`exclude` names {item!r}: Keras calls {keras_own} so, but in weight names it is {ours}.")
        if not ours | keras_own:
            raise ModelError(f"`exclude` names {item!r}, which is no prunable layer or weight. Known: {list(names)}")
        excluded |= ours | keras_own
    return excluded


def _rebuilt(model: Any, replace: Callable[[Any], Any]) -> Any:
    """A copy of `model`, and of the models inside it, with every layer replaced; the same weights."""
    copies: dict[int, Any] = {}  # layers that several models share stay shared

    def clone(layer: Any) -> Any:
        if id(layer) not in copies:
            is_model = keras_api.is_layer_graph(layer)
            copies[id(layer)] = keras.models.clone_model(layer, clone_function=clone) if is_model else replace(layer)
        return copies[id(layer)]

    copy = clone(model)
    values = naming.named_variables(model)
    for name, variable in naming.named_variables(copy).items():
        variable.assign(values[name])
    return copy
