"""Optimizers, where Keras 3 and legacy Keras differ in them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tf_lottery.errors import ConfigError
from tf_lottery.keras_compat.backend import LEGACY, Variable


def build_optimizer(model: Any) -> Any:
    """Return the optimizer of a compiled model, with its slots: Keras makes them in the first step only.

    Raises:
        ConfigError: there is no optimizer, or it is one of legacy Keras' legacy ones.
    """
    if not hasattr(model.optimizer, "build"):
        raise ConfigError(
            f"The model must be compiled with an optimizer of `keras.optimizers`. Received: {model.optimizer!r}"
        )
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)
    return model.optimizer


def learning_rate_variable(optimizer: Any) -> Variable | None:
    """Return the variable that holds a learning rate that is no schedule."""
    rate = getattr(getattr(optimizer, "inner_optimizer", optimizer), "_learning_rate", None)
    return rate if hasattr(rate, "assign") else None


def batches_trained(optimizer: Any) -> int:
    """Return how many batches `optimizer` has seen, those between two accumulated updates included."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return int((optimizer.iterations if LEGACY else optimizer._iterations).numpy())


def clock_variables(optimizer: Any) -> list[Variable]:
    """Return the variables of `optimizer` that say where in its training it is: step counters and learning rate."""
    counters, rate = step_counters(optimizer), learning_rate_variable(optimizer)
    return counters if rate is None else [*counters, rate]


def step_counters(optimizer: Any) -> list[Variable]:
    """Return the variables that count the steps of `optimizer`, and of the one inside it that it scales losses for."""
    optimizers = {id(part): part for part in (optimizer, getattr(optimizer, "inner_optimizer", optimizer))}
    # Not `iterations` on Keras 3: with accumulated gradients that is a number worked out anew.
    return [part.iterations if LEGACY else part._iterations for part in optimizers.values()]


def scaled_loss(optimizer: Any, loss: Any) -> Any:
    """What to take the gradients of, for `apply_scaled_gradients`: some optimizers scale the loss first."""
    if hasattr(optimizer, "get_scaled_loss"):
        return optimizer.get_scaled_loss(loss)  # legacy Keras
    return optimizer.scale_loss(loss) if hasattr(optimizer, "scale_loss") else loss


def apply_scaled_gradients(optimizer: Any, gradients: Sequence[Any], weights: Sequence[Variable]) -> None:
    """One step of `optimizer` along gradients of a `scaled_loss`; sums them over replicas."""
    if hasattr(optimizer, "get_unscaled_gradients"):
        gradients = optimizer.get_unscaled_gradients(gradients)  # legacy Keras; Keras 3 does it by itself
    optimizer.apply_gradients(zip(gradients, weights, strict=True))


def optimizer_variables(optimizer: Any) -> Sequence[Variable]:
    """Return all state of `optimizer` in a fixed order: step counter, slots, learning rate where it is one, loss scale."""
    variables = list(optimizer.variables)
    if not LEGACY:
        return variables  # Keras 3 lists them all
    if (rate := learning_rate_variable(optimizer)) is not None:
        variables.append(rate)
    scale: Any = getattr(optimizer, "_loss_scale", None)  # a plain number where it does not change
    return [*variables, scale._current_loss_scale, scale._counter] if hasattr(scale, "_counter") else variables


def moving_averages(optimizer: Any, weights: Iterable[Variable]) -> list[tuple[Variable, Variable]]:
    """Those of the weights that `optimizer` averages (`use_ema`), each with its average; none before it is built."""
    averages = []
    for plain in _averaging(optimizer):
        positions = getattr(plain, "_index_dict" if LEGACY else "_trainable_variables_indices", {})
        for weight in weights:
            position = positions.get(plain._var_key(weight))
            if position is not None and (average := plain._model_variables_moving_average[position]) is not None:
                averages.append((weight, average))
    return averages


def change_averages(optimizer: Any, change: Callable[[Variable, Variable], Any]) -> None:
    """From now on each update of a moving average in `optimizer` ends with `change(weight, average)`.

    Both Kerases average before they apply the constraints. Does nothing if the optimizer does so already.
    """
    for plain in _averaging(optimizer):
        update = plain._update_model_variables_moving_average
        if getattr(update, "change", None) is not change:
            plain._update_model_variables_moving_average = _changing(plain, update, change)


def _changing(optimizer: Any, update: Callable[..., Any], change: Callable[..., Any]) -> Callable[..., Any]:
    def update_and_change(variables: Sequence[Variable]) -> None:
        update(variables)
        for weight, average in moving_averages(optimizer, variables):
            change(weight, average)

    update_and_change.change = change  # type: ignore[attr-defined]
    return update_and_change


def _averaging(optimizer: Any) -> list[Any]:
    """Return the optimizers with `use_ema` in `optimizer`, which may scale losses or hold several."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return [plain for plain in getattr(optimizer, "optimizers", [optimizer]) if getattr(plain, "use_ema", False)]
