"""Optimizers, where Keras 3 and legacy Keras differ."""

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from tf_lottery.errors import ConfigError
from tf_lottery.keras_compat.backend import LEGACY, Model, Optimizer, Variable


def build_optimizer(model: Model) -> Optimizer:
    """Return the optimizer of a compiled model, built: Keras itself creates the slots in the first step only.

    Raises:
        ConfigError: there is no optimizer, or it is one of `keras.optimizers.legacy`.
    """
    if not hasattr(model.optimizer, "build"):
        raise ConfigError(
            f"The model must be compiled with an optimizer of `keras.optimizers`. Received: {model.optimizer!r}"
        )
    if not getattr(model.optimizer, "built", False):  # Keras' LossScaleOptimizer adds its variables at each `build`
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
    return model.optimizer


def learning_rate(optimizer: Optimizer) -> Any:
    """Return the variable that holds the learning rate of `optimizer`, or its schedule; None if there is neither."""
    return getattr(_without_loss_scale(optimizer), "_learning_rate", None)


def learning_rate_variable(optimizer: Optimizer) -> Variable | None:
    """Return the variable that holds the learning rate of `optimizer`, or None if the rate follows a schedule."""
    rate = learning_rate(optimizer)
    return rate if hasattr(rate, "assign") else None


def batches_trained(optimizer: Optimizer) -> int:
    """Return how many batches `optimizer` has seen, those between two accumulated updates included."""
    return int(_step_counter(_without_loss_scale(optimizer)).numpy())


def clock_variables(optimizer: Optimizer) -> list[Variable]:
    """Return the variables that say how far `optimizer` has trained: its step counters and its learning rate."""
    counters, rate = step_counters(optimizer), learning_rate_variable(optimizer)
    return counters if rate is None else [*counters, rate]


def step_counters(optimizer: Optimizer) -> list[Variable]:
    """Return the variables that count the steps of `optimizer` and, if it scales losses, of the optimizer inside it."""
    optimizers = {id(part): part for part in (optimizer, _without_loss_scale(optimizer))}
    return [_step_counter(part) for part in optimizers.values()]


def _step_counter(optimizer: Optimizer) -> Variable:
    # Not `iterations` on Keras 3: with accumulated gradients it is computed anew from this variable.
    return optimizer.iterations if LEGACY else optimizer._iterations


def _without_loss_scale(optimizer: Optimizer) -> Optimizer:
    return getattr(optimizer, "inner_optimizer", optimizer)


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

    The state is the step counter, the slots, the learning rate if it is a variable, and the loss scale if it changes.
    """
    variables = list(optimizer.variables)
    if not LEGACY:
        return variables  # Keras 3 lists them all
    if (rate := learning_rate_variable(optimizer)) is not None:
        variables.append(rate)
    scale: Any = getattr(optimizer, "_loss_scale", None)  # a plain number if it does not change
    return [*variables, scale._current_loss_scale, scale._counter] if hasattr(scale, "_counter") else variables


def moving_averages(optimizer: Optimizer | None, weights: Iterable[Variable]) -> list[tuple[Variable, Variable]]:
    """Return the weights that `optimizer` averages (`use_ema`), each with its average.

    Args:
        optimizer: Any optimizer, or None. One that is not built has no averages yet.
        weights: The weights to look for.
    """
    averages = []
    for plain in _averaging(optimizer):
        positions = getattr(plain, "_index_dict" if LEGACY else "_trainable_variables_indices", {})
        for weight in weights:
            position = positions.get(plain._var_key(weight))
            if position is not None and (average := plain._model_variables_moving_average[position]) is not None:
                averages.append((weight, average))
    return averages


def _averaging(optimizer: Optimizer | None) -> list[Optimizer]:
    """Return the optimizers with `use_ema` in `optimizer`, which may scale losses or contain several optimizers."""
    optimizer = _without_loss_scale(optimizer)
    return [plain for plain in getattr(optimizer, "optimizers", [optimizer]) if getattr(plain, "use_ema", False)]
