"""The computation of a Keras model as a TensorFlow function, with names for what goes in and what comes out."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import keras_api, naming
from tf_lottery.errors import ExportError
from tf_lottery.keras_api import keras


def trace(model: Any, batch: int | None = None) -> tf.types.experimental.ConcreteFunction:
    """What a plain model computes at inference.

    Args:
        model: A built model. Of a subclassed one the inputs are those it was built with: one float tensor, or a dict
            of them.
        batch: The first dimension of all inputs; None leaves it free.

    Returns:
        A function from a dict of tensors to a dict of tensors. A Sequential or functional model's inputs are called
        as their Input layers are, its outputs as the layers that make them; automatic names are numbered as weight
        names are. A subclassed model's are `"inputs"` and `"outputs"`, or the keys of its dicts.

    Raises:
        ExportError: a subclassed model was built in another way.
    """
    structure, names = _inputs(model)
    leaves = zip(names, tf.nest.flatten(structure), strict=True)
    specs = {name: tf.TensorSpec((batch, *leaf.shape[1:]), leaf.dtype, name) for name, leaf in leaves}

    def serve(features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        inputs = tf.nest.pack_sequence_as(structure, [features[name] for name in names])
        return _named_outputs(model, model(inputs, training=False))

    return tf.function(serve, autograph=False).get_concrete_function(specs)


def trackable(model: Any) -> tf.Module:
    """What a SavedModel of `trace(model)` must be given beside it: the variables."""
    module = tf.Module()
    module.tracked = [keras_api.tf_variable(variable) for variable in naming.named_variables(model).values()]
    return module


def check_finite(model: Any) -> None:
    """Refuses what no file should be made of.

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
    """The inputs of a model, tensors or specs of them as its `call` takes them, and the names of these."""
    if keras_api.is_layer_graph(model):
        structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        return structure, _layer_names(model, tf.nest.flatten(structure))
    shapes = (model.get_build_config() or {}).get("input_shape")
    named = shapes if isinstance(shapes, dict) else {"inputs": shapes}
    if not all(isinstance(shape, tuple | list) and len(shape) > 0 for shape in named.values()):
        raise ExportError(
            f"The shapes of the inputs of {type(model).__name__} are not known. Export a functional model around it: "
            "`keras.Model(inputs, model(inputs))`, with a keras.Input for each input."
        )
    specs = {name: tf.TensorSpec(named[name], keras.backend.floatx()) for name in sorted(named)}
    return (specs if isinstance(shapes, dict) else specs["inputs"]), list(specs)


def _named_outputs(model: Any, outputs: Any) -> dict[str, tf.Tensor]:
    flat = tf.nest.flatten(outputs)
    if keras_api.is_layer_graph(model):
        structure = model.outputs[0] if isinstance(model, keras.Sequential) else model.output
        names = _layer_names(model, tf.nest.flatten(structure))
    elif isinstance(outputs, dict) and len(outputs) == len(flat):
        names = sorted(outputs)  # the order of `tf.nest`
    else:
        names = _distinct("outputs" for _ in flat)
    return {name: tf.identity(tensor) for name, tensor in zip(names, flat, strict=True)}


def _layer_names(model: Any, tensors: Iterable[Any]) -> list[str]:
    """Names of the layers that make `tensors`."""
    names = {id(layer): name for name, layer in naming.named_layers(model).items()}
    makers = [keras_api.maker(tensor) for tensor in tensors]
    return _distinct(names.get(id(maker), maker.name) for maker in makers)


def _distinct(names: Iterable[str]) -> list[str]:
    distinct: list[str] = []
    for name in names:
        number, base = 0, name
        while name in distinct:
            name = f"{base}_{(number := number + 1)}"
        distinct.append(name)
    return distinct
