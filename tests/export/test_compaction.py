"""Each rule of compaction, on a model small enough to check by eye: two or three units, one of which can go."""

import re

import numpy as np
import pytest
import tiny
from whole_numbers import chain, dense, kept, norm, outputs, values

from tf_lottery.errors import ExportError, ModelError
from tf_lottery.export.compaction import Finding, analyse, compact
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks

SPARE = "1 idle unit stays: every layer keeps at least one"


def two_layers(first, second, bias=(0, 0, 0), activation="relu"):
    """Build a model of 3 inputs, 3 units with these weights (inputs, units) and biases, and 1 or more outputs."""
    model = chain(dense(3, activation=activation), dense(np.shape(second)[1], name="output"), shape=(3,))
    values(model.layers[0], kernel=first, bias=bias)
    values(model.layers[1], kernel=second, bias=[5])
    return model


ONES = np.ones((3, 3))
LAST_DEAD = [[1, 1, 0]] * 3  # weights to 3 units; nothing to the last one


def biases(model, name="output"):
    return np.asarray(model.get_layer(name).bias).tolist()


def test_a_unit_that_nothing_reads_goes_whatever_it_computes():
    model = two_layers(ONES, [[1], [0], [2]], bias=[1, 2, 3])
    assert kept(model) == {"dense": 2, "output": 1}
    assert analyse(model) == {"dense": Finding(3, 2, None), "output": Finding(1, 1, None)}


def test_a_unit_of_value_zero_goes_although_it_is_read():
    assert kept(two_layers(LAST_DEAD, [[1], [1], [7]], bias=[1, 1, -1])) == {"dense": 2, "output": 1}


def test_what_a_constant_unit_adds_goes_into_the_biases_of_its_readers():
    model = two_layers(LAST_DEAD, [[1, 1], [1, 1], [7, -2]], bias=[1, 1, 3])
    assert kept(model) == {"dense": 2, "output": 2}
    assert biases(compact(model)) == [5 + 3 * 7, 5 - 3 * 2]


def test_a_layer_without_a_bias_gets_one_when_it_has_to_hold_a_constant():
    model = chain(dense(2), dense(1, use_bias=False, name="output"), shape=(2,))
    values(model.layers[0], kernel=[[1, 0], [1, 0]], bias=[0, 4])
    values(model.layers[1], kernel=[[1], [2]])
    assert kept(model) == {"dense": 1, "output": 1}
    assert biases(compact(model)) == [8]
    values(model.layers[0], kernel=[[1, 0], [1, 0]])
    assert not compact(model).get_layer("output").use_bias  # nothing to hold


def test_constants_are_carried_through_layers_and_what_they_need_goes_too():
    model = chain(dense(2, activation="relu"), dense(3, activation="relu"), dense(1, name="output"), shape=(2,))
    values(model.layers[0], kernel=[[1, 0], [1, 0]], bias=[0, 2])
    values(model.layers[1], kernel=[[1, 0, 1], [1, 3, 0]], bias=[0, 1, 0])  # the second unit is 2 * 3 + 1
    values(model.layers[2], kernel=[[1], [10], [0]])
    assert kept(model) == {"dense": 1, "dense_1": 1, "output": 1}
    assert biases(compact(model)) == [70]


def test_removal_continues_upstream_until_nothing_more_goes():
    model = chain(*(dense(3, activation="relu") for _ in range(3)), dense(1, name="output"), shape=(3,))
    for layer in model.layers[:3]:
        values(layer, kernel=np.eye(3))
    values(model.layers[3], kernel=[[1], [0], [0]])
    assert kept(model) == {"dense": 1, "dense_1": 1, "dense_2": 1, "output": 1}


def test_every_layer_keeps_at_least_one_unit():
    model = two_layers(ONES, [[0], [0], [0]])
    assert kept(model) == {"dense": 1, "output": 1}
    assert analyse(model)["dense"].why == SPARE


def test_a_layer_of_constants_keeps_one_of_them_and_its_value():
    model = two_layers(np.zeros((3, 3)), [[1], [1], [1]], bias=[2, 3, 4])
    assert kept(model) == {"dense": 1, "output": 1}
    assert biases(compact(model)) == [5 + 3 + 4]


