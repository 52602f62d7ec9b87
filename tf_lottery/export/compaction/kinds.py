"""The layers that compaction knows, each with the role that a call of it plays. All others are opaque."""

from collections.abc import Callable
from typing import Any, NamedTuple

from tf_lottery import keras_compat
from tf_lottery.export.compaction import channels, layer_weights, mixing, passing
from tf_lottery.export.compaction.roles import Opaque, Role
from tf_lottery.keras_compat import Call, keras

# By weight: along which axis it has the channels that come in, and along which those that go out.
Axes = dict[str, dict[str, int]]
_DENSE: Axes = {"kernel": {"in": -2, "out": -1}, "bias": {"out": -1}}
_TRANSPOSED: Axes = {"kernel": {"in": -1, "out": -2}, "bias": {"out": -1}}
_DEPTHWISE: Axes = {"kernel": {"in": -2}, "bias": {"out": -1}}
_NORM: Axes = {name: {"out": -1} for name in ("gamma", "beta", "moving_mean", "moving_variance")}
_SLOPES: Axes = {"alpha": {"out": -1}}


class Kind(NamedTuple):
    """What there is to know of a class of layers.

    Attributes:
        role: From a call to the role it plays.
        axes: Where its weights have channels.
        size: Which of its settings has the number of channels that go out.
    """

    role: Callable[[Call], Role]
    axes: Axes
    size: str | None


KINDS: dict[type, Kind] = {}


def has_sizes(layer: Any) -> bool:
    """Return whether something in `layer` depends on the number of channels, so that all its calls must agree on them."""
    kind = KINDS.get(type(layer))
    return kind is None or bool(kind.axes or kind.size)


def role(call: Call) -> Role:
    """What `call` does with channels."""
    if keras_compat.is_layer_graph(call.layer):
        return Opaque("is a model of its own, whose inputs and outputs stay as they are")
    if (kind := KINDS.get(type(call.layer))) is None:
        return Opaque(f"is a layer of which nothing is known here ({type(call.layer).__name__})")
    if unknown := set(layer_weights.weights(call.layer)) - set(kind.axes):
        return Opaque(f"has weights of which nothing is known here ({', '.join(sorted(unknown))})")
    if not call.is_plain:
        return Opaque("is called with more than tensors (`training=True`, a mask of time steps)")
    if any(channels.count(tensor) is None for tensor in call.inputs + call.outputs):
        return Opaque("has channels of which the number is not known")
    if (size := getattr(call.layer, "kernel_size", None)) and len(size) != len(call.inputs[0].shape) - 2:
        return Opaque("has more axes than it convolves")
    if getattr(call.layer, "data_format", None) == "channels_first":
        return Opaque("has the channels first")
    return kind.role(call)


def _enter(names: str, make: Callable[[Call], Role], axes: Axes | None = None, size: str | None = None) -> None:
    for name in names.split():
        if (known := getattr(keras.layers, name, None)) is not None:  # a few are in one of the two Kerases only
            KINDS[known] = Kind(make, axes or {}, size)


_enter("InputLayer", lambda call: Opaque("is an input of the model"))
_enter("Dense", mixing.dense, _DENSE, "units")
_enter("Conv1D Conv2D Conv3D", mixing.convolution, _DENSE, "filters")
_enter("Conv1DTranspose Conv2DTranspose Conv3DTranspose", mixing.transposed, _TRANSPOSED, "filters")
_enter("DepthwiseConv1D DepthwiseConv2D", passing.depthwise, _DEPTHWISE)
_enter("BatchNormalization", passing.norm, _NORM)
_enter("PReLU", passing.slopes, _SLOPES)
_enter("Activation ReLU LeakyReLU ELU", passing.unitwise)
_enter("Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D AlphaDropout", passing.unchanged)
_enter("GaussianDropout GaussianNoise ActivityRegularization", passing.unchanged)
_enter("MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D", passing.unchanged)
_enter("GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D", passing.unchanged)
_enter("GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D", passing.unchanged)
_enter("UpSampling1D UpSampling2D UpSampling3D Cropping1D Cropping2D Cropping3D", passing.unchanged)
_enter("ZeroPadding1D ZeroPadding2D ZeroPadding3D", passing.zeros_around)
_enter("Rescaling", passing.rescaling)
_enter("Flatten", passing.flatten)
_enter("Reshape", passing.reshape, size="target_shape")
_enter("Add", passing.elementwise(lambda given: given.sum(0)))
_enter("Subtract", passing.elementwise(lambda given: given[0] - given[1]))
_enter("Average", passing.elementwise(lambda given: given.mean(0)))
_enter("Maximum", passing.elementwise(lambda given: given.max(0)))
_enter("Minimum", passing.elementwise(lambda given: given.min(0)))
_enter("Concatenate", passing.concatenate)
