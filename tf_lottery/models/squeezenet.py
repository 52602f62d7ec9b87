"""SqueezeNet v1.0 (Iandola et al., arXiv 1602.07360), as the TPU reference model has it."""

from typing import Any

from tf_lottery.keras_compat import Model, keras
from tf_lottery.models import require_shape

# By fire module: the channels that it squeezes to, and those of each of its two expanding convolutions.
_FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
_POOLED = (4, 8)


def squeezenet(input_shape: tuple[int, ...], num_classes: int) -> Model:
    """Build SqueezeNet v1.0.

    The network has a 7x7 convolution, eight fire modules, a 1x1 convolution that classifies, and global average
    pooling. As in tensorflow/tpu, models/official/squeezenet/squeezenet_model.py, which the lottery ticket paper
    trained, it has biases, ReLU after every convolution, also the one that classifies (as in the original, so no logit
    is negative), Glorot (Xavier) uniform initialisation, dropout of 0.5 before the classifier, and no BatchNorm.

    On 3 channels and 1,000 classes there are 1,248,424 parameters (1.25M in the paper), all trainable: 1,244,448
    weights of convolutions, all prunable, of which 512,000 are the classifier's, and 3,976 biases. The reference counts
    ImageNet's background as one more class, which makes 513 more.

    Args:
        input_shape: Shape of an image; the reference has 224 x 224.
        num_classes: Length of the logits.

    Raises:
        ModelError: `input_shape` is not that of an image, or is smaller than the 29 x 29 that the poolings need.
    """
    require_shape("squeezenet", input_shape, smallest=29)
    image = keras.Input(input_shape)
    x = _pool(_conv(image, 96, 7, "conv1", stride=2), "pool1")
    for number, (squeezed, expanded) in _FIRES.items():
        x = _fire(x, squeezed, expanded, f"fire{number}")
        if number in _POOLED:
            x = _pool(x, f"pool{number}")
    x = keras.layers.Dropout(0.5, name="dropout")(x)
    x = _conv(x, num_classes, 1, "output")
    return keras.Model(image, keras.layers.GlobalAveragePooling2D(name="average")(x), name="squeezenet")


def _fire(x: Any, squeezed: int, expanded: int, name: str) -> Any:
    x = _conv(x, squeezed, 1, f"{name}_squeeze")
    wide = [_conv(x, expanded, 1, f"{name}_expand1x1"), _conv(x, expanded, 3, f"{name}_expand3x3")]
    return keras.layers.Concatenate(name=f"{name}_concatenate")(wide)


def _conv(x: Any, filters: int, size: int, name: str, stride: int = 1) -> Any:
    return keras.layers.Conv2D(filters, size, stride, "same", activation="relu", name=name)(x)


def _pool(x: Any, name: str) -> Any:
    return keras.layers.MaxPooling2D(3, 2, name=name)(x)
