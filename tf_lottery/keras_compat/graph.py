"""Layers, and the graphs that they form, where Keras 3 and legacy Keras differ."""

import contextlib
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from tf_lottery.keras_compat.backend import LEGACY, Layer, Model, keras

# Legacy Keras passes `build` the shape of the first argument only, so MultiHeadAttention and layers made of layers
# create their weights in their first call.
BUILDS_WHILE_CALLED = LEGACY


def conv_lstm_cells() -> list[type]:
    """Return the class of the cells in ConvLSTM layers, which neither Keras exports; an empty list if it is gone."""
    module = importlib.import_module(keras.layers.ConvLSTM2D.__base__.__module__)
    return [module.ConvLSTMCell] if hasattr(module, "ConvLSTMCell") else []


def sublayers(layer: Layer) -> list[Layer]:
    """Return the layers directly inside `layer`, in the order in which Keras tracks them."""
    inside = layer._flatten_layers(include_self=False, recursive=False)
    return [part for part in inside if isinstance(part, keras.layers.Layer)]  # Keras 3 lists operations (`x[0]`), too


def all_layers(model: Model) -> list[Layer]:
    """Return `model` and every layer inside it, at any depth, wrappers included."""
    return [part for part in model._flatten_layers() if isinstance(part, keras.layers.Layer)]


