"""Optimizers by name. This module imports Keras only when it creates one."""

from dataclasses import dataclass
from typing import Any

# Name -> the class in `keras.optimizers`, and the fields of `OptimizerSettings` that it takes.
OPTIMIZERS = {
    "adam": ("Adam", ("epsilon",)),
    "sgd": ("SGD", ("momentum", "nesterov")),
    "rmsprop": ("RMSprop", ("momentum", "epsilon")),
}


@dataclass(frozen=True)
class OptimizerSettings:
    """The settings of an optimizer besides its learning rate.

    Attributes:
        momentum: Momentum of `"sgd"` and `"rmsprop"`. The velocity of Keras holds steps, not gradients: when the
            learning rate drops, earlier gradients keep the old rate (in PyTorch and TensorFlow 1, the velocity of
            `"sgd"` is scaled by the new one). Defaults to 0.9.
        nesterov: Whether `"sgd"` uses Nesterov momentum. Defaults to False.
        epsilon: Epsilon of `"adam"` and `"rmsprop"`; that of `"rmsprop"` is inside the root, as in TensorFlow 1.
            Defaults to 1e-7.
        average: Momentum of an exponential moving average of the weights, 0-1. Defaults to 0: no average.
    """

    momentum: float = 0.9
    nesterov: bool = False
    epsilon: float = 1e-7
    average: float = 0.0


def make(name: str, rate: Any, settings: OptimizerSettings = OptimizerSettings(), *, scale_loss: bool = False) -> Any:
    """Create a new optimizer.

    Args:
        name: One of `OPTIMIZERS`.
        rate: Its learning rate: a number or a schedule of Keras.
        settings: The other settings. Defaults to `OptimizerSettings()`.
        scale_loss: Whether to scale the loss dynamically, as float16 requires. Defaults to False.

    Returns:
        An optimizer of Keras.
    """
    from tf_lottery.keras_compat import keras

    kind, names = OPTIMIZERS[name]
    averages = {"use_ema": True, "ema_momentum": settings.average} if settings.average else {}
    own = {setting: getattr(settings, setting) for setting in names}
    optimizer = getattr(keras.optimizers, kind)(rate, **own, **averages)
    return keras.mixed_precision.LossScaleOptimizer(optimizer) if scale_loss else optimizer
