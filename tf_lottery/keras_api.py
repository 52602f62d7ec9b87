"""Which Keras this process uses, and the few places where Keras 3 and legacy Keras differ.

The choice is TensorFlow's own: `TF_USE_LEGACY_KERAS=1` means `tf_keras`, anything else Keras 3. This is the only module
that imports either.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

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


def own_name(variable: Variable) -> str:
    """The last part of a variable's name: `"kernel"`."""
    return variable.name.rpartition("/")[2].partition(":")[0]


def sublayers(layer: Any) -> list[Any]:
    """The layers directly inside `layer`, in the order Keras tracks them."""
    return list(layer._flatten_layers(include_self=False, recursive=False))


def own_variables(layer: Any) -> list[Variable]:
    """The variables of `layer` that no layer inside it owns, random-generator state included."""
    inside = {id(variable) for child in sublayers(layer) for variable in child.variables}
    variables = [variable for variable in layer.variables if id(variable) not in inside]
    if LEGACY and (generator := getattr(getattr(layer, "_random_generator", None), "_generator", None)) is not None:
        variables.append(generator.state)  # legacy layers do not list it among their variables
    return variables


def is_layer_graph(model: Any) -> bool:
    """Whether `model` is Sequential or functional, so that it can be rebuilt layer by layer."""
    return isinstance(model, keras.Sequential) or hasattr(model, "_nodes_by_depth")


def optimizer_variables(optimizer: Any) -> Sequence[Variable]:
    """All state of `optimizer` in a fixed order: step counter, slots, learning rate where it is a variable."""
    return list(optimizer.variables)


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
    return LEGACY and getattr(getattr(layer, "_random_generator", None), "_generator", layer) is None


def make_randomness_restorable() -> None:
    """Gives the layers that are built from now on a random state that can be read and set back.

    Keras 3 has it always. Legacy Keras keeps dropout's state inside the op, where nothing can reach it, unless its
    generators are switched to variables.
    """
    if LEGACY:
        keras.backend.experimental.enable_tf_random_generator()
