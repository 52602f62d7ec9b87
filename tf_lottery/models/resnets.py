"""Residual networks (He et al., arXiv 1512.03385): those for CIFAR and for signals, and ResNet-50 for ImageNet."""

from typing import Any

from tf_lottery.keras_compat import Model, keras
from tf_lottery.models import require_shape

_CIFAR_INITIALIZER = "glorot_normal"
_RESNET_50_BLOCKS = (3, 4, 6, 3)


def cifar_resnet(
    input_shape: tuple[int, ...], num_classes: int, depth: int, width: int = 16, dimensions: int = 2
) -> Model:
    """Build a ResNet for CIFAR (section 4.2 of the paper); depth 20 is what the lottery ticket papers call ResNet-18.

    The network has a 3x3 convolution, three stages of residual blocks, global average pooling and the logits. As in the
    framework of the lottery ticket papers' authors (facebookresearch/open_lth, models/cifar_resnet.py), it has
    convolutions without biases, BatchNorm (epsilon 1e-5, momentum 0.9), 1x1 projections with BatchNorm where the shape
    changes, and one pixel of zeros around the input of each convolution of stride 2. Initialisation is Gaussian Glorot
    (arXiv 1803.03635, App. I).

    ResNet-20 on (32, 32, 3) and 10 classes has 272,474 trainable parameters: 267,696 weights of 3x3 convolutions, 2,560
    of shortcuts, 640 of the output (270,896 prunable together), 10 biases and 1,568 of BatchNorm. With the 1,568 moving
    statistics there are 274,042, the 274K of the paper.

    Args:
        input_shape: Shape of an image or, with 1 dimension, of a signal, of any size.
        num_classes: Length of the logits.
        depth: Number of layers, shortcuts not counted: 2 + 6 times the blocks of a stage.
        width: Channels of the first stage; the others have twice and four times as many. Defaults to 16.
        dimensions: 2 for images; 1 for signals of shape (length, channels), with kernels of 3 and 1. Defaults to 2.

    Raises:
        ModelError: `input_shape` is not that of an image or, with 1 dimension, not that of a signal.
    """
    name = f"resnet_{depth}" + ("" if width == 16 else f"_w{width}") + ("_1d" if dimensions == 1 else "")
    require_shape(name, input_shape, dimensions=dimensions)
    example = keras.Input(input_shape)
    x = _conv(example, width, 3, initializer=_CIFAR_INITIALIZER, name="stem_conv")
    x = _relu(_norm(x, "stem_norm"), "stem_relu")
    for stage in (1, 2, 3):
        for block in range(1, (depth - 2) // 6 + 1):
            halves = stage > 1 and block == 1
            x = _basic_block(x, width * 2 ** (stage - 1), halves=halves, name=f"stage{stage}_block{block}")
    x = getattr(keras.layers, f"GlobalAveragePooling{dimensions}D")(name="average")(x)
    logits = keras.layers.Dense(num_classes, kernel_initializer=_CIFAR_INITIALIZER, name="output")(x)
    return keras.Model(example, logits, name=name)


def _basic_block(x: Any, filters: int, *, halves: bool, name: str) -> Any:
    """Apply two 3x3 convolutions with a residual connection; with `halves`, the first has stride 2."""
    shortcut, stride = x, 2 if halves else 1
    x = _conv(x, filters, 3, stride=stride, initializer=_CIFAR_INITIALIZER, name=f"{name}_conv1")
    x = _relu(_norm(x, f"{name}_norm1"), f"{name}_relu1")
    x = _conv(x, filters, 3, initializer=_CIFAR_INITIALIZER, name=f"{name}_conv2")
    x = _norm(x, f"{name}_norm2")
    if halves:
        shortcut = _conv(shortcut, filters, 1, stride=stride, initializer=_CIFAR_INITIALIZER, name=f"{name}_shortcut")
        shortcut = _norm(shortcut, f"{name}_shortcut_norm")
    return _relu(keras.layers.Add(name=f"{name}_add")([x, shortcut]), f"{name}_relu2")


def resnet_50(input_shape: tuple[int, ...], num_classes: int) -> Model:
    """Build ResNet-50 for ImageNet as the TPU reference model has it.

    The network has a 7x7 convolution, max-pooling, 16 bottleneck blocks in four stages, global average pooling and the
    logits. As in tensorflow/tpu, models/official/resnet/resnet_model.py, which the lottery ticket paper trained:
    convolutions have no biases (those of keras.applications do), the 3x3 convolutions have the strides, on zeros padded
    alike on all sides; BatchNorm has epsilon 1e-5 and momentum 0.9, and its last gamma in each block starts at 0;
    kernels are drawn from a truncated normal with variance 1 / inputs, the output's from a normal with standard
    deviation 0.01.

    On 3 channels and 1,000 classes there are 25,557,032 trainable parameters (25.5M in the paper): 25,502,912 weights
    of convolutions and output, all prunable, of which 2,768,896 are shortcuts and 2,048,000 the output; 1,000 biases
    and 53,120 of BatchNorm. With the 53,120 moving statistics there are 25,610,152.

    Args:
        input_shape: Shape of an image of any size; the reference has 224 x 224.
        num_classes: Length of the logits.

    Raises:
        ModelError: `input_shape` is not that of an image.
    """
    require_shape("resnet_50", input_shape)
    image = keras.Input(input_shape)
    x = _conv_norm(image, 64, 7, stride=2, conv="stem_conv", norm="stem_norm")
    x = keras.layers.MaxPooling2D(3, 2, "same", name="stem_pool")(_relu(x, "stem_relu"))
    for stage, blocks in enumerate(_RESNET_50_BLOCKS, start=1):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            name = f"stage{stage}_block{block}"
            x = _bottleneck(x, 2 ** (stage + 5), stride=stride, projects=block == 1, name=name)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    normal = keras.initializers.RandomNormal(stddev=0.01)
    logits = keras.layers.Dense(num_classes, kernel_initializer=normal, name="output")(x)
    return keras.Model(image, logits, name="resnet_50")


def _bottleneck(x: Any, filters: int, *, stride: int, projects: bool, name: str) -> Any:
    """Apply convolutions of 1x1, 3x3 and 1x1 with a residual connection, which has a convolution if it `projects`."""
    shortcut = x
    if projects:
        shortcut = _conv_norm(x, 4 * filters, 1, stride=stride, conv=f"{name}_shortcut", norm=f"{name}_shortcut_norm")
    x = _conv_norm(x, filters, 1, conv=f"{name}_conv1", norm=f"{name}_norm1")
    x = _relu(x, f"{name}_relu1")
    x = _conv_norm(x, filters, 3, stride=stride, conv=f"{name}_conv2", norm=f"{name}_norm2")
    x = _relu(x, f"{name}_relu2")
    x = _conv_norm(x, 4 * filters, 1, conv=f"{name}_conv3", norm=f"{name}_norm3", gamma="zeros")
    return _relu(keras.layers.Add(name=f"{name}_add")([x, shortcut]), f"{name}_relu3")


def _conv_norm(x: Any, filters: int, size: int, *, stride: int = 1, conv: str, norm: str, gamma: str = "ones") -> Any:
    """Apply a convolution with the initializer of ResNet-50, then BatchNorm; `conv` and `norm` name the layers."""
    x = _conv(x, filters, size, stride=stride, initializer="lecun_normal", name=conv)
    return _norm(x, norm, gamma)


def _conv(x: Any, filters: int, size: int, *, stride: int = 1, initializer: str, name: str) -> Any:
    """Apply a convolution without bias, in as many dimensions as `x` has.

    The input of a strided convolution is padded with equally many zeros on both sides, as in the sources; Keras' "same"
    would put all of them at the end.
    """
    dimensions = len(x.shape) - 2
    padding = "same"
    if stride > 1:
        padding = "valid"
        if size > 1:
            x = getattr(keras.layers, f"ZeroPadding{dimensions}D")(size // 2, name=f"{name}_zeros")(x)
    convolution = getattr(keras.layers, f"Conv{dimensions}D")
    return convolution(filters, size, stride, padding, use_bias=False, kernel_initializer=initializer, name=name)(x)


def _norm(x: Any, name: str, gamma: str = "ones") -> Any:
    """Apply BatchNorm with the settings of all ResNets; `gamma` is the initializer of its scale."""
    return keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9, gamma_initializer=gamma, name=name)(x)


def _relu(x: Any, name: str) -> Any:
    """Apply ReLU as a layer, whose output another model can use."""
    return keras.layers.ReLU(name=name)(x)
