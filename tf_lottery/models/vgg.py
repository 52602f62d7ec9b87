"""The VGGs for CIFAR (after Simonyan & Zisserman, arXiv 1409.1556) with BatchNorm and one dense layer, the output."""

from typing import Any

from tf_lottery.keras_compat import keras
from tf_lottery.models import shapes

_CONVS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)


def vgg(input_shape: tuple[int, ...], num_classes: int, depth: int) -> Any:
    """Five groups of 3x3 convolutions, the first four max-pooled; global average pooling, logits.

    As in arXiv 1803.03635 (App. I) and the framework of its authors (facebookresearch/open_lth, models/cifar_vgg.py):
    biases, then BatchNorm (epsilon 1e-5, momentum 0.9) and ReLU after every convolution, Gaussian Glorot
    initialisation. `depth` counts the two hidden dense layers of the first VGGs, which are not there.

    VGG-19 on (32, 32, 3) and 10 classes has 20,040,522 trainable parameters: 20,018,880 weights of convolutions and
    5,120 of the output (20,024,000 prunable together), 5,514 biases and 11,008 of BatchNorm. With the 11,008 moving
    statistics there are 20,051,530.

    Args:
        input_shape: Of images.
        num_classes: Length of the logits.
        depth: 11, 13, 16 or 19.

    Raises:
        ModelError: not images, or smaller than the 16 x 16 that four poolings need.
    """
    name = f"vgg_{depth}"
    shapes.require(name, input_shape, smallest=16)
    model = keras.Sequential([keras.Input(input_shape)], name=name)
    for group, (convs, width) in enumerate(zip(_CONVS[depth], _WIDTHS, strict=True), start=1):
        for number in range(1, convs + 1):
            end = f"{group}_{number}"
            model.add(
                keras.layers.Conv2D(width, 3, padding="same", kernel_initializer="glorot_normal", name=f"conv{end}")
            )
            model.add(keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"norm{end}"))
            model.add(keras.layers.ReLU(name=f"relu{end}"))
        if group < len(_WIDTHS):
            model.add(keras.layers.MaxPooling2D(name=f"pool{group}"))
    model.add(keras.layers.GlobalAveragePooling2D(name="average"))
    model.add(keras.layers.Dense(num_classes, kernel_initializer="glorot_normal", name="output"))
    return model