def test_a_spare_unit_keeps_nothing_before_it():
    model = chain(dense(3), dense(2), dense(1, name="output"), shape=(3,))
    values(model.layers[0], kernel=ONES)
    values(model.layers[1], kernel=np.ones((3, 2)))
    values(model.layers[2], kernel=[[0], [0]])
    assert kept(model) == {"dense": 1, "dense_1": 1, "output": 1}


def convolutions(padding, bias, first_activation="relu", size=3, **settings):
    """Build a convolution that reads a unit of value relu(bias) and one that depends on the input."""
    model = chain(
        keras.layers.Conv2D(2, 1, activation=first_activation, name="first"),
        keras.layers.Conv2D(1, size, padding=padding, name="second", **settings),
        shape=(5, 5, 1),
    )
    values(model.layers[0], kernel=[[[[1, 0]]]], bias=[0, bias])
    values(model.layers[1], kernel=np.arange(1, 2 * size * size + 1).reshape(size, size, 2, 1), bias=[1])
    return model


def test_a_valid_convolution_takes_a_constant_into_its_bias_for_all_its_taps():
    model = convolutions("valid", 2)
    assert kept(model) == {"first": 1, "second": 1}
    assert biases(compact(model), "second") == [1 + 2 * sum(range(2, 19, 2))]


def test_a_convolution_that_meets_zeros_at_the_border_keeps_constants_other_than_zero():
    model = convolutions("same", 2)
    assert kept(model) == {"first": 2, "second": 1}
    assert analyse(model)["first"].why == (
        "1 idle unit stays: 'second' meets zeros at the border, so that no bias can stand for a constant other than 0"
    )
    assert kept(convolutions("same", -2)) == {"first": 1, "second": 1}  # relu makes 0 of it
    assert kept(convolutions("same", 2, size=1)) == {"first": 1, "second": 1}  # no tap beside the pixel


def test_taps_that_never_meet_the_border_can_be_folded_where_the_others_are_zero():
    model = convolutions("same", 2)
    kernel = np.ones((3, 3, 2, 1))
    kernel[:, :, 1] = 0
    kernel[1, 1, 1] = 7
    values(model.layers[1], kernel=kernel)
    assert kept(model) == {"first": 1, "second": 1}
    assert biases(compact(model), "second") == [2 * 7]


def test_zeros_around_an_image_stop_constants_as_same_padding_does():
    model = chain(
        keras.layers.Conv2D(2, 1, name="first"),
        keras.layers.ZeroPadding2D(1),
        keras.layers.Conv2D(1, 3, name="second"),
        shape=(4, 4, 1),
    )
    values(model.layers[0], kernel=[[[[1, 0]]]], bias=[0, 2])
    values(model.layers[2], kernel=1)
    assert kept(model) == {"first": 2, "second": 1}
    values(model.layers[0], kernel=[[[[1, 0]]]])
    assert kept(model) == {"first": 1, "second": 1}


def test_batch_norm_takes_part_in_the_constant_and_goes_with_its_unit():
    model = chain(dense(3, use_bias=False), norm(), keras.layers.ReLU(), dense(1, name="output"), shape=(3,))
    values(model.layers[0], kernel=LAST_DEAD)
    values(model.layers[1], beta=[0, 0, 3], gamma=[1, 1, 2], moving_mean=[0, 1, -1], moving_variance=[1, 4, 4])
    values(model.layers[3], kernel=[[1], [1], [5]])
    assert kept(model) == {"dense": 2, "output": 1}
    assert biases(compact(model)) == [5 * (3 + 1 * 2 / 2)]


def test_batch_norm_without_gain_makes_a_constant_of_a_unit_that_lives():
    model = chain(dense(2), norm(), dense(1, name="output"), shape=(2,))
    values(model.layers[0], kernel=np.ones((2, 2)))
    values(model.layers[1], gamma=[1, 0], beta=[0, 4], moving_mean=[0, 9])
    values(model.layers[2], kernel=[[1], [2]])
    assert kept(model) == {"dense": 1, "output": 1}
    assert biases(compact(model)) == [8]


