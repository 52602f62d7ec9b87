"""A model that shares layers with the one that `make_prunable` copies keeps the old ones: a warning where it shows."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

import tf_lottery as tfl
from tf_lottery.keras_compat import keras

L = keras.layers
WAY_OUT = "call `make_prunable(model, in_place=True)`."


def base():
    x = keras.Input((8,))
    return keras.Model(x, L.Dense(5, name="last")(L.Dense(6, name="middle")(x)), name="base")


def head_on_the_output():
    inner = base()
    return keras.Model(inner.input, L.Dense(2)(inner.output))


def head_in_the_middle():
    inner = base()
    return keras.Model(inner.input, L.Dense(2)(inner.get_layer("middle").output))


def second_head_on_the_output():
    inner = base()
    keras.Model(inner.input, L.Dense(3)(inner.output))
    return keras.Model(inner.input, L.Dense(2)(inner.output))


def nested():
    x = keras.Input((8,))
    return keras.Model(x, L.Dense(2)(base()(x)))


def nested_in_a_sequential_model():
    return keras.Sequential([keras.Input((8,)), base(), L.Dense(2)])


def sequential_layer_by_layer():
    model = keras.Sequential([keras.Input((8,))])
    for layer in (base(), L.Dense(3), L.Dense(2)):
        model.add(layer)
    return model


def one_layer_called_twice():
    first, second, shared = keras.Input((8,)), keras.Input((8,)), L.Dense(4)
    return keras.Model([first, second], L.Add()([shared(first), shared(second)]))


def a_layer_without_weights_in_two_models():
    x, shared = keras.Input((8,)), L.ReLU()
    shared(keras.Input((3,)))
    return keras.Model(x, shared(L.Dense(2)(x)))


def clone():
    return keras.models.clone_model(nested())


ALONE = [
    *(head_on_the_output, head_in_the_middle, second_head_on_the_output, nested, nested_in_a_sequential_model),
    *(sequential_layer_by_layer, one_layer_called_twice, a_layer_without_weights_in_two_models, clone),
]


@pytest.mark.parametrize("build", ALONE, ids=lambda build: build.__name__)
def test_transfer_learning_and_nested_models_are_silent_however_often_they_are_copied(build):
    plain = tfl.strip_pruning(tfl.make_prunable(build()))  # warnings are errors
    assert len(tfl.get_masks(tfl.make_prunable(plain))) > 0


def base_of_a_model_with_a_head():
    inner = base()
    keras.Model(inner.input, L.Dense(2, name="head")(inner.output))
    return inner


def base_that_a_model_calls():
    x, inner = keras.Input((8,)), base()
    keras.Model(x, L.Dense(2)(inner(x)))
    return inner


def sequential_base_that_a_model_calls():
    x, inner = keras.Input((8,)), keras.Sequential([keras.Input((8,)), L.Dense(5)], name="base")
    keras.Model(x, L.Dense(2)(inner(x)))
    return inner


def second_half():
    inner = base()
    return keras.Model(inner.get_layer("middle").output, inner.output, name="half")


def autoencoder_whose_decoder_calls_a_layer():
    inner, code = base(), keras.Input((6,))
    keras.Model(code, inner.get_layer("last")(code))
    return inner


def two_towers():
    first, second, shared = keras.Input((8,)), keras.Input((8,)), L.Dense(4, name="shared")
    keras.Model(second, L.Dense(3)(shared(second)))
    return keras.Model(first, L.Dense(2)(shared(first)), name="tower")


def nested_layer_that_another_model_calls():
    x, inner = keras.Input((8,)), base()
    inner.get_layer("last")(keras.Input((6,)))
    return keras.Model(x, L.Dense(2)(inner(x)), name="outer")


def feature_space():
    space = keras.utils.FeatureSpace({"a": "float", "b": "float"}, output_mode="concat")
    column = np.arange(8, dtype=np.float32)
    space.adapt(tf.data.Dataset.from_tensor_slices({"a": column, "b": column}).batch(4))
    features = space.get_encoded_features()
    output = L.Dense(1, name="last")(L.Dense(8, name="middle")(features))
    keras.Model(space.get_inputs(), output)  # for inference
    return keras.Model(features, output, name="training")


SHARED = {
    base_of_a_model_with_a_head: "a copy of 'base', but its outputs are used by 'head': ",
    base_that_a_model_calls: "a copy of 'base', but the model itself is called in another one: ",
    sequential_base_that_a_model_calls: "a copy of 'base', but the model itself is called in another one: ",
    second_half: "a copy of 'half', but its layers 'last' are called in another one: ",
    autoencoder_whose_decoder_calls_a_layer: "a copy of 'base', but its layers 'last' are called in another one: ",
    two_towers: "a copy of 'tower', but its layers 'shared' are called in another one: ",
    nested_layer_that_another_model_calls: "a copy of 'outer', but its layers 'last' are called in another one: ",
    feature_space: "a copy of 'training', but its layers 'last', 'middle' are called in another one: ",
}


@pytest.mark.parametrize("build", SHARED, ids=lambda build: build.__name__)
def test_sharing_that_the_graph_shows_is_warned_of_at_the_line_of_the_user(build):
    plain = build()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tfl.make_prunable(plain)
    (warning,) = caught
    assert SHARED[build] in str(warning.message)
    assert str(warning.message).endswith(WAY_OUT)
    assert warning.filename == __file__
