"""Variables that training may change and that no layer lists, such as the states of RNNs and of losses."""

import dis
import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tf_lottery import keras_compat
from tf_lottery.keras_compat import Model, Variable, keras
from tf_lottery.masking import naming
from tf_lottery.masking.constraint import owns_masks

GLOBAL_SEED = "keras.random"  # the name of the generator behind `keras.random`

# These packages, and all that are installed, keep their state in layers, losses and metrics: searching their code would
# find nothing and take long.
_NOT_SEARCHED = {"keras", "tf_keras", "tensorflow", "tf_lottery", *sys.stdlib_module_names}
_CONTAINERS = (list, tuple, set, frozenset)


def unlisted_variables(model: Model) -> dict[str, Variable]:
    """Return the variables that `model` uses and lists neither among its weights nor in metrics or optimizers, by name.

    These are the states of stateful RNNs, variables of TensorFlow in a layer of Keras 3, the state of each
    `tf.random.Generator`, and what can be reached from the attributes and the code of the user's classes and
    functions: the centre that a loss keeps, a teacher in a closure, a global variable that `train_step` names. The
    generator behind `keras.random` is one of them, too, because layers without a generator of their own draw from it.
    """
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    optimizers = keras_compat.owned_optimizers(model).values()
    slots = [variable for one in optimizers for variable in keras_compat.optimizer_variables(one)]
    listed = [*naming.named_variables(model).values(), *model.variables, *metrics, *slots]
    seen = {id(variable) for variable in listed} | {id(keras_compat.tf_variable(variable)) for variable in listed}
    found = {}
    for name, variable in _reachable(model):
        if id(variable) not in seen:
            seen.add(id(variable))
            found[name] = variable
    if (seed := keras_compat.global_seed()) is not None:
        found[GLOBAL_SEED] = seed
    return found


def _reachable(model: Model) -> Iterator[tuple[str, Variable]]:
    """Yield the variables that can be reached from the layers of a model, each with its path; open no object twice."""
    layers = {"": model, **naming.named_layers(model)}
    # The objects themselves, so that no id is used twice.
    opened = {id(layer): layer for layer in [*layers.values(), *keras_compat.all_layers(model)]}
    pending = [(_join(path, name), part) for path, layer in layers.items() for name, part in _inside(layer)][::-1]
    while pending:
        path, thing = pending.pop()
        if id(thing) in opened or issubclass(type(thing), types.ModuleType | type):
            continue  # Modules first: `isinstance` makes those load that are loaded when they are used.
        opened[id(thing)] = thing
        if keras_compat.is_variable(thing):
            yield path, thing
        elif (state := keras_compat.random_state(thing)) is not None:
            yield path, state
        else:
            pending += [(_join(path, name), part) for name, part in _parts(thing)][::-1]


def _join(path: str, name: Any) -> str:
    return f"{path}/{name}" if path else str(name)


def _inside(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield what the attributes of an object hold, and the functions of its class, each with its name."""
    yield from keras_compat.attributes(thing)
    for base in type(thing).__mro__:
        if _is_code_of_user(base.__module__):
            yield from ((name, _function_of(member)) for name, member in list(vars(base).items()))


def _parts(thing: Any) -> Iterator[tuple[Any, Any]]:
    """Yield what an object, a container or a function holds, each with its name or number."""
    if isinstance(thing, keras.optimizers.Optimizer | keras.metrics.Metric | keras.callbacks.Callback):
        return
    if owns_masks(thing):
        yield from [("layer", thing.layer)] if hasattr(thing, "layer") else ()  # and not the masks
    elif isinstance(thing, keras.layers.Layer):
        yield from naming.named_variables(thing).items()
        yield from _inside(thing)
    elif isinstance(thing, _CONTAINERS):
        yield from enumerate(thing)
    elif isinstance(thing, Mapping):
        yield from list(thing.items())
    elif isinstance(thing, types.SimpleNamespace):
        yield from vars(thing).items()
    elif isinstance(thing, functools.partial):
        yield from enumerate((thing.func, *thing.args))
        yield from thing.keywords.items()
    elif isinstance(thing, types.MethodType):
        yield from (("self", thing.__self__), ("function", thing.__func__))
    elif hasattr(type(thing), "python_function"):  # a tf.function
        yield "function", thing.python_function
    elif inspect.isfunction(thing) and _is_code_of_user(thing.__module__):
        yield from _used_by(thing)
    elif isinstance(thing, keras.losses.Loss) or _is_code_of_user(type(thing).__module__):
        yield from _inside(thing) if hasattr(thing, "__dict__") else ()


def _used_by(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Yield the default arguments, the variables of the enclosing functions and the globals that a function uses."""
    yield from enumerate(function.__defaults__ or ())
    yield from (function.__kwdefaults__ or {}).items()
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name in _names_in(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]


def _names_in(code: types.CodeType) -> set[str]:
    """Return the global names that code reads, with those in the functions that it defines."""
    # Not `co_names`, which has the names of attributes, too: `self.encoder` is no global `encoder`.
    read = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return read.union(*map(_names_in, inner))


def _function_of(member: Any) -> Any:
    """Return the function behind a member of a class, which may be a property or a static or class method."""
    member = getattr(member, "fget", member)
    return getattr(member, "__func__", member)


def _is_code_of_user(module: str | None) -> bool:
    root = (module or "").partition(".")[0]
    file = getattr(sys.modules.get(root), "__file__", None) or ""
    return bool(root) and root not in _NOT_SEARCHED and not {"site-packages", "dist-packages"} & set(Path(file).parts)
