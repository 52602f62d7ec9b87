"""The full training state of a model as NumPy arrays: capturing and restoring it.

A restored model trains exactly as it did after the capture.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_lottery import escapes, keras_compat
from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import Model, Optimizer, Variable
from tf_lottery.masking import model_masks, naming
from tf_lottery.masking.unlisted import GLOBAL_SEED, unlisted_variables

_CLOCK = "clock."  # in the names of the step counters and rates of an optimizer

State = Mapping[str, Arrays]
Optimizers = Optimizer | Mapping[str, Optimizer]  # one, or those of `keras_compat.owned_optimizers`, by path


def capture(model: Model, optimizers: Optimizers) -> dict[str, dict[str, np.ndarray]]:
    """Copy everything that training changes, without the masks.

    Args:
        model: A built model.
        optimizers: Its optimizer, or all its optimizers by path. The slots exist only after
            `optimizer.build(model.trainable_variables)`; of an optimizer that is not built, the clock is captured.

    Returns:
        `{"weights": …, "optimizer": …}`: the weights, BatchNorm statistics and random-generator state by name, and the
        variables of the optimizers (step counters, slots, …) by path and position. With `"unlisted"`, if the model has
        such: the variables of `unlisted_variables`, such as the states of stateful RNNs and of losses.

    Warns:
        UserWarning: a layer of legacy Keras draws random numbers from a state that cannot be read.
    """
    if hidden := [
        name for name, layer in naming.named_layers(model).items() if keras_compat.has_hidden_randomness(layer)
    ]:
        warnings.warn(
            f"The random state of {_list(hidden)} cannot be captured, so random numbers will not repeat. Call "
            "tf_keras.backend.experimental.enable_tf_random_generator() before the model is built.",
            stacklevel=2,
        )
    captured = {"weights": weights(model), "optimizer": _values(_slots(optimizers))}
    others = unlisted(model)
    return captured | {"unlisted": others} if others else captured


def clock(optimizers: Optimizers) -> dict[str, np.ndarray]:
    """Copy the step counters and the learning rates of optimizers, by path and number."""
    return _values(_clock(optimizers))


def unlisted(model: Model) -> dict[str, np.ndarray]:
    """Copy the variables that the model uses and does not list, by name; see `unlisted_variables`."""
    return _values(unlisted_variables(model))


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


def trained_weights(model: Model) -> dict[str, np.ndarray]:
    """Copy all variables of `model` except the masks, by name; pruned entries are +0.0."""
    masks = model_masks.get_masks(model)
    return {  # one at a time, so that memory never holds a second copy of all weights
        name: masks_lib.apply({name: variable.numpy()}, masks)[name]
        for name, variable in naming.named_variables(model).items()
    }


def restore(state: State, model: Model, optimizers: Optimizers, masks: Arrays | None = None) -> dict[str, np.ndarray]:
    """Restore a captured state of `model` and its optimizers; weights that the masks prune become +0.0.

    Args:
        state: A state from `capture`.
        model, optimizers: The model and the optimizers that it was captured from, or equal ones.
        masks: New masks for `model`. Defaults to None: it keeps its masks.

    Returns:
        The weights that `model` has now, by name.

    Raises:
        ModelError, PruningError: names or shapes differ. The message lists them. Nothing is changed then.
    """
    if missing := [group for group in ("weights", "optimizer") if group not in state]:
        raise ModelError(f"The state lacks {' and '.join(missing)}.")
    # An optimizer that was not built when it was captured gets its slots below, made for the restored weights.
    named, captured = _named(optimizers), state["optimizer"]
    later = {path: one for path, one in named.items() if _has_clock_only(path, captured, one)}
    whole = {path: one for path, one in named.items() if path not in later}
    others = {name: array for name, array in captured.items() if name.rpartition("/")[0] not in later}
    check_fit(others, _slots(whole))
    written = set_weights(state["weights"], model, masks)
    _assign(_slots(whole), others)
    if later:
        _assign(_slots(later), new_optimizer_state(model, later, captured))
    set_unlisted(state, model)
    model_masks.mask_averages(model)  # to the restored weight averages
    return written


def set_unlisted(state: State, model: Model) -> None:
    """Set the variables of `unlisted_variables`, if the state has any.

    Warns:
        UserWarning: some were made after the state was captured, so that nobody knows their values then, or exist no
            more.
    """
    variables, arrays = unlisted_variables(model), state.get("unlisted", {})
    later = [name for name in variables if name not in arrays]
    if GLOBAL_SEED in later:
        warnings.warn(
            "The generator from which `keras.random` draws without a seed was first used after step k and cannot be "
            "rewound: give layers a `keras.random.SeedGenerator`, or call `keras.random.uniform(())` before `fit`.",
            stacklevel=2,
        )
    if named := [name for name in later if name != GLOBAL_SEED]:
        warnings.warn(
            f"{_list(named)} did not exist at step k and cannot be rewound: create them before `fit`, those of a "
            "layer in its `build`.",
            stacklevel=2,
        )
    if gone := [name for name in arrays if name not in variables]:
        warnings.warn(
            f"{_list(gone)} existed at step k and cannot be found now, so that they are not rewound: keep them as "
            "attributes of the model, a layer or the loss.",
            stacklevel=2,
        )
    known = {name: variable for name, variable in variables.items() if name in arrays}
    arrays = {name: arrays[name] for name in known}
    check_fit(arrays, known)
    _assign(known, arrays)


def restore_optimizer(arrays: Arrays, optimizers: Optimizers) -> None:
    """Set all variables of built optimizers.

    Args:
        arrays: The optimizers' part of a state from `capture`, or the result of `new_optimizer_state`.
        optimizers: Optimizers of the same kinds, for the same model.

    Raises:
        ModelError: number or shapes of the variables differ. Nothing is changed then.
    """
    variables = _slots(optimizers)
    check_fit(arrays, variables)
    _assign(variables, arrays)


def new_optimizer_state(model: Model, optimizers: Optimizers, at: Arrays | None = None) -> dict[str, np.ndarray]:
    """Return the state of new optimizers for the weights that `model` has now.

    Their slots are new, and weight averages (`use_ema`) start at the weights.

    Args:
        model: The model that is trained.
        optimizers: Its built optimizers, whose settings the new ones have. Left unchanged.
        at: A captured optimizer state, or a `clock`, from which the step counters and the learning rates are taken.
            Defaults to None: they are new, too.

    Returns:
        Arrays by path and position, as from `capture`.
    """
    fresh: dict[str, np.ndarray] = {}
    for path, optimizer in _named(optimizers).items():
        variables = keras_compat.optimizer_variables(optimizer)
        values = keras_compat.new_values(optimizer, keras_compat.built_on(optimizer, model.variables))
        new = {id(variable): value for variable, value in zip(variables, values, strict=True)}
        timing = {id(variable): name for name, variable in _clock({path: optimizer}).items()}
        for name, variable in _slots({path: optimizer}).items():
            in_clock = timing.get(id(variable), "")
            taken = next((at[key] for key in (in_clock, name) if key in at), None) if at and in_clock else None
            fresh[name] = new[id(variable)] if taken is None else taken
    return fresh


def settings_left_out(model: Model, optimizers: Mapping[str, Optimizer]) -> dict[str, Any]:
    """Return what neither a captured state nor the configs of optimizers tell, as JSON values.

    Returns:
        With `"built_on"`, the names of the weights that optimizers besides the compiled one train, by path. With
        `"undecayed"`, the names of the weights that `exclude_from_weight_decay` exempts, by path. Most models have
        neither.
    """
    names = {id(variable): name for name, variable in naming.named_variables(model).items()}
    built, undecayed = {}, {}
    for path, optimizer in optimizers.items():
        trained = keras_compat.built_on(optimizer, model.variables)
        if path and keras_compat.is_built(optimizer):
            built[path] = [names[id(weight)] for weight in trained]
        if exempt := keras_compat.undecayed(optimizer, trained):
            undecayed[path] = [names[id(trained[position])] for position in exempt]
    return {key: found for key, found in (("built_on", built), ("undecayed", undecayed)) if found}


def exempt_from_decay(model: Model, optimizers: Mapping[str, Optimizer], settings: Mapping[str, Any]) -> None:
    """Give the optimizers of `model` the weight-decay exemptions of `settings_left_out`."""
    for path, names in settings.get("undecayed", {}).items():
        if path in optimizers:
            keras_compat.exempt_from_decay(optimizers[path], _variables(model, names))


def build_optimizers(model: Model, optimizers: Mapping[str, Optimizer], built_on: Mapping[str, Sequence[str]]) -> None:
    """Build the optimizers that are not built yet, for the weights of `settings_left_out`."""
    for path, names in built_on.items():
        if path in optimizers and not keras_compat.is_built(optimizers[path]):
            keras_compat.build_on(model, optimizers[path], _variables(model, names))


def _variables(model: Model, names: Sequence[str]) -> list[Variable]:
    named = naming.named_variables(model)
    if unknown := [name for name in names if name not in named]:
        raise ModelError(f"The optimizer was built for weights that the model does not have: {', '.join(unknown)}.")
    return [named[name] for name in names]


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
    for layer in naming.named_layers(model).values():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()  # Normalization computes with constants that it makes of its variables
    model_masks.mask_averages(model)
    return written


def _list(names: Sequence[str]) -> str:
    return escapes.shown(", ".join(names))


def _named(optimizers: Optimizers) -> Mapping[str, Optimizer]:
    return optimizers if isinstance(optimizers, Mapping) else {"": optimizers}


def _slots(optimizers: Optimizers) -> dict[str, Variable]:
    """Return all variables of optimizers, by path and position; of those that are not built, the clock."""
    slots: dict[str, Variable] = {}
    for path, optimizer in _named(optimizers).items():
        if not keras_compat.is_built(optimizer):
            slots |= _clock({path: optimizer})
            continue
        variables = keras_compat.optimizer_variables(optimizer)
        slots |= {f"{_prefix(path)}{position:04d}": variable for position, variable in enumerate(variables)}
    return slots


def _clock(optimizers: Optimizers) -> dict[str, Variable]:
    return {
        f"{_prefix(path)}{_CLOCK}{number}": variable
        for path, optimizer in _named(optimizers).items()
        for number, variable in enumerate(keras_compat.clock_variables(optimizer))
    }


def _prefix(path: str) -> str:
    return f"{path}/" if path else ""


def _has_clock_only(path: str, captured: Arrays, optimizer: Optimizer) -> bool:
    """Return whether the optimizer at a path was captured before it was built, and is built now."""
    names = [name for name in captured if name.rpartition("/")[0] == path]
    return keras_compat.is_built(optimizer) and any(_CLOCK in name for name in names)


def _values(variables: Mapping[str, Variable]) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in variables.items()}


def check_fit(arrays: Arrays, variables: Mapping[str, Variable]) -> None:
    """Raise ModelError if `arrays` do not fit `variables`: it lists what is missing, unknown or of another shape."""
    faults = [f"missing {name!r}" for name in variables if name not in arrays]
    faults += [f"unknown {name!r}" for name in arrays if name not in variables]
    faults += [
        f"{name!r} has shape {arrays[name].shape}, expected {tuple(variable.shape)}"
        for name, variable in variables.items()
        if name in arrays and not _fits(arrays[name].shape, tuple(variable.shape))
    ]
    if faults:
        raise ModelError(f"The state does not fit this model: {'; '.join(faults)}.")


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    """Return whether a shape is the expected one, in which a length may be unknown."""
    lengths = zip(shape, expected, strict=False)
    return len(shape) == len(expected) and all(known in (None, length) for length, known in lengths)


def _assign(variables: Mapping[str, Variable], arrays: Arrays) -> None:
    for name, variable in variables.items():
        variable.assign(arrays[name])
