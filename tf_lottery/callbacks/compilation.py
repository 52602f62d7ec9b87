"""How a model is compiled at some moment of a `fit`, and which optimizers train it unseen."""

import copy
import warnings
import weakref
from dataclasses import dataclass
from typing import Any

from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import Layer, Model, Optimizer


@dataclass(frozen=True)
class Compilation:
    """How a model is compiled.

    Attributes:
        optimizers: Its optimizers, by path.
        trainable: `trainable` of each of its layers.
        config: What `compile_from_config` takes; None if something in it has no config.
    """

    optimizers: dict[str, Optimizer]
    trainable: list[tuple[Layer, bool]]
    config: dict[str, Any] | None

    @classmethod
    def of(cls, model: Model) -> "Compilation":
        """Return how `model` is compiled now."""
        return cls(
            keras_compat.owned_optimizers(model),
            keras_compat.trainable_flags(model),
            keras_compat.compile_config(model),
        )

    def bring_back(self, model: Model) -> None:
        """Give `model` these optimizers and `trainable` flags again, if `compile` was called since.

        Warns:
            UserWarning: something else of the compilation is different now; it is named and stays so.
        """
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


class UnseenOptimizers:
    """The optimizers that are no attributes of a model, such as those that its `train_step` finds in a closure."""

    def __init__(self, model: Model):
        others = keras_compat.other_optimizers(keras_compat.owned_optimizers(model).values())
        self._before = [(weakref.ref(one), keras_compat.batches_trained(one)) for one in others]

    def warn_if_trained(self, model: Model) -> None:
        """Warn of those that have trained weights of `model` since."""
        alive = [(one(), count) for one, count in self._before]
        trained = [
            f"{one.name} ({type(one).__name__})"
            for one, count in alive
            if one is not None
            and keras_compat.built_on(one, model.variables)
            and keras_compat.batches_trained(one) > count
        ]
        if trained:
            keras_compat.warn(
                f"{', '.join(trained)} trained weights of the model and cannot be rewound: make each optimizer an "
                "attribute of the model, such as `model.d_optimizer`, before `fit`."
            )
