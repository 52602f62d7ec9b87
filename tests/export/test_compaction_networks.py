"""Compaction of real networks with random masks."""

import warnings

import numpy as np
import pytest
import tiny

from tf_lottery import keras_compat, models
from tf_lottery.export.compaction import analyse, compact
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks, tfmot_bridge

SHAPES = {"lenet_300_100": (28, 28, 1)}


def trained_a_little(model, seed=0):
    """Set biases and statistics like those of trained networks: zeros would hide what is not folded."""
    rng = np.random.default_rng(seed)
    for layer in keras_compat.all_layers(model):
        variables = keras_compat.own_variables(layer)
        for name, variable in zip(keras_compat.names_in(layer, variables), variables, strict=True):
            if name in ("gamma", "moving_variance"):
                variable.assign(rng.uniform(0.5, 1.5, variable.shape))
            elif name in ("bias", "beta", "moving_mean"):
                variable.assign(rng.normal(0, 0.2, variable.shape))
            elif isinstance(layer, keras.layers.DepthwiseConv2D):  # initialised so small that the input would vanish
                variable.assign(rng.normal(0, 0.5, variable.shape))
    return model


def pruned(model, density, seed=0):
    model = conversion.make_prunable(trained_a_little(model), exclude=lambda name: "dw" in name or "depthwise" in name)
    rng = np.random.default_rng(seed)
    masks = {name: rng.random(mask.shape) < density for name, mask in model_masks.get_masks(model).items()}
    model_masks.set_masks(model, masks)
    for weight, _ in model_masks.masked_variables(model).values():
        weight.assign(weight * 1.5 / density**0.5)  # or nothing would be left of the input after some layers
    return model


def predicts_the_same(model, smaller, number=32):
    x = np.random.default_rng(1).normal(size=(number, *model.input_shape[1:])).astype("float32")
    before, after = np.asarray(model(x, training=False)), np.asarray(smaller(x, training=False))
    np.testing.assert_allclose(before, after, rtol=1e-5, atol=1e-5 * np.abs(before).max())
    np.testing.assert_array_equal(before.argmax(-1), after.argmax(-1))
    assert np.ptp(before, axis=0).max() > 0  # not a constant


def parameters_left(model):
    """Return the share of the parameters that is left, 0-1."""
    smaller = compact(model)
    predicts_the_same(model, smaller)
    sizes = {name: finding.kept for name, finding in analyse(model).items()}
    assert sizes == {name: finding.units for name, finding in analyse(smaller).items()}
    return smaller.count_params() / conversion.plain(model).count_params()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "density", "most"),
    [
        ("lenet_300_100", 0.02, 0.3),
        ("lenet_300_100", 0.01, 0.1),
        ("conv_2", 0.02, 0.8),
        ("resnet_8_w4", 0.1, 1),
        ("resnet_20", 0.02, 1),
        pytest.param("vgg_11", 0.02, 0.8, marks=pytest.mark.slow),
    ],
)
def test_networks_predict_the_same_with_fewer_parameters(name, density, most):
    shape = SHAPES.get(name, (32, 32, 3))
    assert parameters_left(pruned(models.build(name, shape, 10), density)) < most


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNet"])
def test_networks_of_keras_applications(name):
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(32, 32, 3), alpha=0.35 if name == "MobileNetV2" else 0.25, classes=5
    )
    assert parameters_left(pruned(model, 0.3)) < 1


@pytest.mark.skipif(not keras_compat.LEGACY, reason="tfmot wraps models of legacy Keras only")
def test_models_that_tfmot_wrapped():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tfmot imports distutils
        tfmot = tfmot_bridge.import_tfmot()
    model = tfmot.prune_low_magnitude(trained_a_little(tiny.dense()))
    for layer in model.layers:
        for weight, mask, _ in getattr(layer, "pruning_vars", ()):
            mask.assign(np.tile([0.0, 1.0, 1.0, 0.0][: weight.shape[1]], (weight.shape[0], 1)))
    smaller = compact(model)
    assert [type(layer).__name__ for layer in smaller.layers] == ["Flatten", "Dense", "Dense"]
    assert smaller.layers[1].units == 2
    predicts_the_same(conversion.plain(model), smaller, 8)
