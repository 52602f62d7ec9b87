"""The ResNets for CIFAR (He et al., arXiv 1512.03385, section 4.2); depth 20 is what the paper calls ResNet-18."""

from typing import Any

from tf_lottery.keras_compat import keras
from tf_lottery.models import resnet_layers, shapes
from tf_lottery.models.resnet_layers import norm, relu

_INITIALIZER = "glorot_normal"


def resnet(input_shape: tuple[int, ...], num_classes: int, depth: int, width: int = 16, dimensions: int = 2) -> Any:
    """Return a 3x3 convolution, three stages of residual blocks, global average pooling, logits.

    As in the framework of the paper's authors (facebookresearch/open_lth, models/cifar_resnet.py): convolutions without
    biases, BatchNorm (epsilon 1e-5, momentum 0.9), 1x1 projections with BatchNorm where the shape changes, one pixel of
    zeros around what is convolved with stride 2. Gaussian Glorot initialisation (arXiv 1803.03635, App. I).

    ResNet-20 on (32, 32, 3) and 10 classes has 272,474 trainable parameters: 267,696 weights of 3x3 convolutions, 2,560
    of shortcuts, 640 of the output (270,896 prunable together), 10 biases and 1,568 of BatchNorm. With the 1,568 moving
    statistics there are 274,042, the 274K of the paper.

    Args:
        input_shape: Of images or, with 1 dimension, of signals; any size will do.
        num_classes: Length of the logits.
        depth: Number of layers, shortcuts not counted: 2 + 6 times the blocks of a stage.
        width: Channels of the first stage; the others have twice and four times as many.
        dimensions: 2 for images; 1 for signals of shape (length, channels), with kernels of 3 and 1.

    Raises:
        ModelError: not images, or not signals.
    """
    name = f"resnet_{depth}" + ("" if width == 16 else f"_w{width}") + ("_1d" if dimensions == 1 else "")
    shapes.require(name, input_shape, dimensions=dimensions)
    example = keras.Input(input_shape)
    x = resnet_layers.conv(example, width, 3, 1, _INITIALIZER, "stem_conv")
    x = relu(norm(x, "stem_norm"), "stem_relu")
    for stage in (1, 2, 3):
        for block in range(1, (depth - 2) // 6 + 1):
            halves = stage > 1 and block == 1
            x = _block(x, width * 2 ** (stage - 1), halves, f"stage{stage}_block{block}")
    x = getattr(keras.layers, f"GlobalAveragePooling{dimensions}D")(name="average")(x)
    logits = keras.layers.Dense(num_classes, kernel_initializer=_INITIALIZER, name="output")(x)
    return keras.Model(example, logits, name=name)


def _block(x: Any, filters: int, halves: bool, name: str) -> Any:
    shortcut, stride = x, 2 if halves else 1
    x = resnet_layers.conv(x, filters, 3, stride, _INITIALIZER, f"{name}_conv1")
    x = relu(norm(x, f"{name}_norm1"), f"{name}_relu1")
    x = resnet_layers.conv(x, filters, 3, 1, _INITIALIZER, f"{name}_conv2")
    x = norm(x, f"{name}_norm2")
    if halves:
        shortcut = resnet_layers.conv(shortcut, filters, 1, stride, _INITIALIZER, f"{name}_shortcut")
        shortcut = norm(shortcut, f"{name}_shortcut_norm")
    return relu(keras.layers.Add(name=f"{name}_add")([x, shortcut]), f"{name}_relu2")
