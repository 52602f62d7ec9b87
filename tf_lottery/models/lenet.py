"""LeNet-300-100 (LeCun et al. 1998), the fully connected network of the lottery ticket papers."""

from typing import Any

from tf_lottery.keras_compat import keras


def lenet_300_100(input_shape: tuple[int, ...], num_classes: int) -> Any:
    """Return two hidden ReLU layers of 300 and 100 units, Gaussian Glorot initialisation, logits out.

    On 784 inputs and 10 classes it has 266,610 parameters (Frankle & Carbin 2019, Fig. 2).
    """
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(300, activation="relu", kernel_initializer="glorot_normal"),
            keras.layers.Dense(100, activation="relu", kernel_initializer="glorot_normal"),
            keras.layers.Dense(num_classes, kernel_initializer="glorot_normal", name="output"),
        ],
        name="lenet_300_100",
    )
