"""ResNet-50 for ImageNet (He et al., arXiv 1512.03385), in the form of the TPU reference model."""

from typing import Any

from tf_lottery.keras_compat import keras
from tf_lottery.models import resnet_layers, shapes
from tf_lottery.models.resnet_layers import norm, relu

_BLOCKS = (3, 4, 6, 3)


def resnet_50(input_shape: tuple[int, ...], num_classes: int) -> Any:
    """Return a 7x7 convolution, max-pooling, 16 bottleneck blocks in four stages, global average pooling, logits.

    After tensorflow/tpu, models/official/resnet/resnet_model.py, which the paper trained: convolutions without biases
    (keras.applications has them); strides in the 3x3 convolutions, on zeros padded alike on all sides; BatchNorm
    with epsilon 1e-5 and momentum 0.9, its last gamma in each block starting at 0; kernels from a truncated normal with
    variance 1 / inputs, the output's from a normal with standard deviation 0.01.

    On 3 channels and 1,000 classes there are 25,557,032 trainable parameters (25.5M in the paper): 25,502,912 weights
    of convolutions and output, all prunable, of which 2,768,896 are shortcuts and 2,048,000 the output; 1,000 biases
    and 53,120 of BatchNorm. With the 53,120 moving statistics there are 25,610,152.

    Args:
        input_shape: Of images; any size will do, the reference has 224 x 224.
        num_classes: Length of the logits.

    Raises:
        ModelError: not images.
    """
    shapes.require("resnet_50", input_shape)
    image = keras.Input(input_shape)
    x = _normed(image, 64, 7, 2, "stem_conv", "stem_norm")
    x = keras.layers.MaxPooling2D(3, 2, "same", name="stem_pool")(relu(x, "stem_relu"))
    for stage, blocks in enumerate(_BLOCKS, start=1):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = _bottleneck(x, 2 ** (stage + 5), stride, block == 1, f"stage{stage}_block{block}")
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    normal = keras.initializers.RandomNormal(stddev=0.01)
    logits = keras.layers.Dense(num_classes, kernel_initializer=normal, name="output")(x)
    return keras.Model(image, logits, name="resnet_50")


def _bottleneck(x: Any, filters: int, stride: int, projects: bool, name: str) -> Any:
    shortcut = x
    if projects:
        shortcut = _normed(x, 4 * filters, 1, stride, f"{name}_shortcut", f"{name}_shortcut_norm")
    x = relu(_normed(x, filters, 1, 1, f"{name}_conv1", f"{name}_norm1"), f"{name}_relu1")
    x = relu(_normed(x, filters, 3, stride, f"{name}_conv2", f"{name}_norm2"), f"{name}_relu2")
    x = _normed(x, 4 * filters, 1, 1, f"{name}_conv3", f"{name}_norm3", gamma="zeros")
    return relu(keras.layers.Add(name=f"{name}_add")([x, shortcut]), f"{name}_relu3")


def _normed(x: Any, filters: int, size: int, stride: int, conv_name: str, norm_name: str, gamma: str = "ones") -> Any:
    return norm(resnet_layers.conv(x, filters, size, stride, "lecun_normal", conv_name), norm_name, gamma)
