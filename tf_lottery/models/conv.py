"""Conv-2, Conv-4 and Conv-6, scaled-down VGGs of the original lottery ticket paper (arXiv 1803.03635, Fig. 2)."""

from typing import Any

from tf_lottery.keras_compat import keras
from tf_lottery.models import shapes

_WIDTHS = (64, 128, 256)


def conv(input_shape: tuple[int, ...], num_classes: int, depth: int) -> Any:
    """Pairs of 3x3 convolutions of 64, 128 and 256 channels, each pair max-pooled, then layers of 256, 256 and output.

    ReLU, biases, no BatchNorm, Gaussian Glorot initialisation. On (32, 32, 3) and 10 classes there are 4,300,992
    (depth 2), 2,425,024 (4) and 2,261,184 (6) weights besides the biases, which are 650, 906 and 1,418. The paper
    prints 4.3M, 2.4M and, for Conv-6, 1.7M; its densities of Conv-6 fit the count here.

    Args:
        input_shape: Of images.
        num_classes: Length of the logits.
        depth: Number of convolutions: 2, 4 or 6.

    Raises:
        ModelError: not images, or smaller than 2, 4 or 8 pixels a side, which the poolings need.
    """
    name = f"conv_{depth}"
    shapes.require(name, input_shape, smallest=2 ** (depth // 2))
    model = keras.Sequential([keras.Input(input_shape)], name=name)
    for pair, width in enumerate(_WIDTHS[: depth // 2]):
        for number in (2 * pair + 1, 2 * pair + 2):
            model.add(_relu(keras.layers.Conv2D, width, 3, padding="same", name=f"conv{number}"))
        model.add(keras.layers.MaxPooling2D(name=f"pool{pair + 1}"))
    model.add(keras.layers.Flatten(name="flatten"))
    for number in (1, 2):
        model.add(_relu(keras.layers.Dense, 256, name=f"dense{number}"))
    model.add(keras.layers.Dense(num_classes, kernel_initializer="glorot_normal", name="output"))
    return model


def _relu(layer: Any, *arguments: Any, **settings: Any) -> Any:
    return layer(*arguments, activation="relu", kernel_initializer="glorot_normal", **settings)
