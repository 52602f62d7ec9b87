"""Weight names that are the same in every build of a model, with and without wrappers, reloaded, in both Kerases.

The paths of Keras do not stay the same: a second model in one process gets higher numbers (`dense_3`), a wrapper adds a
part to the path, and two layers inside a layer may share a name. A name here is the path of layers from the root of the
model, without the name of the root and without wrappers, and then the name of the weight: `"dense_1/kernel"`. Automatic
layer names are numbered by their position in the layer or model that contains them. If other names repeat there, each
gets its position among its equals (`"block.0"`, `"block.1"`).
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import Layer, Variable
from tf_lottery.masking.constraint import owns_masks

_FUNCTIONAL = ("functional", "model")  # the automatic names of functional models in Keras 3 and legacy Keras


def named_layers(model: Layer) -> dict[str, Layer]:
    """Return all layers inside `model` by path, at any depth, in the order of the model.

    Wrappers are left out, so that a layer has the same path whether it is wrapped or not.

    Raises:
        ModelError: two layers would have the same path.
    """
    found: dict[str, Layer] = {}
    for path, layer in _walk(model):
        _refuse_twice(path, found)
        found[path] = layer
    return found


def named_variables(model: Layer) -> dict[str, Variable]:
    """Return the variables of `model` by name, without masks: weights, BatchNorm statistics, random-generator state.

    Raises:
        ModelError: two variables would have the same name.
    """
    named: dict[str, Variable] = {}
    for path, layer in [("", model), *_walk(model)]:
        if owns_masks(layer):
            continue  # `model` itself, if it is a single wrapper
        for name, variable in own_variables(layer).items():
            name = f"{path}/{name}" if path else name
            _refuse_twice(name, named)
            named[name] = variable
    return named


def frozen_variables(model: Layer) -> list[str]:
    """Return the names of the variables of layers that are not trainable, BatchNorm statistics included."""
    layers = {"": model, **named_layers(model)}
    frozen = {path: layer for path, layer in layers.items() if not layer.trainable}
    return [f"{path}/{name}" if path else name for path, layer in frozen.items() for name in own_variables(layer)]


def frozen_layers(model: Layer) -> list[str]:
    """Return the paths of the layers that have weights and are not trainable, without the layers inside them."""
    frozen = [path for path, layer in named_layers(model).items() if not layer.trainable and layer.weights]
    return [path for path in frozen if not any(path.startswith(f"{outer}/") for outer in frozen)]


def own_variables(layer: Layer) -> dict[str, Variable]:
    """Return the variables of `layer` that no layer inside it owns, by their names in it."""
    variables = keras_compat.own_variables(layer)
    return dict(zip(_distinct(keras_compat.names_in(layer, variables)), variables, strict=True))


def _refuse_twice(name: str, named: Mapping[str, Any]) -> None:
    if name in named:
        raise ModelError(f"Two parts of the model would be called {name!r}: give one of its layers another name.")


def _walk(model: Layer) -> Iterator[tuple[str, Layer]]:
    """Yield every layer inside `model` once, with its path; parents come before the layers inside them."""
    seen: set[int] = set()

    def visit(parent: Layer, prefix: str) -> Iterator[tuple[str, Layer]]:
        inside = children(parent)
        for name, child in zip(_names(inside, parent), inside, strict=True):
            if id(child) in seen:
                continue
            seen.add(id(child))
            yield prefix + name, child
            yield from visit(child, prefix + name + "/")

    yield from visit(model, "")


def children(parent: Layer) -> list[Layer]:
    """Return the layers directly inside `parent`; in place of a layer that owns masks come the layers inside it."""
    inside: list[Layer] = []
    for child in keras_compat.sublayers(parent):
        inside += children(child) if owns_masks(child) else [child]
    return inside


def _names(siblings: Sequence[Layer], parent: Layer) -> list[str]:
    """Return the names of the layers inside one parent: automatic names are numbered anew, by position."""
    bases = [_automatic(layer, parent) for layer in siblings]
    chosen = {layer.name for layer, base in zip(siblings, bases, strict=True) if base is None}
    names, used = [], Counter[str]()
    for layer, base in zip(siblings, bases, strict=True):
        if base is None:
            names.append(layer.name)
            continue
        while (name := base if used[base] == 0 else f"{base}_{used[base]}") in chosen:
            used[base] += 1
        used[base] += 1
        names.append(name)
    return _distinct(names)


def _automatic(layer: Layer, parent: Layer) -> str | None:
    """Return the part before the number of a name that Keras has made; None for a name that a person has chosen.

    An automatic name of the parent is one, too: a class that hands its arguments on to a layer inside it also hands on
    the name that it had when its config was written.
    """
    base = re.sub(r"_\d+\Z", "", layer.name)
    own = _snake_case(type(layer).__name__)
    if base in (own, _snake_case(type(parent).__name__)) or (own in _FUNCTIONAL and base in _FUNCTIONAL):
        return own
    if keras_compat.LEGACY and own == "input_layer" and re.fullmatch(r"input_\d+", layer.name):
        return own
    return base if base in (f"forward_{own}", f"backward_{own}") else None  # names that Bidirectional makes


def _snake_case(name: str) -> str:
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _distinct(names: Sequence[str]) -> list[str]:
    """Append to each name that repeats its position among its equals."""
    total, count = Counter(names), Counter[str]()
    distinct = []
    for name in names:
        distinct.append(f"{name}.{count[name]}" if total[name] > 1 else name)
        count[name] += 1
    return distinct
