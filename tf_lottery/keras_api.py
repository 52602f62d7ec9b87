"""Which Keras this process uses, and the few places where Keras 3 and legacy Keras differ.

The choice is TensorFlow's own: `TF_USE_LEGACY_KERAS=1` means `tf_keras`, anything else Keras 3. This is the only module
that imports either.
"""

import contextlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

LEGACY = os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True")

if LEGACY:
    import tf_keras as keras
else:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ImportError(
            f"tf_lottery needs Keras on TensorFlow. Received: KERAS_BACKEND={keras.backend.backend()}. "
            "Set KERAS_BACKEND=tensorflow before Keras is imported."
        )

Variable = Any  # keras.Variable on Keras 3, tf.Variable on legacy Keras

DEPTHWISE_KERNEL = "depthwise_kernel" if LEGACY else "kernel"  # of DepthwiseConv1D and 2D
# Legacy Keras tells `build` the shape of the first argument only, so that MultiHeadAttention and layers made of layers
# get their weights in their first call.
BUILDS_WHILE_CALLED = LEGACY


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Has the layers that are made inside compute in `"float32"`, `"mixed_float16"` or `"mixed_bfloat16"`."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def reason() -> str:
    """Why the process uses the Keras that it uses, for messages."""
    if LEGACY and "tensorflow_model_optimization" in sys.modules:
        return (
            "TF_USE_LEGACY_KERAS=1 means tf_keras; importing tensorflow_model_optimization sets it, "
            "tf_lottery.tfmot_bridge.import_tfmot() does not"
        )
    return "TF_USE_LEGACY_KERAS=1 means tf_keras"


def tf_variable(variable: Variable) -> tf.Variable:
    """The TensorFlow variable, mirrored or not, that `variable` is or has inside."""
    variable = getattr(variable, "_value", variable)  # of Keras 3
    return getattr(variable, "_variable", variable)  # mixed precision in legacy Keras puts a wrapper around it


def own_name(variable: Variable) -> str:
    """The last part of a variable's name: `"kernel"`."""
    return variable.name.rpartition("/")[2].partition(":")[0]


def names_in(layer: Any, variables: Sequence[Variable]) -> list[str]:
    """What the variables of `layer` are called, in both Kerases alike."""
    names = [own_name(variable) for variable in variables]
    if LEGACY and isinstance(layer, keras.layers.DepthwiseConv1D | keras.layers.DepthwiseConv2D):
        names = ["kernel" if name == DEPTHWISE_KERNEL else name for name in names]
    return names


def conv_lstm_cell() -> type:
    """The class of the cells in ConvLSTM layers, which neither Keras exports."""
    return importlib.import_module(keras.layers.ConvLSTM2D.__base__.__module__).ConvLSTMCell


def sublayers(layer: Any) -> list[Any]:
    """The layers directly inside `layer`, in the order Keras tracks them."""
    inside = layer._flatten_layers(include_self=False, recursive=False)
    return [part for part in inside if isinstance(part, keras.layers.Layer)]  # Keras 3 lists operations (`x[0]`), too


def layer_from_config(config: dict[str, Any], custom_objects: Any = None) -> Any:
    """The layer in the config of a wrapper, in either format of legacy Keras: its own wrappers mistake them."""
    return keras.layers.deserialize(
        config, custom_objects, **({"use_legacy_format": "module" not in config} if LEGACY else {})
    )


def config_of(layer: Any) -> dict[str, Any]:
    """The config of `layer`, with what legacy Keras leaves out of it."""
    config = layer.get_config()
    if LEGACY and type(layer) is keras.layers.BatchNormalization and layer.synchronized:
        config["synchronized"] = True
    return config


def all_layers(model: Any) -> list[Any]:
    """`model` and every layer inside it, at any depth, wrappers and all."""
    return [part for part in model._flatten_layers() if isinstance(part, keras.layers.Layer)]


def own_variables(layer: Any) -> list[Variable]:
    """The variables of `layer` that no layer inside it owns, random-generator state included."""
    inside = {id(variable) for child in sublayers(layer) for variable in child.variables}
    variables = [variable for variable in layer.variables if id(variable) not in inside and hasattr(variable, "assign")]
    if LEGACY and (generator := getattr(getattr(layer, "_random_generator", None), "_generator", None)) is not None:
        variables.append(generator.state)  # legacy layers do not list it among their variables
    return variables


def is_layer_graph(model: Any) -> bool:
    """Whether `model` is Sequential or functional, so that it can be rebuilt layer by layer."""
    if isinstance(model, keras.Sequential):
        return type(model).call is keras.Sequential.call  # its copy is a Sequential, and knows no `call` of its own
    return hasattr(model, "_nodes_by_depth")


def maker(tensor: Any) -> Any:
    """The layer (in Keras 3 also the operation, as of `x[0]`) that makes a symbolic tensor of a functional model."""
    return tensor._keras_history[0]


def clone_graph(model: Any, clone_layer: Callable[[Any], Any]) -> Any:
    """A new uncompiled model whose layers are what `clone_layer` makes of those of `model`."""
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
    """All calls in a Sequential or functional model, in the order in which they can be made, those of inputs first."""
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
    """Makes `layer` a tracked attribute of a model that is built already."""
    if not LEGACY:
        model._tracker.unlock()
    setattr(model, name, layer)
    if not LEGACY:
        model._tracker.lock()


def detach(model: Any, name: str) -> None:
    """Takes back `attach`."""
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
    """Marks a wrapper's `build`: Keras 3 is to build the layers inside first, by a symbolic call.

    Only that gives a layer of several inputs (MultiHeadAttention) all shapes it needs.
    """
    if not LEGACY:
        build._is_default = True  # type: ignore[attr-defined]
    return build


def set_constraint(variable: Variable, constraint: Callable[[Any], Any]) -> None:
    """Makes the optimizer pass `variable` through `constraint` after each step, also when it is built already."""
    if not LEGACY:
        variable.constraint = constraint
        return
    variable = getattr(variable, "_variable", variable)  # mixed precision puts a wrapper around it
    for copy in (variable, *getattr(variable, "_values", ())):  # every replica has its own
        copy._constraint = constraint


def add_mask(layer: Any, name: str, shape: Sequence[int]) -> Variable:
    """A boolean weight of `layer`, all True, the same on every replica. Call it from `build`."""
    # Replicas hold equal masks, so one copy stands for all: the default would blend or forbid them.
    aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA if LEGACY else "only_first_replica"
    return layer.add_weight(
        name=name, shape=tuple(shape), dtype="bool", initializer="ones", trainable=False, aggregation=aggregation
    )


def has_hidden_randomness(layer: Any) -> bool:
    """Whether `layer` draws random numbers from a state that nothing can read (see `make_randomness_restorable`)."""
    draws_nothing = getattr(layer, "dropout", None) == 0 and getattr(layer, "recurrent_dropout", None) == 0
    return (
        LEGACY and not draws_nothing and getattr(getattr(layer, "_random_generator", None), "_generator", layer) is None
    )


def is_random_state(variable: Variable) -> bool:
    """Whether `variable` is what a layer draws random numbers from."""
    return own_name(variable) in ("seed_generator_state", "StateVar")


def make_randomness_restorable() -> None:
    """Gives the layers that are built from now on a random state that can be read and set back.

    Keras 3 has it always. Legacy Keras keeps dropout's state inside the op, where nothing can reach it, unless its
    generators are switched to variables.
    """
    if LEGACY:
        keras.backend.experimental.enable_tf_random_generator()
