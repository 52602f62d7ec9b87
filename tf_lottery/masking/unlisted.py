"""Variables that training may change and that no layer lists, such as the states of RNNs and of losses."""

import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tf_lottery import keras_compat
from tf_lottery.keras_compat import Layer, Model, Variable, keras
from tf_lottery.masking import naming

GLOBAL_SEED = "keras.random"  # the name of the generator behind `keras.random`

# The code of these packages keeps its state in layers, optimizers and metrics; it would be slow to search.
_SEARCHED_ELSEWHERE = {"keras", "tf_keras", "tensorflow", "tensorflow_model_optimization", "numpy", "tf_lottery"}
_SEARCHED_ELSEWHERE |= sys.stdlib_module_names
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
    layers = {"": model, **naming.named_layers(model)}
    search = _Search([*layers.values(), *keras_compat.all_layers(model)])
    found = {}
    for path, layer in layers.items():
        for name, variable in search.inside(layer, path):
            if id(variable) not in seen:
                seen.add(id(variable))
                found[name] = variable
    if (seed := keras_compat.global_seed()) is not None:
        found[GLOBAL_SEED] = seed
    return found


class _Search:
    """A search for variables from one object to the next; it opens each object once.

    Args:
        starts: All layers of the model, from which it starts one after the other.
    """

    def __init__(self, starts: Iterable[Layer]):
        self._opened = {id(layer): layer for layer in starts}  # the objects, so that no id is used twice

    def inside(self, thing: Any, path: str) -> Iterator[tuple[str, Variable]]:
        """Yield the variables that the attributes of an object hold and its class uses, each with its path."""
        for name, value in keras_compat.attributes(thing):
            yield from self._from(value, f"{path}/{name}" if path else name)
        for base in type(thing).__mro__:
            if not _is_searched_elsewhere(base.__module__):
                for name, member in list(vars(base).items()):
                    yield from self._from(_function_of(member), f"{path}/{name}" if path else name)

    def _from(self, value: Any, path: str) -> Iterator[tuple[str, Variable]]:
        if id(value) in self._opened or issubclass(type(value), types.ModuleType | type):
            return  # Modules first: `isinstance` makes those load that are loaded when they are used.
        self._opened[id(value)] = value
        if isinstance(value, keras.optimizers.Optimizer | keras.metrics.Metric | keras.callbacks.Callback):
            return
        if keras_compat.is_variable(value):
            yield path, value
        elif (state := keras_compat.random_state(value)) is not None:
            yield path, state
        elif isinstance(value, keras.layers.Layer):
            for name, variable in naming.named_variables(value).items():
                yield f"{path}/{name}", variable
            yield from self.inside(value, path)
        else:
            for name, part in _parts(value):
                yield from self._from(part, f"{path}/{name}")
            if _is_object_of_user(value):
                yield from self.inside(value, path)


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield what a container or a function holds, each with its name or number."""
    if isinstance(value, _CONTAINERS):
        yield from enumerate(value)
    elif isinstance(value, Mapping):
        yield from list(value.items())
    elif isinstance(value, types.SimpleNamespace):
        yield from vars(value).items()
    elif isinstance(value, functools.partial):
        yield from enumerate((value.func, *value.args))
        yield from value.keywords.items()
    elif isinstance(value, types.MethodType):
        yield from (("self", value.__self__), ("function", value.__func__))
    elif hasattr(type(value), "python_function"):  # a tf.function
        yield "function", value.python_function
    elif inspect.isfunction(value) and not _is_searched_elsewhere(value.__module__):
        yield from _used_by(value)


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
    """Return the names that code uses, with those in the functions that it defines."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return {*code.co_names, *(name for one in inner for name in _names_in(one))}


def _function_of(member: Any) -> Any:
    """Return the function behind a member of a class, which may be a property or a static or class method."""
    member = getattr(member, "fget", member)
    return getattr(member, "__func__", member)


def _is_object_of_user(value: Any) -> bool:
    kind = type(value)
    return hasattr(value, "__dict__") and (
        isinstance(value, keras.losses.Loss) or not _is_searched_elsewhere(kind.__module__)
    )


def _is_searched_elsewhere(module: str | None) -> bool:
    return module is None or module.partition(".")[0] in _SEARCHED_ELSEWHERE
