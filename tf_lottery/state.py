"""The full training state of a model as plain arrays, out and back in (law 6)."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_lottery import keras_api, model_masks, naming
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import ModelError

State = Mapping[str, Arrays]


def capture(model: Any, optimizer: Any) -> dict[str, dict[str, np.ndarray]]:
    """Copies everything that training changes, masks apart.

    Args:
        model: A built model.
        optimizer: Its built optimizer: slots exist only after `optimizer.build(model.trainable_variables)`.

    Returns:
        `{"weights": …, "optimizer": …}`: weights, BatchNorm statistics and random-generator state by name, and the
        optimizer's variables (step counter and slots) by position.
    """
    if hidden := [name for name, layer in naming.named_layers(model).items() if keras_api.has_hidden_randomness(layer)]:
        warnings.warn(
            f"The random state of {', '.join(hidden)} cannot be captured, so what they draw will not repeat. Call "
            "tf_keras.backend.experimental.enable_tf_random_generator() before the model is built.",
            stacklevel=2,
        )
    return {"weights": weights(model), "optimizer": _values(_slots(optimizer))}


def weights(model: Any) -> dict[str, np.ndarray]:
    """Copies all variables of `model` but the masks, by name."""
    return _values(naming.named_variables(model))


def restore(state: State, model: Any, optimizer: Any) -> None:
    """Sets `model` and `optimizer` back to a captured state; the masks stay, what they prune becomes +0.0.

    Raises:
        ModelError: names or shapes differ; the message lists them and nothing was changed.
    """
    _check(state["optimizer"], _slots(optimizer))
    set_weights(state["weights"], model)
    restore_optimizer(state["optimizer"], optimizer)


def restore_optimizer(arrays: Arrays, optimizer: Any) -> None:
    """Sets all variables of `optimizer`; raises ModelError where they do not fit."""
    variables = _slots(optimizer)
    _check(arrays, variables)
    _assign(variables, arrays)


def set_weights(arrays: Arrays, model: Any) -> None:
    """Sets all variables of `model` but the masks; what the masks prune becomes +0.0.

    Raises:
        ModelError: names or shapes differ; the message lists them and nothing was changed.
    """
    variables = naming.named_variables(model)
    _check(arrays, variables)
    _assign(variables, arrays)
    model_masks.apply_masks(model)


def _slots(optimizer: Any) -> dict[str, Any]:
    return {f"{position:04d}": variable for position, variable in enumerate(keras_api.optimizer_variables(optimizer))}


def _values(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in variables.items()}


def _check(arrays: Arrays, variables: Mapping[str, Any]) -> None:
    faults = [f"missing {name!r}" for name in variables if name not in arrays]
    faults += [f"unknown {name!r}" for name in arrays if name not in variables]
    faults += [
        f"{name!r} has shape {arrays[name].shape}, expected {tuple(variable.shape)}"
        for name, variable in variables.items()
        if name in arrays and arrays[name].shape != tuple(variable.shape)
    ]
    if faults:
        raise ModelError(f"The state does not fit this model: {'; '.join(faults)}.")


def _assign(variables: Mapping[str, Any], arrays: Arrays) -> None:
    for name, variable in variables.items():
        variable.assign(arrays[name])
