"""Optimizers by name. This module imports Keras only when it makes one."""

from dataclasses import dataclass
from typing import Any

# Name -> the class in `keras.optimizers`, and which of `Settings` it takes.
OPTIMIZERS = {
    "adam": ("Adam", ("epsilon",)),
    "sgd": ("SGD", ("momentum", "nesterov")),
    "rmsprop": ("RMSprop", ("momentum", "epsilon")),
}


@dataclass(frozen=True)
class Settings:
    """What an optimizer is made of besides its learning rate.

    Attributes:
        momentum: Of `"sgd"` and `"rmsprop"`. Keras' velocity holds steps, not gradients: when the learning rate drops,
            what it has gathered still goes on at the old rate (in PyTorch and TensorFlow 1, `"sgd"` at the new one).
        nesterov: Whether the momentum of `"sgd"` is Nesterov's.
        epsilon: Of `"adam"` and `"rmsprop"`; the latter's stands inside the root, as in TensorFlow 1.
        average: Momentum of an exponential moving average of the weights, 0-1; 0: none.
    """

    momentum: float = 0.9
    nesterov: bool = False
    epsilon: float = 1e-7
    average: float = 0.0


def make(name: str, rate: Any, settings: Settings = Settings(), *, scale_loss: bool = False) -> Any:
    """Make a new optimizer.

    Args:
        name: One of `OPTIMIZERS`.
        rate: Its learning rate: a number or a schedule of Keras.
        settings: Everything else. Defaults to those of `Settings`.
        scale_loss: Whether it scales the loss dynamically, as float16 needs it. Defaults to False.

    Returns:
        An optimizer of Keras.
    """
    from tf_lottery.keras_compat import keras

    kind, names = OPTIMIZERS[name]
    averages = {"use_ema": True, "ema_momentum": settings.average} if settings.average else {}
    own = {setting: getattr(settings, setting) for setting in names}
    optimizer = getattr(keras.optimizers, kind)(rate, **own, **averages)
    return keras.mixed_precision.LossScaleOptimizer(optimizer) if scale_loss else optimizer
