"""Optimizers, where Keras 3 and legacy Keras differ."""

import gc
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery.errors import ConfigError
from tf_lottery.keras_compat.backend import LEGACY, Layer, Model, Optimizer, Variable, keras
from tf_lottery.keras_compat.variables import attributes, is_variable, tf_variable


def owned_optimizers(model: Model) -> dict[str, Optimizer]:
    """Return all optimizers that a model and the layers inside it hold as attributes, by path.

    The path of the compiled optimizer is `""`, and it comes first. Others read `"d_optimizer"`, `"optimizers/0"` (in a
    list), `"optimizers/encoder"` (in a dict), `"generator/optimizer"` (in a model inside the model). Optimizers inside
    another optimizer belong to that one.
    """
    kinds = (Optimizer, keras.optimizers.legacy.Optimizer) if LEGACY else (Optimizer,)
    compiled = getattr(model, "optimizer", None)
    found, seen = {} if compiled is None else {"": compiled}, {id(compiled), id(model)}

    def visit(layer: Layer, prefix: str) -> None:
        for path, value in attributes(layer):
            if id(value) in seen or not isinstance(value, (*kinds, keras.layers.Layer)):
                continue
            seen.add(id(value))
            if isinstance(value, keras.layers.Layer):
                visit(value, f"{prefix}{path}/")
            else:
                found[prefix + path] = value

    visit(model, "")
    return found


def set_optimizer(model: Model, path: str, optimizer: Optimizer) -> bool:
    """Give a model another optimizer at a path of `owned_optimizers`; return False if only the model's code could."""
    if "/" in path:
        return False
    setattr(model, path or "optimizer", optimizer)
    return True


def build_optimizers(model: Model) -> dict[str, Optimizer]:
    """Return the optimizers of a compiled model, by path, with the compiled one built.

    Keras itself creates the slots in the first step only, and which weights the others train is not known before.

    Raises:
        ConfigError: there is no optimizer, or one of `keras.optimizers.legacy`.
    """
    optimizers = owned_optimizers(model)
    refused = {path: one for path, one in optimizers.items() if not hasattr(one, "build")} or None
    if refused or not optimizers:
        raise ConfigError(
            "The model must be compiled with an optimizer of `keras.optimizers`, or hold some as attributes. "
            f"Received: {', '.join(map(repr, (refused or {'': None}).values()))}"
        )
    if (compiled := optimizers.get("")) is not None and not is_built(compiled):
        build_on(model, compiled, model.trainable_variables)
    return optimizers


def build_on(model: Model, optimizer: Optimizer, weights: Sequence[Variable]) -> None:
    """Create the slots of an optimizer of `model` for these weights."""
    with model.distribute_strategy.scope():
        optimizer.build(weights)


def is_built(optimizer: Optimizer) -> bool:
    """Return whether `optimizer` has its slots. Building twice would double those of Keras' LossScaleOptimizer."""
    if LEGACY:
        return bool(getattr(_plain(optimizer)[0], "_index_dict", None))
    return bool(optimizer.built)


def built_on(optimizer: Optimizer, weights: Iterable[Variable]) -> list[Variable]:
    """Return those of `weights` for which `optimizer` has slots, in its order."""
    positions: dict[int, Variable] = {}
    index = _positions(_plain(optimizer)[0] if LEGACY else optimizer)
    for weight in filter(is_variable, weights):  # legacy Keras lists the tables of lookup layers, too
        if (position := index.get(optimizer._var_key(weight))) is not None:
            positions[position] = weight
    return [positions[position] for position in sorted(positions)]


def learning_rates(optimizer: Optimizer) -> list[Any]:
    """Return the learning rate of each plain optimizer in `optimizer`: a variable, a schedule or a function."""
    return [plain._learning_rate for plain in _plain(optimizer)]


