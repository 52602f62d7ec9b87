"""Inception-v3 for ImageNet (Szegedy et al., arXiv 1512.00567) with its auxiliary head, as TF-Slim has it."""

from typing import Any

from tf_lottery.keras_compat import Model, keras
from tf_lottery.models import require_shape

Kernel = int | tuple[int, int]


def inception_v3(input_shape: tuple[int, ...], num_classes: int) -> Model:
    """Build Inception-v3, which returns [logits, auxiliary logits].

    The network is that of TF-Slim's nets/inception_v3.py with the settings of tensorflow/tpu,
    models/experimental/inception, which the lottery ticket paper trained. The auxiliary head branches off after the
    last mixed block of 17 x 17. Convolutions have no biases, BatchNorm has no gamma (epsilon 1e-3, momentum 0.996), and
    dropout of 0.2 precedes the output. Kernels are drawn from a truncated normal with variance 2 / inputs, but in the
    auxiliary head with standard deviations 0.01 (5x5) and 0.001 (its output). Blocks have TF-Slim's names.

    On (299, 299, 3) and 1,000 classes there are 27,143,152 trainable parameters (27.1M in the paper): 27,123,040
    weights of convolutions and outputs, all prunable, of which 3,323,904 are the auxiliary head's; 2,000 biases and
    18,112 of BatchNorm. With the 36,224 moving statistics there are 27,179,376.

    Args:
        input_shape: Shape of an image. Where it is much smaller than the reference's 299 x 299, the auxiliary head's
            5x5 kernel and pooling shrink to the size of their input.
        num_classes: Length of the logits of both heads.

    Raises:
        ModelError: `input_shape` is not that of an image, or is smaller than the 75 x 75 that three halvings of the
            grid need.
    """
    require_shape("inception_v3", input_shape, smallest=75)
    image = keras.Input(input_shape)
    x = _stem(image)
    for end, pooled in zip("bcd", (32, 64, 64), strict=True):
        x = _mixed_35(x, f"mixed_5{end}", pooled)
    x = _reduction_to_17(x, "mixed_6a")
    for end, narrow in zip("bcde", (128, 160, 160, 192), strict=True):
        x = _mixed_17(x, f"mixed_6{end}", narrow)
    auxiliary = _auxiliary_head(x, num_classes)
    x = _reduction_to_8(x, "mixed_7a")
    for end in "bc":
        x = _mixed_8(x, f"mixed_7{end}")
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    x = keras.layers.Dropout(0.2, name="dropout")(x)
    logits = keras.layers.Dense(num_classes, kernel_initializer="he_normal", name="output")(x)
    return keras.Model(image, [logits, auxiliary], name="inception_v3")


def _stem(x: Any) -> Any:
    x = _conv(x, 32, 3, "stem_conv1", stride=2, padding="valid")
    x = _conv(x, 32, 3, "stem_conv2", padding="valid")
    x = _conv(x, 64, 3, "stem_conv3")
    x = _max(x, "stem_pool1")
    x = _conv(x, 80, 1, "stem_conv4", padding="valid")
    x = _conv(x, 192, 3, "stem_conv5", padding="valid")
    return _max(x, "stem_pool2")


def _mixed_35(x: Any, name: str, pooled: int) -> Any:
    return _concatenate(
        name,
        _branch(x, f"{name}_branch0", (64, 1)),
        _branch(x, f"{name}_branch1", (48, 1), (64, 5)),
        _branch(x, f"{name}_branch2", (64, 1), (96, 3), (96, 3)),
        _branch(_average(x, f"{name}_branch3_pool"), f"{name}_branch3", (pooled, 1)),
    )


def _reduction_to_17(x: Any, name: str) -> Any:
    return _concatenate(
        name,
        _branch(x, f"{name}_branch0", (384, 3), halve=True),
        _branch(x, f"{name}_branch1", (64, 1), (96, 3), (96, 3), halve=True),
        _max(x, f"{name}_branch2_pool"),
    )


