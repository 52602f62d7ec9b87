"""The names of the networks, for configs and `models.build`.

This module imports no Keras, so that a name is checked quickly.
"""

import difflib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from tf_lottery.errors import ModelError

if TYPE_CHECKING:
    from tf_lottery.keras_compat import Model

# By a pattern of whole names: the function that builds the network, as "module.function" of `tf_lottery.models`, or,
# from outside this package, the function itself. The named groups of the pattern match its arguments, which are
# numbers.
MODELS: "dict[str, str | Callable[..., Model]]" = {
    r"lenet_300_100": "sequential.lenet_300_100",
    r"conv_(?P<depth>2|4|6)": "sequential.conv",
    r"vgg_(?P<depth>11|13|16|19)": "sequential.vgg",
    r"resnet_(?P<depth>8|14|20|32|56)(_w(?P<width>[1-9]\d{0,2}))?(_(?P<dimensions>1)d)?": "resnets.cifar_resnet",
    r"resnet_50": "resnets.resnet_50",
    r"inception_v3": "inception_v3.inception_v3",
    r"squeezenet": "squeezenet.squeezenet",
}

_WITHOUT_CONVOLUTIONS = ("sequential.lenet_300_100",)

EXAMPLES = (
    *("lenet_300_100", "conv_2", "conv_4", "conv_6"),
    *("resnet_8", "resnet_14", "resnet_20", "resnet_32", "resnet_56", "resnet_8_w4", "resnet_20_1d", "resnet_8_w8_1d"),
    *("vgg_11", "vgg_13", "vgg_16", "vgg_19"),
    *("resnet_50", "inception_v3", "squeezenet"),
)


def known(name: str) -> bool:
    """Return whether `models.build` knows a network of this name.

    Args:
        name: Name of a network, as in a config: `"resnet_20_w8"`.

    Returns:
        True for the names of `EXAMPLES`, and for those with another width.

    Examples:
        >>> known("resnet_20_w8"), known("resnet_21")
        (True, False)
    """
    return any(re.fullmatch(pattern, name, re.ASCII) for pattern in MODELS)


def layer_kinds(name: str) -> set[str]:
    """Return which kinds of layers with weights a network has: `"dense"`, `"convolution"` or both.

    Args:
        name: Name of a network.

    Returns:
        The kinds; both for networks from outside this package.

    Raises:
        ModelError: the name is unknown.

    Examples:
        >>> sorted(layer_kinds("lenet_300_100")), sorted(layer_kinds("vgg_19"))
        (['dense'], ['convolution', 'dense'])
    """
    function, _ = parse(name)
    return {"dense"} if function in _WITHOUT_CONVOLUTIONS else {"convolution", "dense"}


def parse(name: str) -> "tuple[str | Callable[..., Model], dict[str, int]]":
    """Return the function that builds the network of this name, and its arguments.

    Args:
        name: Name of a network.

    Returns:
        The function, as "module.function" of `tf_lottery.models` or as itself, and its arguments by name, besides the
        input shape and the number of classes.

    Raises:
        ModelError: the name is unknown, or there is no such depth or width; the message lists the known names.

    Examples:
        >>> parse("resnet_8_w4")
        ('resnets.cifar_resnet', {'depth': 8, 'width': 4})
    """
    for pattern, function in MODELS.items():
        if match := re.fullmatch(pattern, name, re.ASCII):
            return function, {key: int(value) for key, value in match.groupdict().items() if value is not None}
    begun = [example for example in EXAMPLES if name and example.startswith(name)]
    near = begun or difflib.get_close_matches(name, EXAMPLES, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ModelError(
        f"Unknown model {name!r}.{hint} Known: {', '.join(EXAMPLES)} (the number after w is the width of the first "
        "stage, 1 to 999, by default 16; 1d is for signals; the paper's ResNet-18 is resnet_20)."
    )