def layer_from_config(config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Layer:
    """Return the layer that the config of a wrapper describes.

    Legacy Keras has two formats of configs, and its own wrappers confuse them. This function reads either.
    """
    return keras.layers.deserialize(
        config, custom_objects, **({"use_legacy_format": "module" not in config} if LEGACY else {})
    )


def config_of(layer: Layer) -> dict[str, Any]:
    """Return the config of `layer`, with the one entry that legacy Keras leaves out."""
    config = layer.get_config()
    if LEGACY and type(layer) is keras.layers.BatchNormalization and layer.synchronized:
        config["synchronized"] = True
    return config


def is_layer_graph(model: Layer) -> bool:
    """Return whether a call of `model` is a graph of layers: it is Sequential or functional, or of a subclass.

    A subclass with a `call` of its own is no graph: only its code knows which of its layers reads what.
    """
    own: Any = keras.Sequential if isinstance(model, keras.Sequential) else _functional_class(model)
    return own is not None and type(model).call is own.call


def is_plain_graph(model: Layer) -> bool:
    """Return whether `model` is Sequential or functional and of no class of its own.

    A copy that is made layer by layer is then equal to it; a subclass would lose its class and its methods.
    """
    return type(model) is keras.Sequential or type(model) is _functional_class(model)


def _functional_class(model: Layer) -> type | None:
    """Return Keras' class of functional models if `model` is one, or of a subclass; Keras does not export it."""
    bases = type(model).__mro__ if hasattr(model, "_nodes_by_depth") else ()
    own = (base for base in bases if base.__module__.partition(".")[0] == keras.__name__)
    return next((base for base in own if base.__name__ == "Functional"), None)


_WITHOUT_WEIGHTS = ("merging", "pooling", "preprocessing", "reshaping")  # Keras' modules of layers that have none


def unbuilt_layers(model: Layer) -> list[Layer]:
    """Return the layers inside `model`, at any depth, that may get weights when they are built or called.

    A layer with sublayers is left out: its sublayers stand for it.
    """
    return [
        layer
        for layer in all_layers(model)
        if not (layer.built or sublayers(layer) or getattr(layer.build, "_is_default", False))
        and not (_is_of_keras(layer) and any(f".{part}." in type(layer).__module__ for part in _WITHOUT_WEIGHTS))
    ]


def _is_of_keras(layer: Layer) -> bool:
    return type(layer).__module__.partition(".")[0] == keras.__name__


def maker(tensor: Any) -> Layer:
    """Return the layer, or on Keras 3 the operation (`x[0]`), that makes a symbolic tensor of a functional model."""
    return tensor._keras_history[0]


def clone_graph(model: Model, clone_layer: Callable[[Layer], Layer]) -> Model:
    """Return a new, uncompiled model with `clone_layer(layer)` in place of each layer of `model`."""
    compiled = getattr(model, "compiled", False)
    try:
        if not LEGACY:
            model.compiled = False  # or Keras 3 would compile the clone, which fails for losses it cannot serialise
        return keras.models.clone_model(model, clone_function=clone_layer)
    finally:
        if not LEGACY:
            model.compiled = compiled


class Tensor(NamedTuple):
    """A symbolic tensor in a graph of layers.

    Attributes:
        layer: `id` of the layer that makes it.
        call: Number of the call of that layer, counted from 0.
        position: Number of the output of that call, counted from 0.
        shape: Its shape, None for unknown lengths; `()` if the rank is unknown.
    """

    layer: int
    call: int
    position: int
    shape: tuple[int | None, ...]


class Call(NamedTuple):
    """A call of a layer, a model or an operation in a graph of layers.

    Attributes:
        layer: What is called.
        inputs: Its input tensors, flat.
        outputs: Its output tensors, flat.
        is_plain: Whether it gets tensors only: no settings such as `training=True`, and no masks of time steps.
    """

    layer: Layer
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    is_plain: bool


def calls(model: Model) -> list[Call]:
    """Return all calls in a Sequential or functional model, in an order in which they can be made, inputs first."""
    nodes = _graph(model)._nodes_by_depth
    return [_call(node) for depth in sorted(nodes, reverse=True) for node in nodes[depth]]


def output_tensors(model: Model) -> list[Tensor]:
    """Return the outputs of a Sequential or functional model, flat."""
    return list(_tensors(_graph(model).outputs))


def layers_called_elsewhere(model: Model) -> list[Layer]:
    """Return the layers in the graph of a functional model that are called in other graphs as well.

    The models inside it are searched too, and `model` itself is among the layers if it is called anywhere. Layers of
    Sequential models are not: Keras 3 calls them again whenever one is added.
    """
    own: set[int] = set()
    layers = {id(model): model}

    def visit(graph: Model) -> None:
        if isinstance(graph, keras.Sequential):
            inside = graph.layers
        else:
            nodes = _nodes(graph)
            own.update(map(id, nodes))
            inside = [_called(node) for node in nodes]
            layers.update((id(layer), layer) for layer in inside)
        for layer in inside:
            if isinstance(layer, keras.Model) and is_layer_graph(layer):
                visit(layer)

    visit(model)
    return [layer for layer in layers.values() if any(id(node) not in own for node in layer._inbound_nodes)]


def users_of_outputs(model: Model) -> list[Layer]:
    """Return the layers, and on Keras 3 the operations, to which the outputs of a functional model are passed on."""
    graph = _graph(model)
    if not hasattr(graph, "_nodes_by_depth"):
        return []  # a Sequential model that was built by a call
    own, users = set(map(id, _nodes(graph))), {}
    for tensor in tf.nest.flatten(graph.outputs):
        for node in maker(tensor)._outbound_nodes:
            if id(node) not in own and any(given is tensor for given in _given(node)):
                users[id(_called(node))] = _called(node)
    return list(users.values())


def _nodes(graph: Model) -> list[Any]:
    return [node for nodes in graph._nodes_by_depth.values() for node in nodes]


def _called(node: Any) -> Layer:
    return node.layer if LEGACY else node.operation


def _given(node: Any) -> Any:
    return node.keras_inputs if LEGACY else node.input_tensors


def _graph(model: Model) -> Model:
    return model._functional if not LEGACY and isinstance(model, keras.Sequential) else model


def _call(node: Any) -> Call:
    layer, inputs = _called(node), _given(node)
    given = (node.call_args, node.call_kwargs) if LEGACY else (node.arguments.args, node.arguments.kwargs)
    settings = [item for item in tf.nest.flatten(given) if not hasattr(item, "_keras_history")]
    masks = [getattr(tensor, "_keras_mask", None) for tensor in tf.nest.flatten(inputs)]
    is_plain = all(item is None or item is False for item in settings + masks)
    return Call(layer, _tensors(inputs), _tensors(node.outputs), is_plain)


def _tensors(nested: Any) -> tuple[Tensor, ...]:
    return tuple(_tensor(tensor) for tensor in tf.nest.flatten(nested))


def _tensor(tensor: Any) -> Tensor:
    layer, call, position = tensor._keras_history
    shape = () if getattr(tensor.shape, "rank", 0) is None else tuple(tensor.shape)
    return Tensor(id(layer), call, position, shape)


@contextlib.contextmanager
def open_to_state(layer: Layer) -> Iterator[None]:
    """Let `layer` get variables and layers inside this context, although Keras 3 has locked it when it was built."""
    was_locked = not LEGACY and layer._tracker.locked
    if was_locked:
        layer._tracker.unlock()
    try:
        yield
    finally:
        if was_locked:
            layer._tracker.lock()


@contextlib.contextmanager
def taken_for_built(model: Model) -> Iterator[None]:
    """Let Keras load weights into a model without `call` inside this context: only the layers in it are built."""
    was_built = model.built
    model.built = True
    try:
        yield
    finally:
        model.built = was_built


def attach(model: Model, name: str, layer: Layer) -> None:
    """Make `layer` an attribute of a model that may be built already, in its files and checkpoints."""
    if LEGACY and hasattr(model, "_nodes_by_depth"):  # where it would become a layer of the graph and of the config
        object.__setattr__(model, name, layer)
        model._track_trackable(layer, name, overwrite=True)  # after a SavedModel was loaded, the name is in use
        return
    with open_to_state(model):
        setattr(model, name, layer)


def detach(model: Model, name: str) -> None:
    """Remove an attribute that `attach` has added."""
    with open_to_state(model):
        if not LEGACY:
            model._tracker.untrack(getattr(model, name))
        delattr(model, name)
        if LEGACY:
            model._delete_tracking(name)  # `delattr` leaves it for what `attach` has not set as an attribute


def with_signature_of(original: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that does what `function` does and has the signature of `original`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    call.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    return call


def built_by_a_call(build: Callable[..., None]) -> Callable[..., None]:
    """Make Keras 3 build the layers inside a wrapper by a symbolic call, before it calls the decorated `build`.

    Only a call gives a layer with several inputs, such as MultiHeadAttention, all the shapes that it needs.
    """
    if not LEGACY:
        build._is_default = True  # type: ignore[attr-defined]
    return build
