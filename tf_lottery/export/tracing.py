"""The computation of a Keras model as a TensorFlow function with named inputs and outputs."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.errors import ExportError
from tf_lottery.keras_compat import Model, keras
from tf_lottery.masking import naming


def trace(model: Model, batch: int | None = None) -> tf.types.experimental.ConcreteFunction:
    """Trace the inference of a plain model.

    Args:
        model: A built model, see `input_specs`.
        batch: The first dimension of all inputs. Defaults to None, which leaves it free.

    Returns:
        A function from a dict of tensors to a dict of tensors. The inputs of a Sequential or functional model are named
        after its Input layers, its outputs after the layers that make them; automatic names are numbered as in weight
        names. The inputs and outputs of a subclassed model are named `"inputs"` and `"outputs"`. Outputs in a dict are
        named by their keys, and so are the inputs of subclassed models.

    Raises:
        ExportError: the input shapes of a subclassed model are unknown, see `input_specs`.
    """
    specs = input_specs(model, batch)
    return by_name(model, lambda inputs: model(inputs, training=False), specs).get_concrete_function()


def by_name(model: Model, call: Callable[[Any], Any], specs: Any) -> tf.types.experimental.PolymorphicFunction:
    """Make a function from and to dicts of tensors out of one that takes and returns the structures of a model.

    Args:
        model: The model, which tells the names of the outputs.
        call: Takes a structure of tensors like `specs` and returns the outputs of `model`.
        specs: The inputs, as from `input_specs`.
    """
    named = {spec.name: spec for spec in tf.nest.flatten(specs)}

    def serve(features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return _named_outputs(model, call(tf.nest.pack_sequence_as(specs, [features[name] for name in named])))

    return tf.function(serve, input_signature=[named], autograph=False)


def input_specs(model: Model, batch: int | None = None, given: Any = None) -> Any:
    """Return the inputs of a model: a tf.TensorSpec with a distinct name for each, in the structure that it takes.

    Args:
        model: A built model. The inputs of a subclassed model are those that it was built with: one float tensor, or a
            dict of float tensors.
        batch: The first dimension of all inputs. Defaults to None, which leaves it free.
        given: A tf.TensorSpec, or a structure of them, to be used instead, with names as follows: those of the Input
            layers, or for a subclassed model the keys of a dict, or else the names of the specs.

    Raises:
        ExportError: `given` is not a structure of tf.TensorSpec; or it is None, and a subclassed model was not built
            with one tensor or a dict of tensors.
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
    """Return the variables and lookup tables that a function uses, in the order of their first use."""
    owners = [keras_compat.owner_of(handle) for handle, _ in function.graph.captures]
    return [owner for owner in owners if owner is not None]


def trackable(function: tf.types.experimental.ConcreteFunction) -> tf.Module:
    """Return a module that tracks what a function uses, as TensorFlow needs it to save or convert the function."""
    module = tf.Module()
    module.tracked = captured(function)
    return module


def check_finite(model: Model) -> None:
    """Raise ExportError where a weight of a model is NaN or infinite."""
    for name, variable in naming.named_variables(model).items():
        value = tf.convert_to_tensor(variable)
        if value.dtype.is_floating and not np.isfinite(value.numpy().astype(np.float64)).all():
            raise ExportError(
                f"Weight {name!r} has values that are NaN or infinite, so that the predictions would be useless. Train "
                "again at a lower learning rate, or export another level."
            )


def _inputs(model: Model) -> tuple[Any, list[str]]:
    """Return the inputs of a model, tensors or specs in the structure that its `call` takes, and their names."""
    if keras_compat.is_layer_graph(model):
        structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        return structure, _layer_names(model, tf.nest.flatten(structure))
    shapes = (model.get_build_config() or {}).get("input_shape")
    named = shapes if isinstance(shapes, dict) else {"inputs": shapes}
    if not all(map(_is_shape, named.values())):
        raise ExportError(
            f"The shapes of the inputs of {type(model).__name__} are not known. Export a functional "
            "model around it: `keras.Model(inputs, model(inputs))`, with a keras.Input for each input. Or, for a "
            "SavedModel, give them: `inputs=tf.TensorSpec((None, 28, 28, 1), tf.float32)`, or a list or dict of specs."
        )
    specs = {name: tf.TensorSpec(named[name], keras.backend.floatx()) for name in sorted(named)}
    return (specs if isinstance(shapes, dict) else specs["inputs"]), list(specs)


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple | list) and shape != () and all(isinstance(n, int | None) for n in shape)


def _given_names(model: Model, given: Any) -> list[str]:
    specs = tf.nest.flatten(given)
    if not specs or not all(isinstance(spec, tf.TensorSpec) for spec in specs):
        raise ExportError(f"`inputs` must be a tf.TensorSpec, or a list or dict of them. Received: {given!r}")
    if keras_compat.is_layer_graph(model) and len(names := _inputs(model)[1]) == len(specs):
        return names
    is_flat_dict = isinstance(given, dict) and len(given) == len(specs)
    return _distinct(sorted(given) if is_flat_dict else [spec.name or "inputs" for spec in specs])


def _named_outputs(model: Model, outputs: Any) -> dict[str, tf.Tensor]:
    flat = tf.nest.flatten(outputs)
    if isinstance(outputs, dict) and len(outputs) == len(flat):
        names = sorted(outputs)  # the order of `tf.nest`
    elif keras_compat.is_layer_graph(model):
        names = _layer_names(model, model.outputs)
    else:
        names = _distinct("outputs" for _ in flat)
    return {name: tf.identity(tensor) for name, tensor in zip(names, flat, strict=True)}


def _layer_names(model: Model, tensors: Iterable[Any]) -> list[str]:
    """Return distinct names for symbolic tensors: those of the layers that make them."""
    names = {id(layer): name for name, layer in naming.named_layers(model).items()}
    makers = [keras_compat.maker(tensor) for tensor in tensors]
    found = [names.get(id(maker), maker.name) for maker in makers]
    # Keras 3 renames an automatic Input layer when it copies the model.
    return _distinct(re.sub(r"^keras_tensor(_\d+)?$", "input_layer", name) for name in found)


def _distinct(names: Iterable[str]) -> list[str]:
    """Number repeated names.

    >>> _distinct(["a", "b", "a", "a"])
    ['a', 'b', 'a_1', 'a_2']
    """
    distinct: list[str] = []
    for name in names:
        number, base = 0, name
        while name in distinct:
            name = f"{base}_{(number := number + 1)}"
        distinct.append(name)
    return distinct
