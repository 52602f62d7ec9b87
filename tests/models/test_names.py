import subprocess
import sys

import pytest

from tf_lottery.errors import ModelError
from tf_lottery.models import names


@pytest.mark.parametrize(
    ("name", "function", "arguments"),
    [
        ("lenet_300_100", "sequential.lenet_300_100", {}),
        ("conv_4", "sequential.conv", {"depth": 4}),
        ("resnet_20", "resnets.cifar_resnet", {"depth": 20}),
        ("resnet_56_w64", "resnets.cifar_resnet", {"depth": 56, "width": 64}),
        ("resnet_14_1d", "resnets.cifar_resnet", {"depth": 14, "dimensions": 1}),
        ("resnet_8_w8_1d", "resnets.cifar_resnet", {"depth": 8, "width": 8, "dimensions": 1}),
        ("resnet_50", "resnets.resnet_50", {}),
        ("vgg_19", "sequential.vgg", {"depth": 19}),
        ("inception_v3", "inception_v3.inception_v3", {}),
        ("squeezenet", "squeezenet.squeezenet", {}),
    ],
)
def test_a_name_gives_the_function_and_its_depth_width_and_dimensions(name, function, arguments):
    assert names.parse(name) == (function, arguments)


@pytest.mark.parametrize("name", names.EXAMPLES)
def test_the_names_in_messages_are_known(name):
    assert names.known(name)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("lenet", "lenet_300_100"),
        ("vgg", "vgg_11"),
        ("lenet_300", "lenet_300_100"),
        ("resnet_18", "resnet_8"),
        ("resnet_20_w0", "resnet_20"),
        ("resnet_8_w4_2d", "resnet_8_w4"),
        ("resnet_50_w8", "resnet_50"),
        ("conv_3", "conv_6"),
        ("vgg_12", "vgg_19"),
        ("Squeezenet", "squeezenet"),
        ("vgg_19\n", "vgg_19"),
        ("resnet_8_w1١", "resnet_8_w4"),
        ("", None),
    ],
)
def test_an_unknown_name_lists_the_known_ones_and_suggests_the_nearest(name, nearest):
    assert not names.known(name)
    with pytest.raises(ModelError) as error:
        names.parse(name)
    suggestion = f" Did you mean {nearest!r}?" if nearest else ""
    assert str(error.value).startswith(f"Unknown model {name!r}.{suggestion} Known: lenet_300_100, conv_2, conv_4, ")
    assert "resnet_8_w4" in str(error.value)
    assert str(error.value).endswith("the paper's ResNet-18 is resnet_20).")


def test_names_are_known_without_keras():
    code = "import sys; from tf_lottery.models import build, names; names.parse('vgg_19'); print(sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'tf_lottery.models.names'" in modules
    assert not [name for name in ("tensorflow", "keras", "tf_keras", "numpy") if f"'{name}'" in modules]
