"""The full training state of a model as NumPy arrays: capturing and restoring it.

A restored model trains exactly as it did after the capture.
"""

import warnings
from collections.abc import Mapping

import numpy as np

from tf_lottery import keras_compat
from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import Model, Optimizer, Variable
from tf_lottery.masking import model_masks, naming

State = Mapping[str, Arrays]


def capture(model: Model, optimizer: Optimizer) -> dict[str, dict[str, np.ndarray]]:
    """Copy everything that training changes, without the masks.

    Args:
        model: A built model.
        optimizer: Its optimizer, built: the slots exist only after `optimizer.build(model.trainable_variables)`.

    Returns:
        `{"weights": …, "optimizer": …}`: the weights, BatchNorm statistics and random-generator state by name, and the
        variables of the optimizer (step counter, slots, …) by position.

    Warns:
        UserWarning: a layer of legacy Keras draws random numbers from a state that cannot be read.
    """
    if hidden := [
        name for name, layer in naming.named_layers(model).items() if keras_compat.has_hidden_randomness(layer)
    ]:
        warnings.warn(
            f"The random state of {', '.join(hidden)} cannot be captured, so random numbers will not repeat. Call "
            "tf_keras.backend.experimental.enable_tf_random_generator() before the model is built.",
            stacklevel=2,
        )
    return {"weights": weights(model), "optimizer": _values(_slots(optimizer))}


def weights(model: Model) -> dict[str, np.ndarray]:
    """Copy all variables of `model` except the masks, by name."""
    return _values(naming.named_variables(model))


def shapes(model: Model, optimizer: Optimizer) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return the shapes of the arrays that `capture` would return, without reading any values."""
    groups = {"weights": naming.named_variables(model), "optimizer": _slots(optimizer)}
    return {
        group: {name: tuple(variable.shape) for name, variable in variables.items()}
        for group, variables in groups.items()
    }


def trained_weights(model: Model, optimizer: Optimizer) -> dict[str, np.ndarray]:
    """Copy all variables of `model` except the masks, by name, as they are at the end of `fit`.

    If the optimizer averages weights (`use_ema`), the averages are returned in place of these weights. Pruned entries
    are +0.0.
    """
    averages = {
        id(weight): average for weight, average in keras_compat.moving_averages(optimizer, model.trainable_variables)
    }
    masks = model_masks.get_masks(model)
    variables = {name: averages.get(id(variable), variable) for name, variable in naming.named_variables(model).items()}
    return {  # one at a time, so that memory never holds a second copy of all weights
        name: masks_lib.apply({name: variable.numpy()}, masks)[name] for name, variable in variables.items()
    }


def restore(state: State, model: Model, optimizer: Optimizer, masks: Arrays | None = None) -> dict[str, np.ndarray]:
    """Restore a captured state of `model` and `optimizer`; weights that the masks prune become +0.0.

    Args:
        state: A state from `capture`.
        model, optimizer: The model and the optimizer that it was captured from, or equal ones.
        masks: New masks for `model`. Defaults to None: it keeps its masks.

    Returns:
        The weights that `model` has now, by name.

    Raises:
        ModelError, PruningError: names or shapes differ. The message lists them. Nothing is changed then.
    """
    check_fit(state["optimizer"], _slots(optimizer))
    written = set_weights(state["weights"], model, masks)
    restore_optimizer(state["optimizer"], optimizer)
    model_masks.mask_averages(model)  # to the restored weight averages
    return written


def restore_optimizer(arrays: Arrays, optimizer: Optimizer) -> None:
    """Set all variables of a built optimizer.

    Args:
        arrays: The optimizer's part of a state from `capture`, or the result of `new_optimizer_state`.
        optimizer: An optimizer of the same kind, for the same model.

    Raises:
        ModelError: number or shapes of the variables differ. Nothing is changed then.
    """
    variables = _slots(optimizer)
    check_fit(arrays, variables)
    _assign(variables, arrays)


def new_optimizer_state(model: Model, optimizer: Optimizer, clock: Arrays | None = None) -> dict[str, np.ndarray]:
    """Return the state of a new optimizer for the weights that `model` has now.

    Its slots are new, and weight averages (`use_ema`) start at the weights.

    Args:
        model: The model that is trained.
        optimizer: Its built optimizer, whose settings the new one has. Left unchanged.
        clock: A captured optimizer state, from which the step counters and the learning rate are taken. Defaults to
            None: they are new, too.

    Returns:
        Arrays by position, as from `capture`.
    """
    new = type(optimizer).from_config(optimizer.get_config())
    new.build(model.trainable_variables)
    averages = {id(average): weight for weight, average in keras_compat.moving_averages(new, model.trainable_variables)}
    fresh = {name: averages.get(id(variable), variable).numpy() for name, variable in _slots(new).items()}
    if clock is None:
        return fresh
    timing = {id(variable) for variable in keras_compat.clock_variables(optimizer)}
    return fresh | {name: clock[name] for name, variable in _slots(optimizer).items() if id(variable) in timing}


def set_weights(arrays: Arrays, model: Model, masks: Arrays | None = None) -> dict[str, np.ndarray]:
    """Set all variables of `model`; weights that the masks prune become +0.0.

    Each variable is written once, with its zeros.

    Args:
        arrays: Arrays by name, as from `weights`.
        model: A prunable model.
        masks: New masks for `model`. Defaults to None: it keeps its masks.

    Returns:
        The arrays that were written, by name. Those without a mask are the arrays of `arrays` themselves, not copies.

    Raises:
        ModelError, PruningError: names or shapes differ. The message lists them. Nothing is changed then.
    """
    variables = naming.named_variables(model)
    check_fit(arrays, variables)
    masks = model_masks.get_masks(model) if masks is None else model_masks.replace_masks(model, masks)
    written = masks_lib.apply(arrays, masks)
    _assign(variables, written)
    model_masks.mask_averages(model)
    return written


def _slots(optimizer: Optimizer) -> dict[str, Variable]:
    """Return all variables of an optimizer, by position."""
    return {
        f"{position:04d}": variable for position, variable in enumerate(keras_compat.optimizer_variables(optimizer))
    }


def _values(variables: Mapping[str, Variable]) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in variables.items()}


def check_fit(arrays: Arrays, variables: Mapping[str, Variable]) -> None:
    """Raise ModelError if `arrays` do not fit `variables`: it lists what is missing, unknown or of another shape."""
    faults = [f"missing {name!r}" for name in variables if name not in arrays]
    faults += [f"unknown {name!r}" for name in arrays if name not in variables]
    faults += [
        f"{name!r} has shape {arrays[name].shape}, expected {tuple(variable.shape)}"
        for name, variable in variables.items()
        if name in arrays and arrays[name].shape != tuple(variable.shape)
    ]
    if faults:
        raise ModelError(f"The state does not fit this model: {'; '.join(faults)}.")


def _assign(variables: Mapping[str, Variable], arrays: Arrays) -> None:
    for name, variable in variables.items():
        variable.assign(arrays[name])
