"""The networks without branches: LeNet-300-100, Conv-2, Conv-4 and Conv-6, and the VGGs for CIFAR."""

from typing import Any

from tf_lottery.keras_compat import Layer, Model, keras
from tf_lottery.models import require_shape

_CONV_WIDTHS = (64, 128, 256)
_VGG_WIDTHS = (64, 128, 256, 512, 512)
_VGG_CONVS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def lenet_300_100(input_shape: tuple[int, ...], num_classes: int) -> Model:
    """Build LeNet-300-100 (LeCun et al. 1998), the fully connected network of the lottery ticket papers.

    It has two hidden ReLU layers of 300 and 100 units, and Gaussian Glorot initialisation. On 784 inputs and 10 classes
    it has 266,610 parameters (Frankle & Carbin 2019, Fig. 2).

    Args:
        input_shape: Any shape; examples are flattened.
        num_classes: Length of the logits.
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


def conv(input_shape: tuple[int, ...], num_classes: int, depth: int) -> Model:
    """Build Conv-2, Conv-4 or Conv-6, scaled-down VGGs of the original paper (arXiv 1803.03635, Fig. 2).

    The network has pairs of 3x3 convolutions of 64, 128 and 256 channels, each pair max-pooled, then dense layers of
    256, 256 and `num_classes` units. It has ReLU, biases, no BatchNorm, and Gaussian Glorot initialisation.

    On (32, 32, 3) and 10 classes there are 4,300,992 (depth 2), 2,425,024 (4) and 2,261,184 (6) weights besides the
    biases, which are 650, 906 and 1,418. The paper prints 4.3M, 2.4M and, for Conv-6, 1.7M; its densities of Conv-6 fit
    the count here.

    Args:
        input_shape: Shape of an image.
        num_classes: Length of the logits.
        depth: Number of convolutions: 2, 4 or 6.

    Raises:
        ModelError: `input_shape` is not that of an image, or has fewer than the 2, 4 or 8 pixels a side that the
            poolings need.
    """
    name = f"conv_{depth}"
    require_shape(name, input_shape, smallest=2 ** (depth // 2))
    model = keras.Sequential([keras.Input(input_shape)], name=name)
    for pair, width in enumerate(_CONV_WIDTHS[: depth // 2]):
        for number in (2 * pair + 1, 2 * pair + 2):
            model.add(_with_relu(keras.layers.Conv2D, width, 3, padding="same", name=f"conv{number}"))
        model.add(keras.layers.MaxPooling2D(name=f"pool{pair + 1}"))
    model.add(keras.layers.Flatten(name="flatten"))
    for number in (1, 2):
        model.add(_with_relu(keras.layers.Dense, 256, name=f"dense{number}"))
    model.add(keras.layers.Dense(num_classes, kernel_initializer="glorot_normal", name="output"))
    return model


def vgg(input_shape: tuple[int, ...], num_classes: int, depth: int) -> Model:
    """Build a VGG for CIFAR (after Simonyan & Zisserman, arXiv 1409.1556), with BatchNorm and one dense layer.

    The network has five groups of 3x3 convolutions, the first four max-pooled, then global average pooling and the
    logits. As in arXiv 1803.03635 (App. I) and the framework of its authors (facebookresearch/open_lth,
    models/cifar_vgg.py), every convolution has biases and is followed by BatchNorm (epsilon 1e-5, momentum 0.9) and
    ReLU; initialisation is Gaussian Glorot. `depth` counts the two hidden dense layers of the first VGGs, which this
    network does not have.

    VGG-19 on (32, 32, 3) and 10 classes has 20,040,522 trainable parameters: 20,018,880 weights of convolutions and
    5,120 of the output (20,024,000 prunable together), 5,514 biases and 11,008 of BatchNorm. With the 11,008 moving
    statistics there are 20,051,530.

    Args:
        input_shape: Shape of an image.
        num_classes: Length of the logits.
        depth: 11, 13, 16 or 19.

    Raises:
        ModelError: `input_shape` is not that of an image, or is smaller than the 16 x 16 that four poolings need.
    """
    name = f"vgg_{depth}"
    require_shape(name, input_shape, smallest=16)
    model = keras.Sequential([keras.Input(input_shape)], name=name)
    for group, (convs, width) in enumerate(zip(_VGG_CONVS[depth], _VGG_WIDTHS, strict=True), start=1):
        for number in range(1, convs + 1):
            end = f"{group}_{number}"
            model.add(
                keras.layers.Conv2D(width, 3, padding="same", kernel_initializer="glorot_normal", name=f"conv{end}")
            )
            model.add(keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"norm{end}"))
            model.add(keras.layers.ReLU(name=f"relu{end}"))
        if group < len(_VGG_WIDTHS):
            model.add(keras.layers.MaxPooling2D(name=f"pool{group}"))
    model.add(keras.layers.GlobalAveragePooling2D(name="average"))
    model.add(keras.layers.Dense(num_classes, kernel_initializer="glorot_normal", name="output"))
    return model


def _with_relu(layer: type[Layer], *arguments: Any, **settings: Any) -> Layer:
    return layer(*arguments, activation="relu", kernel_initializer="glorot_normal", **settings)
