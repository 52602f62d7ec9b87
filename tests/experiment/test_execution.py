"""The execution settings: chosen from a table, unless the config sets them."""

import subprocess
import sys

import pytest

from tf_lottery import models
from tf_lottery.experiment.config import Experiment, Model, Train
from tf_lottery.experiment.plan import Execution, choose_execution, layer_kinds, settled
from tf_lottery.models import names
from tf_lottery.training.topology import STRATEGIES

# Smaller networks of the same kinds are tested instead.
LARGE = {"inception_v3", "resnet_50", "resnet_32", "resnet_56", "vgg_13", "vgg_16", "vgg_19"}


def test_xla_compiles_dense_networks_alone_on_a_cpu():
    compiled = [
        (device, strategy, kinds)
        for device in ("CPU", "GPU", "TPU")
        for strategy in STRATEGIES
        for kinds in (("dense",), ("convolution", "dense"))
        if choose_execution(device, strategy, kinds).jit_compile
    ]
    assert compiled == [("CPU", "default", ("dense",))]


@pytest.mark.parametrize("name", sorted(set(names.EXAMPLES) - LARGE))
def test_the_kinds_of_layers_are_those_that_the_network_has(name):
    model = models.build(name, (64, 3) if name.endswith("1d") else (64, 64, 3), 3)
    convolutions = [layer for layer in model.layers if hasattr(layer, "kernel_size")]
    assert ("convolution" in names.layer_kinds(name)) == bool(convolutions)


def test_the_layer_kinds_of_variants_are_those_of_all_their_networks():
    config = Experiment(variants={"dense": {}, "convolutional": {"model.name": "conv_2"}})
    assert layer_kinds(config) == {"dense", "convolution"}
    assert layer_kinds(Experiment(model=Model("lenet_300_100"))) == {"dense"}


def test_the_config_overrides_the_table():
    config = Experiment(train=Train(jit_compile=False, steps_per_execution=7))
    assert settled(config, Execution(3, True, 500)).train == Train(threads=3, jit_compile=False, steps_per_execution=7)


def test_the_choice_needs_no_tensorflow():
    code = "import sys; import tf_lottery.experiment.plan; print('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
