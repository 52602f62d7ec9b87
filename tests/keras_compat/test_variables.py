import pytest
import tiny

from tf_lottery import keras_compat
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion


def test_own_variables_are_those_that_no_inner_layer_owns():
    model = tiny.convolutional()
    assert keras_compat.own_variables(model) == []
    assert [keras_compat.own_name(v) for v in keras_compat.own_variables(model.get_layer("output"))] == [
        "kernel",
        "bias",
    ]


def test_dropout_has_a_random_state_that_can_be_reached():
    dropout = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)]).layers[-1]
    assert len(keras_compat.own_variables(dropout)) == 1


@pytest.mark.skipif(not keras_compat.LEGACY, reason="Keras 3 always has a random state that can be read")
def test_legacy_randomness_that_cannot_be_read_is_found():
    assert not keras_compat.has_hidden_randomness(keras.layers.Dropout(0.5))  # tiny switched it on
    keras.backend.experimental.disable_tf_random_generator()
    try:
        hidden = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)]).layers[-1]
    finally:
        keras.backend.experimental.enable_tf_random_generator()
    assert keras_compat.has_hidden_randomness(hidden)
    assert not keras_compat.has_hidden_randomness(keras.layers.Dense(1))


def test_own_variables_of_a_wrapper_are_its_masks():
    wrapper = conversion.make_prunable(tiny.dense()).layers[-1]
    assert [keras_compat.own_name(variable) for variable in keras_compat.own_variables(wrapper)] == ["mask_of_kernel"]


def test_depthwise_kernels_have_one_name_in_both_kerases():
    layer = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.DepthwiseConv2D(2)]).layers[-1]
    assert keras_compat.names_in(layer, keras_compat.own_variables(layer)) == ["kernel", "bias"]
