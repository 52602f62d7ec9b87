import numpy as np
import pytest

import tf_lottery as tfl
from tf_lottery import models
from tf_lottery.keras_compat import keras
from tf_lottery.masking import naming

EPSILON = 1e-5


def with_random_norms(model):
    """Assigns random weights and statistics to every BatchNorm, and returns all weights by name."""
    rng = np.random.default_rng(0)
    for name, variable in naming.named_variables(model).items():
        if "_norm" in name:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return {name: np.asarray(variable, np.float64) for name, variable in naming.named_variables(model).items()}


def conv(x, kernel, stride=1):
    """A convolution of (batch, *grid, channels) in NumPy; kernels of odd size, centred at each stride-th position."""
    size, dimensions = kernel.shape[0], kernel.ndim - 2
    padded = np.pad(x, [(0, 0), *[(size // 2, size // 2)] * dimensions, (0, 0)])
    y = 0
    for offset in np.ndindex(*kernel.shape[:-2]):
        part = [slice(start, start + length) for start, length in zip(offset, x.shape[1:-1], strict=True)]
        y = y + padded[(slice(None), *part)] @ kernel[offset]
    return y[(slice(None), *[slice(None, None, stride)] * dimensions)]


def norm(x, weights, name):
    gamma, beta, mean, variance = (
        weights[f"{name}/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    return gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta


def block(x, weights, name):
    halves = f"{name}_shortcut/kernel" in weights
    y = np.maximum(norm(conv(x, weights[f"{name}_conv1/kernel"], 1 + halves), weights, f"{name}_norm1"), 0)
    y = norm(conv(y, weights[f"{name}_conv2/kernel"]), weights, f"{name}_norm2")
    if halves:
        x = norm(conv(x, weights[f"{name}_shortcut/kernel"], 2), weights, f"{name}_shortcut_norm")
    return np.maximum(y + x, 0)


@pytest.mark.parametrize(("name", "shape"), [("resnet_14_w4", (6, 5, 3)), ("resnet_14_w4_1d", (7, 2))])
def test_every_block_and_the_whole_network_compute_the_formulas_of_the_paper(name, shape):
    model = models.build(name, shape, 5)
    weights = with_random_norms(model)
    blocks = [f"stage{stage}_block{number}" for stage in (1, 2, 3) for number in (1, 2)]
    looked_at = keras.Model(model.input, [model.get_layer(f"{block}_relu2").output for block in blocks])
    x = np.random.default_rng(1).normal(size=(2, *shape))
    seen = looked_at(x.astype(np.float32), training=False)
    y = np.maximum(norm(conv(x, weights["stem_conv/kernel"]), weights, "stem_norm"), 0)
    for path, output in zip(blocks, seen, strict=True):
        y = block(y, weights, path)
        np.testing.assert_allclose(np.asarray(output), y, rtol=1e-4, atol=1e-5, err_msg=path)
    logits = y.mean(axis=tuple(range(1, y.ndim - 1))) @ weights["output/kernel"] + weights["output/bias"]
    np.testing.assert_allclose(np.asarray(model(x.astype(np.float32), training=False)), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "shape"), [("resnet_8_w4", (8, 8, 3)), ("resnet_8_w4_1d", (40, 1))])
def test_weights_have_readable_names(name, shape):
    assert list(tfl.get_masks(tfl.make_prunable(models.build(name, shape, 10)))) == [
        "stem_conv/kernel",
        "stage1_block1_conv1/kernel",
        "stage1_block1_conv2/kernel",
        "stage2_block1_conv1/kernel",
        "stage2_block1_conv2/kernel",
        "stage2_block1_shortcut/kernel",
        "stage3_block1_conv1/kernel",
        "stage3_block1_conv2/kernel",
        "stage3_block1_shortcut/kernel",
        "output/kernel",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "convolutions"), [(8, 7), (14, 13), (20, 19), (32, 31), (56, 55)])
def test_depth_counts_the_3x3_convolutions_and_the_output(depth, convolutions):
    kernels = [v for name, v in naming.named_variables(models.build(f"resnet_{depth}_w1", (4, 4, 1), 2)).items()
               if name.endswith("/kernel") and tuple(v.shape[:2]) == (3, 3)]  # fmt: skip
    assert len(kernels) == convolutions


def test_width_is_that_of_the_first_stage():
    model = models.build("resnet_8_w6", (8, 8, 3), 10)
    assert [model.get_layer(f"stage{stage}_block1_conv2").filters for stage in (1, 2, 3)] == [6, 12, 24]
