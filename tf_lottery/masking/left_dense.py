"""The warning of trainable weights that stay dense because nobody has decided whether they can be pruned."""

from collections.abc import Collection

import numpy as np

from tf_lottery import keras_compat
from tf_lottery.keras_compat import Layer, Model, Variable
from tf_lottery.masking.prunable import undecided_weights

_LISTED = 5  # names in a message, and calls of `register_prunable`


def warn(model: Model, excluded: Collection[str]) -> None:
    """Warn of the weights of `model` that stay dense although neither a decision nor `excluded` says so."""
    if left := {name: found for name, found in undecided_weights(model).items() if name not in excluded}:
        trainable = {id(w): w for layer in keras_compat.all_layers(model) for w in keras_compat.own_trainable(layer)}
        share = sum(_size(weight) for _, weight in left.values()) / sum(map(_size, trainable.values()))
        keras_compat.warn(
            f"{share:.1%} of the trainable weights stay dense, because tf_lottery does not know whether they can be "
            f"pruned: {_list(left)}. {_advice(left)}"
        )


def hint(model: Model) -> str:
    """Return a sentence about the weights that could be pruned if somebody said so, for an error; "" if none could."""
    left = undecided_weights(model)
    return f" tf_lottery does not know whether these can be pruned: {_list(left)}. {_advice(left)}" if left else ""


def _list(left: dict[str, tuple[Layer, Variable]]) -> str:
    described = [
        f"{name!r} {tuple(weight.shape)}{'' if layer.trainable else ' of a frozen layer'}"
        for name, (layer, weight) in left.items()
    ]
    return ", ".join(described[:_LISTED]) + (f" and {len(left) - _LISTED} more" if len(left) > _LISTED else "")


def _advice(left: dict[str, tuple[Layer, Variable]]) -> str:
    classes: dict[str, list[str]] = {}
    for layer, weight in left.values():
        attributes = classes.setdefault(type(layer).__name__, [])
        attributes += [name for name in _attributes(layer, weight) if name not in attributes]
    calls = [
        f"`tfl.register_prunable({', '.join([name, *map(_quoted, attributes)])})`"
        for name, attributes in list(classes.items())[:_LISTED]
    ]
    return (
        f"If inputs are multiplied by them, or looked up in them, call {', '.join(calls)} before `make_prunable`. To "
        f"keep them dense, call `tfl.register_prunable({next(iter(classes))})` without attributes, or pass "
        f"`exclude=[{_quoted(next(iter(left)))}{', …' if len(left) > 1 else ''}]`."
    )


def _attributes(layer: Layer, weight: Variable) -> list[str]:
    """Return the name of the attribute that holds `weight`, in a list; an empty list if it is in a list or dict."""
    return [name for name, value in vars(layer).items() if value is weight][:1]


def _quoted(name: str) -> str:
    return f'"{name}"'


def _size(weight: Variable) -> int:
    return int(np.prod(weight.shape, dtype=np.int64))