def branches(merge, second_kernel, output_kernel):
    x = keras.Input((2,))
    first, second = dense(2, name="first")(x), dense(2, name="second")(x)
    model = keras.Model(x, dense(1, name="output")(merge([first, second])))
    values(model.get_layer("first"), kernel=[[1, 0], [1, 0]], bias=[0, 2])
    values(model.get_layer("second"), kernel=second_kernel, bias=[0, 3])
    values(model.get_layer("output"), kernel=output_kernel)
    return model


def test_channels_that_are_added_go_together_or_not_at_all():
    both_constant = branches(keras.layers.Add(), [[1, 0], [1, 0]], [[1], [2]])
    assert kept(both_constant) == {"first": 1, "second": 1, "output": 1}
    assert biases(compact(both_constant)) == [2 * (2 + 3)]
    one_constant = branches(keras.layers.Add(), [[1, 1], [1, 1]], [[1], [2]])
    assert kept(one_constant) == {"first": 2, "second": 2, "output": 1}
    assert analyse(one_constant)["first"].why == "1 idle unit stays: bound to channels that 'output' reads"
    unread = branches(keras.layers.Add(), [[1, 1], [1, 1]], [[1], [0]])
    assert kept(unread) == {"first": 1, "second": 1, "output": 1}


@pytest.mark.parametrize(("merge", "value"), [("Subtract", 2 - 3), ("Average", 2.5), ("Maximum", 3), ("Minimum", 2)])
def test_constants_are_merged_as_the_layer_merges_them(merge, value):
    model = branches(getattr(keras.layers, merge)(), [[1, 0], [1, 0]], [[1], [2]])
    assert kept(model) == {"first": 1, "second": 1, "output": 1}
    assert biases(compact(model)) == [2 * value]


def test_concatenated_channels_go_one_by_one():
    model = branches(keras.layers.Concatenate(), [[1, 1], [1, 1]], [[1], [10], [0], [1]])
    assert kept(model) == {"first": 1, "second": 1, "output": 1}
    assert biases(compact(model)) == [2 * 10]
    np.testing.assert_array_equal(compact(model).get_layer("second").kernel, [[1], [1]])


def test_depthwise_convolutions_bind_what_comes_in_to_what_goes_out():
    model = chain(
        keras.layers.Conv2D(3, 1, name="first"),
        keras.layers.DepthwiseConv2D(2, depth_multiplier=2, name="depthwise"),
        keras.layers.Conv2D(1, 1, name="last"),
        shape=(3, 3, 1),
    )
    values(model.layers[0], kernel=1)
    kernel = np.ones((2, 2, 3, 2))
    kernel[:, :, 1] = 0  # of both channels that come from the second
    values(model.layers[1], kernel=kernel, bias=[0, 0, 2, 3, 0, 0])
    values(model.layers[2], kernel=np.array([1, 2, 3, 4, 0, 5]).reshape(1, 1, 6, 1))
    assert kept(model) == {"first": 2, "depthwise": 4, "last": 1}
    assert biases(compact(model), "last") == [2 * 3 + 3 * 4]


def test_flattening_multiplies_channels_in_the_order_of_the_pixels():
    model = chain(
        keras.layers.Conv2D(2, 1, name="first"), keras.layers.Flatten(), dense(1, name="output"), shape=(2, 2, 1)
    )
    values(model.layers[0], kernel=[[[[1, 1]]]])
    values(model.layers[2], kernel=[[1], [0], [2], [0], [3], [0], [4], [0]])
    assert kept(model) == {"first": 1, "output": 1}
    np.testing.assert_array_equal(compact(model).get_layer("output").kernel, [[1], [2], [3], [4]])
    values(model.layers[2], kernel=[[1], [0], [2], [1], [3], [0], [4], [0]])  # read at one pixel
    assert kept(model) == {"first": 2, "output": 1}


def test_a_layer_that_is_called_twice_has_to_agree_with_itself():
    x = keras.Input((2,))
    shared = dense(2, name="shared")
    total = keras.layers.Add()([shared(x), shared(keras.layers.ReLU()(x))])
    twice = keras.layers.Concatenate()([shared(x), shared(total)])
    model = keras.Model(x, dense(1, name="output")(twice))
    values(shared, kernel=[[1, 0], [1, 0]], bias=[0, 1])
    values(model.get_layer("output"), kernel=[[1], [0], [1], [0]])
    assert kept(model) == {"shared": 2, "output": 1}  # its own input has two channels, and nothing removes those