def plain_settings(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Return the numbers and words in the config of each plain optimizer in `optimizer`, without name and rate."""
    left_out = ("name", "learning_rate", "jit_compile")
    return [
        {
            name: value
            for name, value in plain.get_config().items()
            if name not in left_out and (value is None or isinstance(value, bool | int | float | str))
        }
        for plain in _plain(optimizer)
    ]


def schedules_of(optimizer: Optimizer) -> list[tuple[Optimizer, Any]]:
    """Return the plain optimizers in `optimizer` whose rate follows a schedule, each with its schedule."""
    kind = keras.optimizers.schedules.LearningRateSchedule
    return [(plain, plain._learning_rate) for plain in _plain(optimizer) if isinstance(plain._learning_rate, kind)]


def batches_trained(optimizer: Optimizer) -> int:
    """Return how many batches `optimizer` has seen, those between two accumulated updates included."""
    return int(_step_counter(_without_loss_scale(optimizer)).numpy())


def clock_variables(optimizer: Optimizer) -> list[Variable]:
    """Return the variables that say how far `optimizer` has trained: its step counters and its learning rates."""
    return [*step_counters(optimizer), *(rate for rate in learning_rates(optimizer) if hasattr(rate, "assign"))]


def step_counters(optimizer: Optimizer) -> list[Variable]:
    """Return the variables that count the steps of `optimizer` and of the optimizers inside it."""
    counters = [_step_counter(part) for part in _parts(optimizer)]
    return list({id(counter): counter for counter in counters}.values())


def new_values(optimizer: Optimizer, weights: Sequence[Variable], is_scaled: bool = False) -> list[Any]:
    """Return the values that `optimizer_variables` would have if `optimizer` were new and built on `weights`.

    Averages of weights (`use_ema`) start at the weights.

    Args:
        optimizer: Any optimizer.
        weights: The weights that it trains.
        is_scaled: Whether it is inside a LossScaleOptimizer, in which optimizers of Keras 3 list fewer variables.
            Defaults to False.
    """
    inside = _inside(optimizer)
    if inside and not LEGACY:
        # Not from the config: it makes two of an optimizer that a MultiOptimizer uses twice, and fails for a function.
        scale = getattr(optimizer, "dynamic_scale", None)
        own = [optimizer.initial_scale if variable is scale else 0 for variable in optimizer._variables]
        typed = [np.asarray(value, variable.dtype) for value, variable in zip(own, optimizer._variables, strict=True)]
        is_scaled = is_scaled or hasattr(optimizer, "inner_optimizer")
        return typed + [value for one in inside for value in new_values(one, built_on(one, weights), is_scaled)]
    if inside:  # a LossScaleOptimizer of legacy Keras, which cannot be made from its config around an Adafactor
        scale = [np.float32(optimizer.initial_scale), np.int64(0)] if optimizer.dynamic else []
        return [*new_values(inside[0], weights), *scale]
    new = type(optimizer).from_config(optimizer.get_config())
    if weights:
        (keras.optimizers.LossScaleOptimizer(new) if is_scaled else new).build(weights)
    averages = {id(average): weight for weight, average in moving_averages(new, weights)}
    return [averages.get(id(variable), variable).numpy() for variable in optimizer_variables(new)]


def undecayed(optimizer: Optimizer, weights: Sequence[Variable]) -> list[int]:
    """Return the positions of the weights that `exclude_from_weight_decay` exempts.

    Configs of optimizers leave this setting out.
    """
    found = set()
    for plain in _plain(optimizer):
        known = _positions(plain)
        for position, weight in enumerate(weights):
            if plain._var_key(weight) in known and not plain._use_weight_decay(tf_variable(weight)):
                found.add(position)
        _forget_cached_exemptions(plain)
    return sorted(found)


def exempt_from_decay(optimizer: Optimizer, weights: Sequence[Variable]) -> None:
    """Make `optimizer`, built or not, exempt exactly these weights from weight decay."""
    for plain in _plain(optimizer):
        plain._exclude_from_weight_decay = [plain._var_key(weight) for weight in weights]
        if LEGACY:
            plain._exclude_from_weight_decay_names = []
        else:
            plain._exclude_from_weight_decay_pattern = None
        _forget_cached_exemptions(plain)


def _forget_cached_exemptions(optimizer: Optimizer) -> None:
    if hasattr(optimizer, "_exclude_from_weight_decay_cache"):  # Keras 3
        optimizer._exclude_from_weight_decay_cache = {}


def other_optimizers(known: Iterable[Optimizer]) -> list[Optimizer]:
    """Return all optimizers in this process but `known` ones and those inside another one."""
    # Not `isinstance`, which asks proxies, such as lazy modules, for the class of what they stand for.
    found = [one for one in gc.get_objects() if issubclass(type(one), keras.optimizers.Optimizer)]
    alive = [one for one in found if hasattr(one, "iterations")]  # others failed while they were made
    inner = {id(part) for one in alive for part in _parts(one)[1:]}
    excluded = inner | {id(part) for one in known for part in _parts(one)}
    return [one for one in alive if id(one) not in excluded]


def _step_counter(optimizer: Optimizer) -> Variable:
    # Not `iterations` on Keras 3: with accumulated gradients it is computed anew from this variable.
    return optimizer.iterations if LEGACY else optimizer._iterations


def _without_loss_scale(optimizer: Optimizer) -> Optimizer:
    return getattr(optimizer, "inner_optimizer", optimizer)


def _inside(optimizer: Optimizer) -> list[Optimizer]:
    """Return the optimizers directly inside one that scales losses or contains several."""
    if (inner := getattr(optimizer, "inner_optimizer", None)) is not None:
        return [inner]
    return list(getattr(optimizer, "optimizers", ()))


def _parts(optimizer: Optimizer) -> list[Optimizer]:
    """Return `optimizer` and all optimizers inside it, outermost first."""
    return [optimizer, *(part for one in _inside(optimizer) for part in _parts(one))]


def _plain(optimizer: Optimizer) -> list[Optimizer]:
    """Return the optimizers in `optimizer` that contain no others; itself if it does not."""
    return [part for part in _parts(optimizer) if not _inside(part)] or [optimizer]


def _positions(optimizer: Optimizer) -> Any:
    return getattr(optimizer, "_index_dict" if LEGACY else "_trainable_variables_indices", {})


def scaled_loss(optimizer: Optimizer, loss: tf.Tensor) -> tf.Tensor:
    """Return the loss whose gradients `apply_scaled_gradients` takes: some optimizers scale it first."""
    if hasattr(optimizer, "get_scaled_loss"):
        return optimizer.get_scaled_loss(loss)  # legacy Keras
    return optimizer.scale_loss(loss) if hasattr(optimizer, "scale_loss") else loss


def apply_scaled_gradients(optimizer: Optimizer, gradients: Sequence[tf.Tensor], weights: Sequence[Variable]) -> None:
    """Train one step: sum the gradients of a `scaled_loss` over replicas and update `weights` with them."""
    if hasattr(optimizer, "get_unscaled_gradients"):
        gradients = optimizer.get_unscaled_gradients(gradients)  # legacy Keras; Keras 3 does it by itself
    optimizer.apply_gradients(zip(gradients, weights, strict=True))


def optimizer_variables(optimizer: Optimizer) -> Sequence[Variable]:
    """Return all state of `optimizer` in a fixed order.

    The state is the step counters, the slots, the learning rates if they are variables, and the loss scale if it
    changes.
    """
    inside = _inside(optimizer)
    if inside and not LEGACY:
        return [*optimizer._variables, *(variable for one in inside for variable in optimizer_variables(one))]
    variables = list(optimizer.variables)
    plain = _without_loss_scale(optimizer)
    if LEGACY:  # Keras 3 lists them
        variables += [rate for rate in learning_rates(optimizer) if hasattr(rate, "assign")]
    # Nadam and Adafactor do not list all that they hold: the first on legacy Keras, both inside a LossScaleOptimizer of
    # Keras 3. The current value of a schedule is computed anew in each step, and the weights belong to the model.
    ignored = [getattr(plain, "_current_learning_rate", None), *getattr(plain, "_trainable_variables", ())]
    known = {id(variable) for variable in [*variables, *ignored]}
    held = {id(value): value for _, value in attributes(plain) if is_variable(value) and id(value) not in known}
    variables += held.values()
    scale: Any = getattr(optimizer, "_loss_scale", None)  # of legacy Keras; a plain number if it does not change
    return [*variables, scale._current_loss_scale, scale._counter] if hasattr(scale, "_counter") else variables


def moving_averages(optimizer: Optimizer | None, weights: Iterable[Variable]) -> list[tuple[Variable, Variable]]:
    """Return the weights that `optimizer` averages (`use_ema`), each with its average.

    Args:
        optimizer: Any optimizer, or None. One that is not built has no averages yet.
        weights: The weights to look for.
    """
    averages, weights = [], list(weights)
    for plain in _averaging(optimizer):
        positions = _positions(plain)
        for weight in weights:
            position = positions.get(plain._var_key(weight))
            if position is not None and (average := plain._model_variables_moving_average[position]) is not None:
                averages.append((weight, average))
    return averages


def is_averaging(optimizer: Optimizer) -> bool:
    """Return whether `optimizer`, or one inside it, averages weights (`use_ema`)."""
    return bool(_averaging(optimizer))


def _averaging(optimizer: Optimizer | None) -> list[Optimizer]:
    """Return the optimizers with `use_ema` in `optimizer`, which may scale losses or contain several optimizers."""
    plain = [] if optimizer is None else _plain(optimizer)
    return [one for one in plain if getattr(one, "use_ema", False)]