def _mixed_17(x: Any, name: str, narrow: int) -> Any:
    row, column = (1, 7), (7, 1)
    return _concatenate(
        name,
        _branch(x, f"{name}_branch0", (192, 1)),
        _branch(x, f"{name}_branch1", (narrow, 1), (narrow, row), (192, column)),
        _branch(x, f"{name}_branch2", (narrow, 1), (narrow, column), (narrow, row), (narrow, column), (192, row)),
        _branch(_average(x, f"{name}_branch3_pool"), f"{name}_branch3", (192, 1)),
    )


def _reduction_to_8(x: Any, name: str) -> Any:
    return _concatenate(
        name,
        _branch(x, f"{name}_branch0", (192, 1), (320, 3), halve=True),
        _branch(x, f"{name}_branch1", (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3), halve=True),
        _max(x, f"{name}_branch2_pool"),
    )


def _mixed_8(x: Any, name: str) -> Any:
    def fork(x: Any, name: str) -> list[Any]:
        return [_conv(x, 384, (1, 3), f"{name}_row"), _conv(x, 384, (3, 1), f"{name}_column")]

    return _concatenate(
        name,
        _branch(x, f"{name}_branch0", (320, 1)),
        *fork(_branch(x, f"{name}_branch1", (384, 1)), f"{name}_branch1"),
        *fork(_branch(x, f"{name}_branch2", (448, 1), (384, 3)), f"{name}_branch2"),
        _branch(_average(x, f"{name}_branch3_pool"), f"{name}_branch3", (192, 1)),
    )


def _auxiliary_head(x: Any, num_classes: int) -> Any:
    x = keras.layers.AveragePooling2D(_at_most_5(x), 3, name="auxiliary_pool")(x)
    x = _conv(x, 128, 1, "auxiliary_conv1")
    x = _conv(x, 768, _at_most_5(x), "auxiliary_conv2", padding="valid", initializer=_truncated_normal(0.01))
    x = keras.layers.GlobalAveragePooling2D(name="auxiliary_average")(x)  # over one position, if images are 299 x 299
    return keras.layers.Dense(num_classes, kernel_initializer=_truncated_normal(0.001), name="auxiliary_output")(x)


def _at_most_5(x: Any) -> tuple[int, int]:
    """Return the height and width of `x`, or 5 where they are larger."""
    return min(5, x.shape[1]), min(5, x.shape[2])


def _branch(x: Any, name: str, *convs: tuple[int, Kernel], halve: bool = False) -> Any:
    """Apply convolutions of (filters, kernel), one after the other; with `halve`, the last one has stride 2."""
    for number, (filters, kernel) in enumerate(convs, start=1):
        last: dict[str, Any] = {"stride": 2, "padding": "valid"} if halve and number == len(convs) else {}
        x = _conv(x, filters, kernel, f"{name}_conv{number}", **last)
    return x


def _conv(
    x: Any,
    filters: int,
    kernel: Kernel,
    name: str,
    *,
    stride: int = 1,
    padding: str = "same",
    initializer: Any = "he_normal",
) -> Any:
    """Apply a convolution without bias, BatchNorm without gamma, and ReLU."""
    x = keras.layers.Conv2D(
        *(filters, kernel, stride, padding), use_bias=False, kernel_initializer=initializer, name=name
    )(x)
    x = keras.layers.BatchNormalization(epsilon=1e-3, momentum=0.996, scale=False, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _average(x: Any, name: str) -> Any:
    return keras.layers.AveragePooling2D(3, 1, "same", name=name)(x)


def _max(x: Any, name: str) -> Any:
    return keras.layers.MaxPooling2D(3, 2, name=name)(x)


def _concatenate(name: str, *branches: Any) -> Any:
    return keras.layers.Concatenate(name=name)(list(branches))


def _truncated_normal(deviation: float) -> Any:
    return keras.initializers.TruncatedNormal(stddev=deviation)
