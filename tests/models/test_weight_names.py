"""The names of weights in masks, tickets and configs are the same on Keras 3 and legacy Keras."""

import pytest

import tf_lottery as tfl
from tf_lottery import models


def masks(name, shape):
    return list(tfl.get_masks(tfl.make_prunable(models.build(name, shape, 10))))


def test_weight_names_of_lenet():
    assert masks("lenet_300_100", (28, 28, 1)) == ["dense/kernel", "dense_1/kernel", "output/kernel"]


def test_weight_names_of_conv_4():
    layers = ["conv1", "conv2", "conv3", "conv4", "dense1", "dense2", "output"]
    assert masks("conv_4", (8, 8, 3)) == [f"{layer}/kernel" for layer in layers]


def test_weight_names_of_vgg_16():
    convolutions = ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3", "5_1", "5_2", "5_3"]
    assert masks("vgg_16", (16, 16, 3)) == [*(f"conv{end}/kernel" for end in convolutions), "output/kernel"]


def test_weight_names_of_squeezenet():
    found = masks("squeezenet", (29, 29, 3))
    assert found[:4] == ["conv1/kernel", "fire2_squeeze/kernel", "fire2_expand1x1/kernel", "fire2_expand3x3/kernel"]
    assert found[-2:] == ["fire9_expand3x3/kernel", "output/kernel"]


@pytest.mark.slow
def test_weight_names_of_a_block_of_resnet_50():
    found = masks("resnet_50", (32, 32, 3))
    assert len(found) == 54
    assert sorted(name for name in found if name.startswith("stage2_block1")) == [
        "stage2_block1_conv1/kernel",
        "stage2_block1_conv2/kernel",
        "stage2_block1_conv3/kernel",
        "stage2_block1_shortcut/kernel",
    ]
    assert sum("shortcut" in name for name in found) == 4


@pytest.mark.slow
def test_weight_names_of_parts_of_inception():
    found = masks("inception_v3", (75, 75, 3))
    assert len(found) == 98
    assert sorted(name for name in found if name.startswith(("mixed_7c", "auxiliary"))) == [
        "auxiliary_conv1/kernel",
        "auxiliary_conv2/kernel",
        "auxiliary_output/kernel",
        "mixed_7c_branch0_conv1/kernel",
        "mixed_7c_branch1_column/kernel",
        "mixed_7c_branch1_conv1/kernel",
        "mixed_7c_branch1_row/kernel",
        "mixed_7c_branch2_column/kernel",
        "mixed_7c_branch2_conv1/kernel",
        "mixed_7c_branch2_conv2/kernel",
        "mixed_7c_branch2_row/kernel",
        "mixed_7c_branch3_conv1/kernel",
    ]
