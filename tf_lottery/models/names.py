"""The names of the networks, for configs and `models.build`. Imports no Keras: a config is checked in no time."""

import difflib
import re
from collections.abc import Callable
from typing import Any

from tf_lottery.errors import ModelError

# The pattern of a whole name -> where its network is built, or, from outside this package, the function itself. What a
# named group matches is that argument, a number.
MODELS: dict[str, str | Callable[..., Any]] = {
    r"lenet_300_100": "lenet.lenet_300_100",
    r"conv_(?P<depth>2|4|6)": "conv.conv",
    r"resnet_(?P<depth>8|14|20|32|56)(_w(?P<width>[1-9]\d{0,2}))?(_(?P<dimensions>1)d)?": "cifar_resnet.resnet",
    r"vgg_(?P<depth>11|13|16|19)": "vgg.vgg",
    r"resnet_50": "resnet_50.resnet_50",
    r"inception_v3": "inception_v3.inception_v3",
    r"squeezenet": "squeezenet.squeezenet",
}

_DENSE = ("lenet",)  # modules whose networks have no convolutions

EXAMPLES = (
    *("lenet_300_100", "conv_2", "conv_4", "conv_6"),
    *("resnet_8", "resnet_14", "resnet_20", "resnet_32", "resnet_56", "resnet_8_w4", "resnet_20_1d", "resnet_8_w8_1d"),
    *("vgg_11", "vgg_13", "vgg_16", "vgg_19"),
    *("resnet_50", "inception_v3", "squeezenet"),
)


def known(name: str) -> bool:
    """Return whether `models.build` knows a network of this name.

    Args:
        name: As in a config: `"resnet_20_w8"`.

    Returns:
        True for the names of `EXAMPLES`, and for those with another width.

    Examples:
        >>> known("resnet_20_w8"), known("resnet_21")
        (True, False)
    """
    return any(re.fullmatch(pattern, name, re.ASCII) for pattern in MODELS)


def layer_kinds(name: str) -> set[str]:
    """Return which kinds of layers with weights a network has, of `"dense"` and `"convolution"`.

    Args:
        name: Of a network.

    Returns:
        One or both; both for networks from outside this package.

    Raises:
        ModelError: an unknown name.

    Examples:
        >>> sorted(layer_kinds("lenet_300_100")), sorted(layer_kinds("vgg_19"))
        (['dense'], ['convolution', 'dense'])
    """
    place, _ = parse(name)
    is_dense = isinstance(place, str) and place.partition(".")[0] in _DENSE
    return {"dense"} if is_dense else {"convolution", "dense"}


def parse(name: str) -> tuple[str | Callable[..., Any], dict[str, int]]:
    """Where the network of this name is built, as "module.function" or a function, and with which arguments.

    Args:
        name: Of a network.

    Returns:
        The place below `tf_lottery.models` or the function, and the arguments by name.

    Raises:
        ModelError: an unknown name, or a depth or width that there is not; the message lists what there is.

    Examples:
        >>> parse("resnet_8_w4")
        ('cifar_resnet.resnet', {'depth': 8, 'width': 4})
    """
    for pattern, builder in MODELS.items():
        if match := re.fullmatch(pattern, name, re.ASCII):
            return builder, {key: int(value) for key, value in match.groupdict().items() if value is not None}
    begun = [example for example in EXAMPLES if name and example.startswith(name)]
    near = begun or difflib.get_close_matches(name, EXAMPLES, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ModelError(
        f"Unknown model {name!r}.{hint} Known: {', '.join(EXAMPLES)} (the number after w is the width of the first "
        "stage, 1 to 999, 16 where there is none; 1d is for signals; the paper's ResNet-18 is resnet_20)."
    )
