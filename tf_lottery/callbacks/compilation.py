"""How a model is compiled: at some moment of a `fit`, and written as settings."""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tf_lottery import keras_compat
from tf_lottery.errors import ConfigError, ModelError
from tf_lottery.keras_compat import Layer, Model, Optimizer
from tf_lottery.masking import naming


@dataclass(frozen=True)
class Compilation:
    """The compilation of a model at some moment.

    Attributes:
        optimizers: Its optimizers, by path.
        rates: Their learning rates: variables, schedules and functions.
        trainable: `trainable` of each of its layers.
        config: What `compile_from_config` takes; None if something in it has no config.
    """

    optimizers: dict[str, Optimizer]
    rates: dict[str, list[Any]]
    trainable: list[tuple[Layer, bool]]
    config: dict[str, Any] | None

    @classmethod
    def of(cls, model: Model) -> "Compilation":
        """Return the present compilation of `model`."""
        optimizers = keras_compat.owned_optimizers(model)
        return cls(
            optimizers,
            {path: keras_compat.learning_rates(optimizer) for path, optimizer in optimizers.items()},
            keras_compat.trainable_flags(model),
            keras_compat.compile_config(model),
        )

    def bring_back(self, model: Model) -> None:
        """Give `model` these optimizers and `trainable` flags again, if `compile` was called since.

        Raises:
            ConfigError: an optimizer has another learning-rate object now, such as a schedule instead of a number.

        Warns:
            UserWarning: something else of the compilation is different now; it is named and stays so.
        """
        self._check_rates()
        now = keras_compat.owned_optimizers(model)
        other = [path for path, optimizer in self.optimizers.items() if now.get(path) is not optimizer]
        stay = [path for path in other if not keras_compat.set_optimizer(model, path, self.optimizers[path])]
        is_other = keras_compat.set_trainable(self.trainable)
        if other or is_other:
            keras_compat.retrace_training(model)
            config, before = keras_compat.compile_config(model) or {}, self.config or {}
            stay += [name for name in before if name != "optimizer" and config.get(name) != before[name]]
        if stay:
            keras_compat.warn(
                f"`compile` in `fit` has changed {', '.join(stay)}: later levels start with the new ones, because only "
                "optimizers and `trainable` can be brought back."
            )

    def _check_rates(self) -> None:
        for path, optimizer in self.optimizers.items():
            for rate, now in zip(self.rates[path], keras_compat.learning_rates(optimizer), strict=True):
                if now is not rate:
                    raise ConfigError(
                        f"The learning rate of {path or 'the optimizer'} cannot go back to step k: in `fit`, "
                        f"{type(rate).__name__} was replaced by {type(now).__name__}. Let callbacks assign numbers, as "
                        "`LearningRateScheduler` does, or give the optimizer the schedule when you make it."
                    )

    def compile_like(self, new: Model) -> None:
        """Compile a new model of the same architecture like this.

        Raises:
            ModelError: it cannot be compiled from a config.
        """
        layers = keras_compat.all_layers(new)
        if len(layers) == len(self.trainable):
            flags = [flag for _, flag in self.trainable]
            keras_compat.set_trainable(list(zip(layers, flags, strict=True)))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Keras warns of a `compile` of the model's own, and does nothing
                new.compile_from_config(copy.deepcopy(self.config or {}))
            made = {
                path: len(keras_compat.step_counters(one)) for path, one in keras_compat.owned_optimizers(new).items()
            }
            if not made:
                raise ValueError("Its class has a `compile` of its own, or a loss or metric without a config.")
            # Optimizers that are not built yet have no others inside.
            inside = {path: len(keras_compat.step_counters(one)) for path, one in self.optimizers.items()}
            if any(inside.get(path, 1) < count for path, count in made.items()):
                raise ValueError("Its MultiOptimizer uses one optimizer in several places, which its config hides.")
        except (AttributeError, KeyError, TypeError, ValueError, NotImplementedError) as error:
            raise ModelError(
                "The model cannot be compiled again from its config. Give `control(…, model=…)` a new prunable model "
                f"that you have compiled. {error}"
            ) from error


def as_json(model: Model, optimizers: Mapping[str, Optimizer]) -> dict[str, Any]:
    """Return what decides how `model` trains and has to be equal to resume it, as JSON values.

    Args:
        model: A compiled model.
        optimizers: Its optimizers, by path.
    """
    return {
        "optimizer": ", ".join(type(optimizer).__name__ for optimizer in optimizers.values()),
        "optimizer_settings": {path: keras_compat.plain_settings(one) for path, one in optimizers.items()},
        "loss": _written(getattr(model, "loss", None)),
        "loss_weights": (keras_compat.compile_config(model) or {}).get("loss_weights"),
        "frozen": ", ".join(naming.frozen_layers(model)) or "none",
    }


def _written(loss: Any) -> Any:
    """Return a loss, or several in a list or dict, as JSON values: by its name, and by the settings that it tells."""
    if isinstance(loss, Mapping):
        return {str(name): _written(one) for name, one in loss.items()}
    if isinstance(loss, list | tuple):
        return [_written(one) for one in loss]
    if loss is None or isinstance(loss, str):
        return loss
    name = getattr(loss, "__qualname__", type(loss).__qualname__)
    try:
        config = loss.get_config()
    except Exception:  # functions have no config, and whatever a loss of the user raises
        return name
    return {name: {key: value for key, value in config.items() if isinstance(value, bool | int | float | str)}}