def test_a_constant_that_differs_between_calls_is_not_folded():
    x = keras.Input((1,))
    first, second, shared = dense(2, name="first"), dense(2, name="second"), dense(1, name="shared")
    model = keras.Model(x, keras.layers.Concatenate()([shared(first(x)), shared(second(x))]))
    values(first, kernel=[[1, 0]], bias=[0, 2])
    values(second, kernel=[[1, 0]], bias=[0, 3])
    values(shared, kernel=[[1], [1]])
    assert kept(model) == {"first": 2, "second": 2, "shared": 1}
    assert analyse(model)["first"].why == "1 idle unit stays: 'shared' is called with different constants"
    values(second, kernel=[[1, 0]], bias=[0, 2])
    assert kept(model) == {"first": 1, "second": 1, "shared": 1}


def test_a_tap_that_meets_pixels_in_one_call_and_zeros_in_another_is_not_folded():
    long, short = keras.Input((4, 1)), keras.Input((1, 1))
    first = keras.layers.Conv1D(2, 1, name="first")
    second = keras.layers.Conv1D(1, 3, strides=2, padding="same", name="second")
    model = keras.Model([long, short], [second(first(long)), second(first(short))])
    values(first, kernel=[[[1, 0]]], bias=[0, 2])
    values(second, kernel=[[[1], [5]], [[1], [0]], [[1], [0]]])  # before a single pixel there is only a zero
    assert kept(model) == {"first": 2, "second": 1}
    values(second, kernel=[[[1], [0]], [[1], [5]], [[1], [0]]])
    assert kept(model) == {"first": 1, "second": 1}


def test_softmax_reads_all_units_and_outputs_stay():
    model = chain(dense(2, activation="softmax"), dense(1, name="output"), shape=(2,))
    values(model.layers[0], kernel=[[1, 0], [1, 0]])
    values(model.layers[1], kernel=[[1], [0]])
    assert kept(model) == {"dense": 2, "output": 1}
    assert analyse(model)["dense"].why == "1 idle unit stays: 'dense' has an activation that may mix units"
    model = two_layers(ONES, [[1, 0], [1, 0], [1, 0]])
    assert kept(model) == {"dense": 3, "output": 2}
    assert analyse(model)["output"].why == "1 idle unit stays: the model returns them"


@pytest.mark.parametrize("layer", ["LayerNormalization", "Multiply", "custom"])
def test_unknown_layers_keep_everything_before_them(layer):
    x = keras.Input((2,))
    y = dense(2)(x)
    blocks = {"Multiply": lambda: keras.layers.Multiply()([y, y]), "custom": lambda: tiny.Block(2)(y)}
    z = blocks.get(layer, lambda: getattr(keras.layers, layer)()(y))()
    model = keras.Model(x, dense(1, name="output")(z))
    values(model.layers[1], kernel=0)
    values(model.get_layer("output"), kernel=0)
    assert {name: size for name, size in kept(model).items() if name != "block/inner"}["dense"] == 2
    assert "is of a class that compaction does not know" in analyse(model)["dense"].why


def test_the_models_inside_a_model_become_smaller_within_their_own_borders():
    inner = keras.Sequential([keras.Input((2,)), dense(3, activation="relu", name="in"), dense(2)], name="inner")
    x = keras.Input((2,))
    model = keras.Model(x, dense(1, name="output")(inner(inner(x))))
    values(inner.layers[0], kernel=[[1, 0, 1], [1, 0, 1]], bias=[0, 3, 0])
    values(inner.layers[1], kernel=[[1, 1], [2, 2], [0, 0]])
    values(model.get_layer("output"), kernel=[[1], [0]])
    assert kept(model) == {"inner/in": 1, "inner/dense": 2, "output": 1}


def test_a_model_inside_that_is_called_to_train_stays_as_it_is():
    inner = keras.Sequential([keras.Input((2,)), dense(3, name="in"), norm(), dense(2)], name="inner")
    x = keras.Input((2,))
    model = keras.Model(x, inner(x, training=True))
    values(inner.layers[0], kernel=[[1, 0, 1], [1, 0, 1]])
    values(inner.layers[2], kernel=1)
    assert analyse(model) == {}
    assert compact(model).count_params() == model.count_params()
    assert compact(inner).count_params() < inner.count_params()


