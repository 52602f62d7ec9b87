"""The layers of which ResNets are made, for images and for signals: the shape of what comes in decides."""

from typing import Any

from tf_lottery.keras_compat import keras


def conv(x: Any, filters: int, size: int, stride: int, initializer: str, name: str) -> Any:
    """Return a convolution without bias; strided ones see equal numbers of zeros on both sides, as in the sources."""
    dimensions = len(x.shape) - 2
    padding = "same"
    if stride > 1:  # where "same" would put all zeros behind
        padding = "valid"
        if size > 1:
            x = getattr(keras.layers, f"ZeroPadding{dimensions}D")(size // 2, name=f"{name}_zeros")(x)
    convolution = getattr(keras.layers, f"Conv{dimensions}D")
    return convolution(filters, size, stride, padding, use_bias=False, kernel_initializer=initializer, name=name)(x)


def norm(x: Any, name: str, gamma: str = "ones") -> Any:
    """BatchNorm with the settings of all ResNets here; `gamma` is the initializer of its scale."""
    return keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9, gamma_initializer=gamma, name=name)(x)


def relu(x: Any, name: str) -> Any:
    """Return a layer of its own, so that its output can be looked at."""
    return keras.layers.ReLU(name=name)(x)
