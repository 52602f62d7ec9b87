import os
import subprocess
import sys

import pytest
import tiny

from tf_lottery import keras_compat
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion
from tf_lottery.masking.prunable import MaskHolder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "package"), [("1", "tf_keras"), ("true", "tf_keras"), ("0", "keras"), (None, "keras")]
)
def test_the_choice_of_keras_is_tensorflows_own(value, package):
    environment = {name: content for name, content in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    code = (
        "import tensorflow as tf; from tf_lottery.keras_compat import keras;"
        "print(keras.__name__, tf.keras.layers.Dense is keras.layers.Dense)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | ({"TF_USE_LEGACY_KERAS": value} if value else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[0].split(".")[0] == package
    assert done.stdout.split()[1] == "True"


@pytest.mark.slow
@pytest.mark.skipif(keras_compat.LEGACY, reason="legacy Keras has one backend only")
def test_another_backend_is_refused_by_name():
    code = "import keras; keras.backend.backend = lambda: 'jax'; import tf_lottery.keras_compat"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: tf_lottery needs Keras on TensorFlow. Received: KERAS_BACKEND=jax" in done.stderr


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


def test_sequential_and_functional_models_are_layer_graphs_and_subclassed_ones_are_not():
    assert keras_compat.is_layer_graph(tiny.dense())
    assert keras_compat.is_layer_graph(tiny.convolutional())
    assert not keras_compat.is_layer_graph(tiny.subclassed())


def test_own_variables_of_a_wrapper_are_its_masks():
    wrapper = conversion.make_prunable(tiny.dense()).layers[-1]
    assert [keras_compat.own_name(variable) for variable in keras_compat.own_variables(wrapper)] == ["kernel_mask"]


def test_depthwise_kernels_have_one_name_in_both_kerases():
    layer = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.DepthwiseConv2D(2)]).layers[-1]
    assert keras_compat.names_in(layer, keras_compat.own_variables(layer)) == ["kernel", "bias"]


def test_sublayers_and_all_layers_see_wrappers_and_what_is_in_them():
    model = conversion.make_prunable(tiny.nested())
    kinds = [type(layer).__name__ for layer in keras_compat.all_layers(model)]
    assert kinds.count("Prunable") == kinds.count("Dense") == 3
    assert [type(layer).__name__ for layer in keras_compat.sublayers(model.layers[-1])] == ["Dense"]


def test_a_layer_that_is_attached_is_tracked_and_one_that_is_detached_leaves_nothing():
    model = tiny.subclassed()
    before = [id(variable) for variable in model.variables]
    holder = MaskHolder(name="holder")
    keras_compat.attach(model, "holder", holder)
    holder.own_mask(model.first.kernel)
    assert len(model.variables) == len(before) + 1
    keras_compat.detach(model, "holder")
    assert [id(variable) for variable in model.variables] == before
    assert not hasattr(model, "holder")


def test_calls_come_in_an_order_in_which_they_can_be_made():
    model = tiny.convolutional()
    calls = keras_compat.calls(model)
    made = set()
    for call in calls:
        assert set(call.inputs) <= made
        made |= set(call.outputs)
    assert made >= set(keras_compat.output_tensors(model))
    assert [type(call.layer).__name__ for call in (calls[0], calls[-1])] == ["InputLayer", "Dense"]
    assert calls[-1].outputs[0].shape == (None, 3)


def test_a_shared_layer_has_several_calls_and_a_sequential_model_has_one_a_layer():
    model = tiny.nested()
    assert [call.layer.name for call in keras_compat.calls(model)].count("block") == 2
    assert [type(call.layer).__name__ for call in keras_compat.calls(tiny.dense())] == [
        *("InputLayer", "Flatten", "Dense", "Dense")
    ]


@pytest.mark.parametrize(
    ("settings", "is_plain"), [({}, True), ({"training": False}, True), ({"training": True}, False)]
)
def test_calls_know_whether_there_is_more_to_them_than_tensors(settings, is_plain):
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dropout(0.5)(x, **settings))
    assert keras_compat.calls(model)[-1].is_plain == is_plain


def test_masks_of_time_steps_are_more_than_tensors():
    x = keras.Input((4,), dtype="int32")
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Embedding(3, 2, mask_zero=True)(x)))
    assert [call.is_plain for call in keras_compat.calls(model)[-2:]] == [True, False]
