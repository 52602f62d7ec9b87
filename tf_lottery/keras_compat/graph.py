"""Layers and the graphs that they form, where Keras 3 and legacy Keras differ in them."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from tf_lottery.keras_compat.backend import LEGACY, keras

# Legacy Keras tells `build` the shape of the first argument only, so that MultiHeadAttention and layers made of layers
# get their weights in their first call.
BUILDS_WHILE_CALLED = LEGACY


def conv_lstm_cell() -> type:
    """Return the class of the cells in ConvLSTM layers, which neither Keras exports."""
    return importlib.import_module(keras.layers.ConvLSTM2D.__base__.__module__).ConvLSTMCell


def sublayers(layer: Any) -> list[Any]:
    """Return the layers directly inside `layer`, in the order Keras tracks them."""
    inside = layer._flatten_layers(include_self=False, recursive=False)
    return [part for part in inside if isinstance(part, keras.layers.Layer)]  # Keras 3 lists operations (`x[0]`), too


def all_layers(model: Any) -> list[Any]:
    """`model` and every layer inside it, at any depth, wrappers and all."""
    return [part for part in model._flatten_layers() if isinstance(part, keras.layers.Layer)]


def layer_from_config(config: dict[str, Any], custom_objects: Any = None) -> Any:
    """Return the layer in the config of a wrapper, in either format of legacy Keras: its own wrappers mistake them."""
    return keras.layers.deserialize(
        config, custom_objects, **({"use_legacy_format": "module" not in config} if LEGACY else {})
    )


def config_of(layer: Any) -> dict[str, Any]:
    """Return the config of `layer`, with what legacy Keras leaves out of it."""
    config = layer.get_config()
    if LEGACY and type(layer) is keras.layers.BatchNormalization and layer.synchronized:
        config["synchronized"] = True
    return config


def is_layer_graph(model: Any) -> bool:
    """Return whether `model` is Sequential or functional, so that it can be rebuilt layer by layer."""
    if isinstance(model, keras.Sequential):
        return type(model).call is keras.Sequential.call  # its copy is a Sequential, and knows no `call` of its own
    return hasattr(model, "_nodes_by_depth")


def maker(tensor: Any) -> Any:
    """Return the layer (in Keras 3 also the operation, as of `x[0]`) that makes a symbolic tensor of a functional model."""
    return tensor._keras_history[0]


def clone_graph(model: Any, clone_layer: Callable[[Any], Any]) -> Any:
    """Return a new uncompiled model whose layers are what `clone_layer` makes of those of `model`."""
    compiled = getattr(model, "compiled", False)
    try:
        if not LEGACY:
            model.compiled = False  # or Keras 3 would compile the clone, which fails for losses it cannot serialise
        return keras.models.clone_model(model, clone_function=clone_layer)
    finally:
        if not LEGACY:
            model.compiled = compiled


class Tensor(NamedTuple):
    """A symbolic tensor in a graph of layers: what made it, in which of its calls, as which output; and its shape."""

    layer: int
    call: int
    position: int
    shape: tuple[int | None, ...]


class Call(NamedTuple):
    """A call of a layer, or of a model or an operation, in a graph of layers.

    `is_plain`: with nothing but tensors (no `training=True`), and those without masks of time steps.
    """

    layer: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    is_plain: bool


def calls(model: Any) -> list[Call]:
    """Return all calls in a Sequential or functional model, in the order in which they can be made, those of inputs first."""
    nodes = _graph(model)._nodes_by_depth
    return [_call(node) for depth in sorted(nodes, reverse=True) for node in nodes[depth]]


def output_tensors(model: Any) -> list[Tensor]:
    """What a Sequential or functional model returns, flat."""
    return [_tensor(tensor) for tensor in tf.nest.flatten(_graph(model).outputs)]


def _graph(model: Any) -> Any:
    return model._functional if not LEGACY and isinstance(model, keras.Sequential) else model


def _call(node: Any) -> Call:
    layer, inputs = (node.layer, node.keras_inputs) if LEGACY else (node.operation, node.input_tensors)
    given = (node.call_args, node.call_kwargs) if LEGACY else (node.arguments.args, node.arguments.kwargs)
    settings = [item for item in tf.nest.flatten(given) if not hasattr(item, "_keras_history")]
    masks = [getattr(tensor, "_keras_mask", None) for tensor in tf.nest.flatten(inputs)]
    came, went = (tuple(map(_tensor, tf.nest.flatten(some))) for some in (inputs, node.outputs))
    return Call(layer, came, went, is_plain=all(item is None or item is False for item in settings + masks))


def _tensor(tensor: Any) -> Tensor:
    layer, call, position = tensor._keras_history
    shape = () if getattr(tensor.shape, "rank", 0) is None else tuple(tensor.shape)
    return Tensor(id(layer), call, position, shape)


def attach(model: Any, name: str, layer: Any) -> None:
    """Make `layer` a tracked attribute of a model that is built already."""
    if not LEGACY:
        model._tracker.unlock()
    setattr(model, name, layer)
    if not LEGACY:
        model._tracker.lock()


def detach(model: Any, name: str) -> None:
    """Take back `attach`."""
    if not LEGACY:
        model._tracker.unlock()
        model._tracker.untrack(getattr(model, name))
    delattr(model, name)
    if not LEGACY:
        model._tracker.lock()


def with_signature_of(original: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, to be taken for `original` by all that inspect its signature."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    call.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    return call


def built_by_a_call(build: Callable[..., None]) -> Callable[..., None]:
    """Mark a wrapper's `build`: Keras 3 is to build the layers inside first, by a symbolic call.

    Only that gives a layer of several inputs (MultiHeadAttention) all shapes it needs.
    """
    if not LEGACY:
        build._is_default = True  # type: ignore[attr-defined]
    return build
