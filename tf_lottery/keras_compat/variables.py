"""Variables of layers, where Keras 3 and legacy Keras differ."""

import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tf_lottery.keras_compat.backend import LEGACY, Layer, Variable, keras
from tf_lottery.keras_compat.graph import sublayers

DEPTHWISE_KERNEL = "depthwise_kernel" if LEGACY else "kernel"  # the attribute of DepthwiseConv1D and DepthwiseConv2D

_COUNTERS = ("_predict_counter", "_steps_per_execution", "_test_counter", "_train_counter")  # of a legacy Model


def tf_variable(variable: Variable) -> tf.Variable:
    """Return the TensorFlow variable, mirrored or not, that `variable` is or contains."""
    variable = getattr(variable, "_value", variable)  # Keras 3
    return _without_auto_cast(variable)


def own_name(variable: Variable) -> str:
    """Return the last part of a variable's name, such as `"kernel"`."""
    return variable.name.rpartition("/")[2].partition(":")[0]


def names_in(layer: Layer, variables: Sequence[Variable]) -> list[str]:
    """Return the names of the variables of `layer`, the same in both Kerases and in every build.

    A variable that nobody has named is called `"variable"`: Keras 3 numbers them through the whole process.
    """
    names = [re.sub(r"\A[Vv]ariable(_\d+)?\Z", "variable", own_name(variable)) for variable in variables]
    if LEGACY and isinstance(layer, keras.layers.DepthwiseConv1D | keras.layers.DepthwiseConv2D):
        names = ["kernel" if name == DEPTHWISE_KERNEL else name for name in names]
    return names


def own_variables(layer: Layer) -> list[Variable]:
    """Return the variables of `layer` that no layer inside it owns, the state of random generators included."""
    inside = {id(variable) for child in sublayers(layer) for variable in _all_variables(child)}
    known = [variable for variable in _all_variables(layer) if id(variable) not in inside]
    variables = [variable for variable in known if hasattr(variable, "assign")]
    if LEGACY and (generator := getattr(getattr(layer, "_random_generator", None), "_generator", None)) is not None:
        variables.append(generator.state)  # legacy layers do not list it among their variables
    return variables


def own_trainable(layer: Layer) -> list[Variable]:
    """Return the variables that no layer inside `layer` owns and that are trained unless `layer` is frozen."""
    return list(layer._trainable_weights if LEGACY else layer._trainable_variables)


def _all_variables(layer: Layer) -> list[Variable]:
    try:
        return layer.variables
    except ValueError:  # legacy Keras, of a model that has not been built
        return []


def attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield what the attributes of an object hold, lists and dicts opened, each with its path.

    Public attributes come first. The counters that legacy Keras keeps in each model are left out.
    """

    def items(path: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, list | tuple):
            for position, item in enumerate(value):
                yield from items(f"{path}/{position}", item)
        elif isinstance(value, Mapping):
            for key, item in list(value.items()):
                yield from items(f"{path}/{key}", item)
        else:
            yield path, value

    for name in sorted(vars(thing), key=lambda name: name.startswith("_")):
        # `_self_…` are TensorFlow's own lists of what it tracks, or once has.
        if not name.startswith("_self_") and name not in _COUNTERS:
            yield from items(name, vars(thing)[name])


def is_variable(value: Any) -> bool:
    """Return whether `value` is a variable of Keras or of TensorFlow."""
    return isinstance(value, tf.Variable | Variable)


def random_state(value: Any) -> Variable | None:
    """Return the state of a random generator of TensorFlow or Keras 3; None for anything else."""
    kinds = (tf.random.Generator,) if LEGACY else (tf.random.Generator, keras.random.SeedGenerator)
    return value.state if isinstance(value, kinds) else None


def set_constraint(variable: Variable, constraint: Callable[[Any], Any]) -> None:
    """Make optimizers pass `variable` through `constraint` after each step, even if they are built already."""
    if not LEGACY:
        variable.constraint = constraint
        return
    variable = _without_auto_cast(variable)
    for copy in (variable, *getattr(variable, "_values", ())):  # every replica has its own copy
        copy._constraint = constraint


def _without_auto_cast(variable: Variable) -> Variable:
    return getattr(variable, "_variable", variable)  # legacy Keras wraps variables in mixed precision


def add_mask(layer: Layer, name: str, shape: Sequence[int]) -> Variable:
    """Add the mask of a weight to `layer`: a boolean, non-trainable weight, all True, the same on every replica."""
    # Replicas hold equal masks, so one copy stands for all: the default would blend or forbid them.
    aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA if LEGACY else "only_first_replica"
    return layer.add_weight(
        name=f"mask_of_{name}".replace("/", "_"),
        shape=tuple(shape),
        dtype="bool",
        initializer="ones",
        trainable=False,
        aggregation=aggregation,
    )


def has_hidden_randomness(layer: Layer) -> bool:
    """Return whether `layer` draws random numbers from a state that cannot be read.

    Only layers of legacy Keras can; see `make_randomness_restorable`.
    """
    if not LEGACY:
        return False
    if getattr(layer, "dropout", None) == 0 and getattr(layer, "recurrent_dropout", None) == 0:
        return False  # a recurrent layer that draws nothing
    if getattr(layer, "rate", None) == 0:
        return False  # dropout that draws nothing
    generator: Any = getattr(layer, "_random_generator", None)
    return hasattr(generator, "_generator") and generator._generator is None


def global_seed() -> Variable | None:
    """Return the state of the generator from which `keras.random` draws where it gets no seed.

    Returns:
        None before it is first used, and on legacy Keras, which keeps such states inside ops.
    """
    if LEGACY:
        return None
    states = importlib.import_module(f"{keras.Layer.__module__.partition('.layers')[0]}.backend.common.global_state")
    generator = states.get_global_attribute("global_seed_generator")
    return None if generator is None else generator.state


def is_random_state(variable: Variable) -> bool:
    """Return whether `variable` is the state of a layer's random generator."""
    return own_name(variable) in ("seed_generator_state", "StateVar")


def uninitialised_variable_class() -> type[tf.Variable]:
    """Return TensorFlow's class of variables without a value, for which it has no public name."""
    return importlib.import_module("tensorflow.python.ops.resource_variable_ops").UninitializedVariable


def owner_of(handle: tf.Tensor) -> Any:
    """Return the variable or lookup table whose handle a function has captured; None if the tensor is no handle."""
    return getattr(handle, "_parent_trackable", lambda: None)()
