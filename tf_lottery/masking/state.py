"""The full training state of a model as plain arrays, out and back in (law 6)."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_lottery import keras_compat
from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import ModelError
from tf_lottery.masking import model_masks, naming

State = Mapping[str, Arrays]


def capture(model: Any, optimizer: Any) -> dict[str, dict[str, np.ndarray]]:
    """Copy everything that training changes, masks apart.

    Args:
        model: A built model.
        optimizer: Its built optimizer: slots exist only after `optimizer.build(model.trainable_variables)`.

    Returns:
        `{"weights": …, "optimizer": …}`: weights, BatchNorm statistics and random-generator state by name, and the
        optimizer's variables (step counter and slots) by position.
    """
    if hidden := [
        name for name, layer in naming.named_layers(model).items() if keras_compat.has_hidden_randomness(layer)
    ]:
        warnings.warn(
            f"The random state of {', '.join(hidden)} cannot be captured, so what they draw will not repeat. Call "
            "tf_keras.backend.experimental.enable_tf_random_generator() before the model is built.",
            stacklevel=2,
        )
    return {"weights": weights(model), "optimizer": _values(_slots(optimizer))}


def weights(model: Any) -> dict[str, np.ndarray]:
    """Copy all variables of `model` but the masks, by name."""
    return _values(naming.named_variables(model))


def shapes(model: Any, optimizer: Any) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return the shapes of what `capture` returns; reads no values."""
    groups = {"weights": naming.named_variables(model), "optimizer": _slots(optimizer)}
    return {
        group: {name: tuple(variable.shape) for name, variable in variables.items()}
        for group, variables in groups.items()
    }


def trained_weights(model: Any, optimizer: Any) -> dict[str, np.ndarray]:
    """`weights(model)` as `fit` leaves them: with `use_ema` the optimizer's averages stand for the weights."""
    averages = {
        id(weight): average for weight, average in keras_compat.moving_averages(optimizer, model.trainable_variables)
    }
    masks = model_masks.get_masks(model)
    variables = {name: averages.get(id(variable), variable) for name, variable in naming.named_variables(model).items()}
    return {  # one at a time, or there would be two copies of all
        name: masks_lib.apply({name: variable.numpy()}, masks)[name] for name, variable in variables.items()
    }


def restore(state: State, model: Any, optimizer: Any, masks: Arrays | None = None) -> dict[str, np.ndarray]:
    """Set `model` and `optimizer` back to a captured state; what the masks prune becomes +0.0.

    Args:
        state: From `capture`.
        model, optimizer: What it was captured from, or equals of them.
        masks: New masks for `model`. Default: it keeps those it has.

    Returns:
        The weights that `model` has now.

    Raises:
        ModelError, PruningError: names or shapes differ; the message lists them and nothing was changed.
    """
    check_fit(state["optimizer"], _slots(optimizer))
    written = set_weights(state["weights"], model, masks)
    restore_optimizer(state["optimizer"], optimizer)
    model_masks.keep_applied(model)  # to the weight averages that came back
    return written


def restore_optimizer(arrays: Arrays, optimizer: Any) -> None:
    """Set all variables of `optimizer`; raises ModelError where they do not fit."""
    variables = _slots(optimizer)
    check_fit(arrays, variables)
    _assign(variables, arrays)


def new_optimizer_state(model: Any, optimizer: Any, clock: Arrays) -> dict[str, np.ndarray]:
    """Return the state of a new optimizer for the weights that `model` has, at the time that `clock` shows.

    Args:
        model: The model that is trained.
        optimizer: Its built optimizer. Left unchanged.
        clock: A captured optimizer state; step counter and learning rate are taken from it, slots are new. Weight
            averages (`use_ema`) start at the weights.
    """
    new = type(optimizer).from_config(optimizer.get_config())
    new.build(model.trainable_variables)
    timing = {id(variable) for variable in keras_compat.clock_variables(optimizer)}
    averages = {id(average): weight for weight, average in keras_compat.moving_averages(new, model.trainable_variables)}
    fresh = {name: averages.get(id(variable), variable).numpy() for name, variable in _slots(new).items()}
    return fresh | {name: clock[name] for name, variable in _slots(optimizer).items() if id(variable) in timing}


def set_weights(arrays: Arrays, model: Any, masks: Arrays | None = None) -> dict[str, np.ndarray]:
    """Set all variables of `model`; what the masks prune becomes +0.0. Each is written once, with its zeros.

    Args:
        arrays: From `weights`.
        model: A prunable model.
        masks: New masks for it. Default: it keeps those it has.

    Returns:
        What was written, by name. Arrays that have no mask are those of `arrays`, no copies.

    Raises:
        ModelError, PruningError: names or shapes differ; the message lists them and nothing was changed.
    """
    variables = naming.named_variables(model)
    check_fit(arrays, variables)
    masks = model_masks.get_masks(model) if masks is None else model_masks.replace_masks(model, masks)
    written = masks_lib.apply(arrays, masks)
    _assign(variables, written)
    model_masks.keep_applied(model)
    return written


def _slots(optimizer: Any) -> dict[str, Any]:
    return {
        f"{position:04d}": variable for position, variable in enumerate(keras_compat.optimizer_variables(optimizer))
    }


def _values(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in variables.items()}


def check_fit(arrays: Arrays, variables: Mapping[str, Any]) -> None:
    """Raise ModelError, with all that is missing, unknown or of another shape, where arrays are not for variables."""
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
