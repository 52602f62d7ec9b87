"""Costs against counts done by hand and against published ones."""

import pytest
import tensorflow as tf
import tiny

import tf_lottery as tfl
from tf_lottery import keras_compat, models
from tf_lottery.errors import ModelError
from tf_lottery.export.model_costs import costs, density
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks

L = keras.layers


def multiply_adds(shape, *made):
    result = costs(keras.Sequential([keras.Input(shape), *made]))
    assert result.uncounted == ()
    return result.multiply_adds


@pytest.mark.parametrize(
    ("shape", "layer", "expected"),
    [
        ((5,), lambda: L.Dense(7), 5 * 7),
        ((4, 5), lambda: L.Dense(7), 4 * 5 * 7),
        ((4, 2, 5), lambda: L.EinsumDense("...x,xy->...y", output_shape=7), 4 * 2 * 5 * 7),
        ((8, 4), lambda: L.Conv1D(6, 3), 6 * 6 * 3 * 4),
        ((8, 9, 4), lambda: L.Conv2D(6, (3, 2)), 6 * 8 * 6 * 3 * 2 * 4),
        ((8, 9, 4), lambda: L.Conv2D(6, 3, strides=2, padding="same", use_bias=False), 4 * 5 * 6 * 3 * 3 * 4),
        ((8, 9, 4), lambda: L.Conv2D(6, 3, groups=2), 6 * 7 * 6 * 3 * 3 * 2),
        ((8, 8, 4), lambda: L.Conv2D(6, 3, dilation_rate=2, padding="same"), 8 * 8 * 6 * 3 * 3 * 4),
        ((4, 5, 6, 2), lambda: L.Conv3D(3, 2), 3 * 4 * 5 * 3 * 2 * 2 * 2 * 2),
        ((8, 9, 4), lambda: L.DepthwiseConv2D(3, depth_multiplier=2), 6 * 7 * 4 * 2 * 3 * 3),
        ((8, 4), lambda: L.DepthwiseConv1D(3), 6 * 4 * 3),
        ((8, 9, 4), lambda: L.SeparableConv2D(5, 3), 6 * 7 * 4 * 3 * 3 + 6 * 7 * 4 * 5),
        ((8, 4), lambda: L.SeparableConv1D(5, 3), 6 * 4 * 3 + 6 * 4 * 5),
        ((8, 4), lambda: L.Conv1DTranspose(5, 3), 8 * 4 * 5 * 3),
        ((8, 9, 4), lambda: L.Conv2DTranspose(5, 3, strides=2, padding="same"), 8 * 9 * 4 * 5 * 3 * 3),
        ((2, 3, 4, 2), lambda: L.Conv3DTranspose(5, 2), 2 * 3 * 4 * 2 * 5 * 2 * 2 * 2),
        ((8, 9, 4), lambda: L.BatchNormalization(), 0),
        ((8, 9, 4), lambda: L.AveragePooling2D(2), 0),
        ((6, 3), lambda: L.LSTM(5, unroll=True), 6 * 4 * (3 * 5 + 5 * 5)),
        ((6,), lambda: L.Embedding(9, 4), 0),
    ],
)
def test_multiply_adds_of_a_layer_are_those_counted_by_hand(shape, layer, expected):
    assert multiply_adds(shape, layer()) == expected


def test_attention_is_its_projections_and_both_products():
    tokens = keras.Input((6, 16))
    model = keras.Model(tokens, L.MultiHeadAttention(num_heads=2, key_dim=8)(tokens, tokens))
    assert costs(model).multiply_adds == 4 * 6 * 16 * (2 * 8) + 2 * 2 * 6 * 6 * 8


class Product(L.Layer):
    """A layer that multiplies its first input, transposed, by the second."""

    def call(self, pair):
        return tf.matmul(*pair, transpose_a=True)


def test_a_product_sums_over_the_inner_axis_transposed_or_not():
    def product(layer, *shapes):
        pair = [keras.Input(shape) for shape in shapes]
        return costs(keras.Model(pair, layer(pair))).multiply_adds

    assert product(L.Dot(axes=2), (2, 3), (5, 3)) == 2 * 5 * 3
    assert product(Product(), (3, 2), (3, 5)) == 2 * 5 * 3
    assert product(Product(), (2,), (5,)) == 2 * 5 * 1


def test_layers_count_each_time_they_are_called_and_those_of_all_kinds_of_models_do():
    assert costs(tiny.nested()).multiply_adds == 36 * 4 + 2 * 4 * 4 + 4 * 3
    assert costs(tiny.subclassed()).multiply_adds == 36 * 4 + 4 * 4 + 4 * 3
    assert costs(tiny.convolutional()).multiply_adds == 2 * 36 * 2 * 9 + 72 * 3


