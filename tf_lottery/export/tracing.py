"""The computation of a Keras model as a TensorFlow function, with names for what goes in and what comes out."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.errors import ExportError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import naming


def trace(model: Any, batch: int | None = None) -> tf.types.experimental.ConcreteFunction:
    """What a plain model computes at inference.

    Args:
        model: A built model, see `input_specs`.
        batch: The first dimension of all inputs; None leaves it free.

    Returns:
        A function from a dict of tensors to a dict of tensors. A Sequential or functional model's inputs are called
        as their Input layers are, its outputs as the layers that make them; automatic names are numbered as weight
        names are. A subclassed model's are `"inputs"` and `"outputs"`. Outputs in a dict are called by their keys, and
        so are the inputs of subclassed models.

    Raises:
        ExportError: a subclassed model was built in another way.
    """
    specs = input_specs(model, batch)
    return by_name(model, lambda inputs: model(inputs, training=False), specs).get_concrete_function()


def by_name(model: Any, call: Callable[[Any], Any], specs: Any) -> tf.types.experimental.PolymorphicFunction:
    """`call`, which takes what `specs` say and returns what `model` does, from and to dicts of tensors."""
    named = {spec.name: spec for spec in tf.nest.flatten(specs)}

    def serve(features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return _named_outputs(model, call(tf.nest.pack_sequence_as(specs, [features[name] for name in named])))

    return tf.function(serve, input_signature=[named], autograph=False)


def input_specs(model: Any, batch: int | None = None, given: Any = None) -> Any:
    """What a model takes: a tf.TensorSpec with a name of its own for each input, in the structure that it wants.

    Args:
        model: A built model. Of a subclassed one the inputs are those it was built with: one float tensor, or a dict
            of them.
        batch: The first dimension of all inputs; None leaves it free.
        given: A tf.TensorSpec, or a structure of them: to be used as they are, but for their names. A subclassed
            model's inputs are called as the keys of a dict, else as their specs.

    Raises:
        ExportError: nothing is given, and a subclassed model was built in another way.
    """
    if given is None:
        structure, names = _inputs(model)
        shapes = [(batch, *leaf.shape[1:]) for leaf in tf.nest.flatten(structure)]
    else:
        structure, names = given, _given_names(model, given)
        shapes = [leaf.shape for leaf in tf.nest.flatten(given)]
    leaves = zip(shapes, tf.nest.flatten(structure), names, strict=True)
    return tf.nest.pack_sequence_as(structure, [tf.TensorSpec(shape, leaf.dtype, name) for shape, leaf, name in leaves])


def captured(function: tf.types.experimental.ConcreteFunction) -> list[Any]:
    """Return the variables and lookup tables that a function needs, in the order of their first use."""
    owners = [getattr(handle, "_parent_trackable", lambda: None)() for handle, _ in function.graph.captures]
    return [owner for owner in owners if owner is not None]


def trackable(function: tf.types.experimental.ConcreteFunction) -> tf.Module:
    """What a SavedModel of a function must be given beside it: what it needs."""
    module = tf.Module()
    module.tracked = captured(function)
    return module


def check_finite(model: Any) -> None:
    """Refuse what no file should be made of.

    Raises:
        ExportError: a weight is NaN or infinite.
    """
    for name, variable in naming.named_variables(model).items():
        value = tf.convert_to_tensor(variable)
        if value.dtype.is_floating and not np.isfinite(value.numpy().astype(np.float64)).all():
            raise ExportError(
                f"Weight {name!r} has values that are NaN or infinite: nobody could use what it computes. Train again "
                "at a lower learning rate, or export another level."
            )


def _inputs(model: Any) -> tuple[Any, list[str]]:
    """Return the inputs of a model, tensors or specs of them as its `call` takes them, and the names of these."""
    if keras_compat.is_layer_graph(model):
        structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        return structure, _layer_names(model, tf.nest.flatten(structure))
    shapes = (model.get_build_config() or {}).get("input_shape")
    named = shapes if isinstance(shapes, dict) else {"inputs": shapes}
    if not all(map(_is_shape, named.values())):
        raise ExportError(
            f"The shapes of the inputs of {type(model).__name__} are not known. Export a functional "
            "model around it: `keras.Model(inputs, model(inputs))`, with a keras.Input for each input. Or, for a "
            "SavedModel, give them: `inputs=tf.TensorSpec((None, 28, 28, 1), tf.float32)`, or a list or dict of such."
        )
    specs = {name: tf.TensorSpec(named[name], keras.backend.floatx()) for name in sorted(named)}
    return (specs if isinstance(shapes, dict) else specs["inputs"]), list(specs)


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple | list) and shape != () and all(isinstance(n, int | None) for n in shape)


def _given_names(model: Any, given: Any) -> list[str]:
    specs = tf.nest.flatten(given)
    if not specs or not all(isinstance(spec, tf.TensorSpec) for spec in specs):
        raise ExportError(f"`inputs` must be a tf.TensorSpec, or a list or dict of them. Received: {given!r}")
    if keras_compat.is_layer_graph(model) and len(names := _inputs(model)[1]) == len(specs):
        return names
    is_flat_dict = isinstance(given, dict) and len(given) == len(specs)
    return _distinct(sorted(given) if is_flat_dict else [spec.name or "inputs" for spec in specs])


def _named_outputs(model: Any, outputs: Any) -> dict[str, tf.Tensor]:
    flat = tf.nest.flatten(outputs)
    if isinstance(outputs, dict) and len(outputs) == len(flat):
        names = sorted(outputs)  # the order of `tf.nest`
    elif keras_compat.is_layer_graph(model):
        names = _layer_names(model, model.outputs)
    else:
        names = _distinct("outputs" for _ in flat)
    return {name: tf.identity(tensor) for name, tensor in zip(names, flat, strict=True)}


def _layer_names(model: Any, tensors: Iterable[Any]) -> list[str]:
    """Names of the layers that make `tensors`."""
    names = {id(layer): name for name, layer in naming.named_layers(model).items()}
    makers = [keras_compat.maker(tensor) for tensor in tensors]
    found = [names.get(id(maker), maker.name) for maker in makers]
    # An automatic Input layer of Keras 3 is called so in a copy of its model.
    return _distinct(re.sub(r"^keras_tensor(_\d+)?$", "input_layer", name) for name in found)


def _distinct(names: Iterable[str]) -> list[str]:
    distinct: list[str] = []
    for name in names:
        number, base = 0, name
        while name in distinct:
            name = f"{base}_{(number := number + 1)}"
        distinct.append(name)
    return distinct
