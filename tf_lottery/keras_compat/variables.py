"""Variables of layers, where Keras 3 and legacy Keras differ in them."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tf_lottery.keras_compat.backend import LEGACY, Variable, keras
from tf_lottery.keras_compat.graph import sublayers

DEPTHWISE_KERNEL = "depthwise_kernel" if LEGACY else "kernel"  # of DepthwiseConv1D and 2D


def tf_variable(variable: Variable) -> tf.Variable:
    """Return the TensorFlow variable, mirrored or not, that `variable` is or has inside."""
    variable = getattr(variable, "_value", variable)  # of Keras 3
    return getattr(variable, "_variable", variable)  # mixed precision in legacy Keras puts a wrapper around it


def own_name(variable: Variable) -> str:
    """Return the last part of a variable's name: `"kernel"`."""
    return variable.name.rpartition("/")[2].partition(":")[0]


def names_in(layer: Any, variables: Sequence[Variable]) -> list[str]:
    """What the variables of `layer` are called, in both Kerases alike."""
    names = [own_name(variable) for variable in variables]
    if LEGACY and isinstance(layer, keras.layers.DepthwiseConv1D | keras.layers.DepthwiseConv2D):
        names = ["kernel" if name == DEPTHWISE_KERNEL else name for name in names]
    return names


def own_variables(layer: Any) -> list[Variable]:
    """Return the variables of `layer` that no layer inside it owns, random-generator state included."""
    inside = {id(variable) for child in sublayers(layer) for variable in child.variables}
    variables = [variable for variable in layer.variables if id(variable) not in inside and hasattr(variable, "assign")]
    if LEGACY and (generator := getattr(getattr(layer, "_random_generator", None), "_generator", None)) is not None:
        variables.append(generator.state)  # legacy layers do not list it among their variables
    return variables


def set_constraint(variable: Variable, constraint: Callable[[Any], Any]) -> None:
    """Make the optimizer pass `variable` through `constraint` after each step, also when it is built already."""
    if not LEGACY:
        variable.constraint = constraint
        return
    variable = getattr(variable, "_variable", variable)  # mixed precision puts a wrapper around it
    for copy in (variable, *getattr(variable, "_values", ())):  # every replica has its own
        copy._constraint = constraint


def add_mask(layer: Any, name: str, shape: Sequence[int]) -> Variable:
    """Return a boolean weight of `layer`, all True, the same on every replica. Call it from `build`."""
    # Replicas hold equal masks, so one copy stands for all: the default would blend or forbid them.
    aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA if LEGACY else "only_first_replica"
    return layer.add_weight(
        name=name, shape=tuple(shape), dtype="bool", initializer="ones", trainable=False, aggregation=aggregation
    )


def has_hidden_randomness(layer: Any) -> bool:
    """Return whether `layer` draws random numbers from a state that nothing can read (see `make_randomness_restorable`)."""
    draws_nothing = getattr(layer, "dropout", None) == 0 and getattr(layer, "recurrent_dropout", None) == 0
    return (
        LEGACY and not draws_nothing and getattr(getattr(layer, "_random_generator", None), "_generator", layer) is None
    )


def is_random_state(variable: Variable) -> bool:
    """Return whether `variable` is what a layer draws random numbers from."""
    return own_name(variable) in ("seed_generator_state", "StateVar")
