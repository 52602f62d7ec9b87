"""Weight names that stay the same: for every build of the same code, wrapped or not, reloaded, in both Kerases.

Keras' own paths do not: a second build in one process counts on (`dense_3`), a wrapper adds a part, two sublayers may
share a name. A name here is the path of layers from the model's root (without the root's name, without wrappers), then
the weight: `"dense_1/kernel"`. Automatic layer names are numbered by their position in the layer or model that they are
in; other names that repeat there get their position (`"block.0"`, `"block.1"`).
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.masking.constraint import owns_masks

_FUNCTIONAL = ("functional", "model")  # what Keras 3 and legacy Keras call an unnamed functional model


def named_layers(model: Any) -> dict[str, Any]:
    """Return all layers inside `model` by path, wrappers left out: a layer has its name whether it is wrapped or not."""
    found: dict[str, Any] = {}
    for path, layer in _walk(model):
        _refuse_twice(path, found)
        found[path] = layer
    return found


def named_variables(model: Any) -> dict[str, Any]:
    """Return all variables of `model` by name, masks left out: weights, BatchNorm statistics, random-generator state."""
    named: dict[str, Any] = {}
    for path, layer in [("", model), *_walk(model)]:
        if owns_masks(layer):
            continue  # the model itself, if it is a single wrapper
        variables = keras_compat.own_variables(layer)
        names = _distinct(keras_compat.names_in(layer, variables))
        for name, variable in zip(names, variables, strict=True):
            name = f"{path}/{name}" if path else name
            _refuse_twice(name, named)
            named[name] = variable
    return named


def _refuse_twice(name: str, named: dict[str, Any]) -> None:
    if name in named:
        raise ModelError(f"Two parts of the model would be called {name!r}: give one of its layers another name.")


def _walk(model: Any) -> Iterator[tuple[str, Any]]:
    """Every layer once with its path, parents first, in the order of the model."""
    seen: set[int] = set()

    def visit(parent: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        inside = children(parent)
        for name, child in zip(_names(inside), inside, strict=True):
            if id(child) in seen:
                continue
            seen.add(id(child))
            yield prefix + name, child
            yield from visit(child, prefix + name + "/")

    yield from visit(model, "")


def children(parent: Any) -> list[Any]:
    """Return the layers directly inside `parent`; what owns masks only is looked through."""
    inside = []
    for child in keras_compat.sublayers(parent):
        inside += children(child) if owns_masks(child) else [child]
    return inside


def _names(siblings: list[Any]) -> list[str]:
    """Names of layers inside one parent: automatic ones numbered by position, whatever number Keras gave them."""
    bases = [_automatic(layer) for layer in siblings]
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


def _automatic(layer: Any) -> str | None:
    """What stands before the number in a name that Keras made itself; None for one that a person chose."""
    base = re.sub(r"_\d+\Z", "", layer.name)
    own = _snake_case(type(layer).__name__)
    if base == own or (own in _FUNCTIONAL and base in _FUNCTIONAL):
        return own
    if keras_compat.LEGACY and own == "input_layer" and re.fullmatch(r"input_\d+", layer.name):
        return own
    return base if base in (f"forward_{own}", f"backward_{own}") else None  # Bidirectional makes these of it


def _snake_case(name: str) -> str:
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _distinct(names: list[str]) -> list[str]:
    """Names that repeat get their position among their equals."""
    total, count = Counter(names), Counter[str]()
    distinct = []
    for name in names:
        distinct.append(f"{name}.{count[name]}" if total[name] > 1 else name)
        count[name] += 1
    return distinct