@pytest.mark.parametrize("layer", [lambda: L.LSTM(4), lambda: L.GRU(4), lambda: L.SimpleRNN(4)])
def test_loops_are_named_and_not_counted(layer):
    result = costs(keras.Sequential([keras.Input((5, 3)), layer(), L.Dense(2)]))
    assert result.multiply_adds == 4 * 2
    (name,) = result.uncounted
    assert name.endswith("while")


def test_operations_of_unknown_size_are_named_and_not_counted():
    result = costs(keras.Sequential([keras.Input((None, None, 3)), L.Conv2D(4, 3), L.GlobalMaxPool2D(), L.Dense(2)]))
    assert result.multiply_adds == 4 * 2
    assert len(result.uncounted) == 1


def test_parameters_are_all_values_of_all_weights_but_not_masks_and_random_states():
    for build in (tiny.convolutional, tiny.subclassed):
        plain = costs(build())
        masked = tiny.half_masked(build)
        assert costs(masked).parameters == plain.parameters == build().count_params()
    assert plain.parameters == (36 * 4 + 4) + (4 * 4 + 4) + 4 * 4 + (4 * 3 + 3)


@pytest.mark.parametrize("build", [tiny.dense, tiny.subclassed])
def test_zeros_are_counted_apart_and_take_the_same_multiplications(build):
    model = build()
    for variable in model.trainable_variables:
        variable.assign(tf.ones(variable.shape))
    before = costs(model)
    model = conversion.make_prunable(model)
    model_masks.set_masks(model, masks := tiny.half_masks(model))
    after = costs(model)
    assert before.nonzero - after.nonzero == sum((~mask).sum() for mask in masks.values())
    assert (after.parameters, after.multiply_adds) == (before.parameters, before.multiply_adds)


def test_counting_leaves_the_process_as_it_was():
    costs(tiny.dense())
    assert not tf.config.functions_run_eagerly()


def test_an_unbuilt_model_is_refused():
    with pytest.raises(ModelError, match="is not built"):
        costs(keras.Sequential([L.Dense(3)]))


@pytest.mark.slow
def test_networks_cost_what_is_published():
    assert costs(models.build("lenet_300_100", (28, 28, 1), 10)).multiply_adds == 784 * 300 + 300 * 100 + 100 * 10
    mobile = costs(keras.applications.MobileNetV2(weights=None))
    assert mobile.parameters == 3_538_984  # both figures as its authors have them: 3.5 M, 300 M
    assert mobile.multiply_adds == 300_774_272


@pytest.mark.nightly
def test_large_networks_cost_what_is_published():
    assert costs(models.build("resnet_50", (224, 224, 3), 1000)).multiply_adds == 4_089_184_256  # 4.1e9, strides in 3x3
    for name, parameters, expected in [
        ("ResNet50", 25_636_712, 3_857_973_248),  # 3.8e9 in the paper, strides in 1x1
        ("VGG16", 138_357_544, 15_470_264_320),  # 15.5e9
        ("VGG19", 143_667_240, 19_632_062_464),  # 19.6e9 in the paper of ResNets
    ]:
        result = costs(getattr(keras.applications, name)(weights=None))
        assert (result.parameters, result.multiply_adds, result.uncounted) == (parameters, expected, ())


@pytest.mark.filterwarnings("ignore:distutils")  # which tfmot imports
@pytest.mark.skipif(not keras_compat.LEGACY, reason="tfmot wraps models of legacy Keras only")
def test_a_model_that_tfmot_wrapped_costs_what_it_costs_plain():
    from tf_lottery.masking.tfmot_bridge import import_tfmot

    assert costs(import_tfmot().prune_low_magnitude(plain := tiny.convolutional())) == costs(plain)


def test_the_density_of_an_export_is_that_of_the_masks_or_of_the_nonzero_weights():
    model = tiny.half_masked()
    share = tfl.density(model)
    assert 0 < share < 1
    assert density(model) == density(tfl.strip_pruning(model)) == share
    assert density(tiny.dense()) == 1
    assert density(keras.Sequential([keras.Input((3,)), keras.layers.ReLU()])) == 1


@pytest.mark.parametrize(("export", "name"), [(tfl.export.saved_model, "model"), (tfl.export.tflite, "model.tflite")])
def test_an_export_returns_its_density(tmp_path, export, name):
    model = tiny.half_masked()
    assert export(model, tmp_path / name) == tfl.density(model)
    assert export(tiny.dense(), tmp_path / name, overwrite=True) == 1