def test_a_layer_that_two_of_the_models_call_stays_as_it_is():
    shared = dense(3, name="shared")
    inner = keras.Sequential([keras.Input((3,)), shared, dense(3, name="out")], name="inner")
    x = keras.Input((3,))
    model = keras.Model(x, inner(shared(x)))
    values(shared, kernel=LAST_DEAD)
    values(inner.layers[1], kernel=1)
    assert set(kept(model).values()) == {3}
    assert analyse(model)["shared"] == Finding(3, 3, "all stay: it is called in more than one of the models inside")


def test_a_subclassed_model_is_returned_as_it_is_with_the_reason():
    model = tiny.subclassed()
    with pytest.warns(UserWarning, match="Net stays as it is: it is a subclassed model"):
        assert compact(model) is model
    with pytest.warns(UserWarning, match="Only Sequential and functional models"):
        assert analyse(model) == {}


def test_masks_are_applied_and_gone():
    model = conversion.make_prunable(tiny.dense())
    masks = model_masks.get_masks(model)
    masks["dense/kernel"][:, 1:] = False
    model_masks.set_masks(model, masks)
    smaller = compact(model)
    assert [type(layer).__name__ for layer in smaller.layers] == ["Flatten", "Dense", "Dense"]
    assert smaller.layers[1].units == 1
    assert smaller.layers[1].kernel.constraint is None
    np.testing.assert_allclose(
        outputs(smaller, [tiny.X]), outputs(conversion.plain(model), [tiny.X]), rtol=1e-5, atol=1e-6
    )
    assert model.layers[1].layer.units == 4


def test_settings_stay_and_frozen_layers_stay_frozen():
    model = chain(
        dense(
            3, activation="relu", kernel_regularizer="l2", kernel_constraint="non_neg", trainable=False, name="first"
        ),
        dense(1, name="output"),
        shape=(2,),
    )
    values(model.layers[0], kernel=[[1, 0, 0], [1, 0, 0]])
    values(model.layers[1], kernel=1)
    before, after = model.layers[0].get_config(), compact(model).layers[0].get_config()
    assert after == before | {"units": 1}
    assert [layer.trainable for layer in compact(model).layers] == [False, True]
    model.layers[0].trainable, model.layers[1].trainable = True, False
    assert [layer.trainable for layer in compact(model).layers] == [True, False]


def test_several_inputs_and_outputs_keep_their_order():
    first, second = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    hidden = dense(2, name="hidden")(keras.layers.Concatenate()([second, first]))
    model = keras.Model([first, second], [dense(1, name="x")(hidden), dense(2, name="y")(hidden), hidden])
    values(model.get_layer("hidden"), kernel=np.arange(10).reshape(5, 2) * [1, 0])
    values(model.get_layer("x"), kernel=1)
    values(model.get_layer("y"), kernel=[[1, 2], [3, 4]])
    assert kept(model) == {"hidden": 2, "x": 1, "y": 2}  # it is an output itself
    model = keras.Model([first, second], model.outputs[:2])
    assert kept(model) == {"hidden": 1, "x": 1, "y": 2}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinite_weights_are_refused_by_name(bad):
    model = two_layers(ONES * bad, [[1], [1], [1]])
    for function in (compact, analyse):
        with pytest.raises(ExportError, match=re.escape("Weight 'dense/kernel' has values that are NaN or infinite")):
            function(model)


def test_a_bias_that_its_dtype_cannot_hold_is_refused():
    model = chain(dense(2, dtype="float16"), dense(1, dtype="float16", name="output"), shape=(1,))
    values(model.layers[0], kernel=[[1, 0]], bias=[0, 60000])
    values(model.layers[1], kernel=[[1], [2]])
    with pytest.raises(ExportError, match=r"Layer 'output' would get a bias too large for float16"):
        compact(model)


def test_models_that_are_not_built_and_other_objects_are_refused():
    with pytest.raises(ModelError, match="is not built"):
        compact(keras.Sequential([dense(1)]))
    with pytest.raises(ModelError, match="Received"):
        analyse("model")
