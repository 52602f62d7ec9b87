import os
import subprocess
import sys

import pytest
import tiny

from tf_lottery import keras_api
from tf_lottery.keras_api import keras


@pytest.mark.parametrize(
    ("value", "package"), [("1", "tf_keras"), ("true", "tf_keras"), ("0", "keras"), (None, "keras")]
)
def test_the_choice_of_keras_is_tensorflows_own(value, package):
    environment = {name: content for name, content in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    code = (
        "import tensorflow as tf; from tf_lottery.keras_api import keras;"
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


@pytest.mark.skipif(keras_api.LEGACY, reason="legacy Keras has one backend only")
def test_another_backend_is_refused_by_name():
    code = "import keras; keras.backend.backend = lambda: 'jax'; import tf_lottery.keras_api"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: tf_lottery needs Keras on TensorFlow. Received: KERAS_BACKEND=jax" in done.stderr


def test_own_variables_are_those_that_no_inner_layer_owns():
    model = tiny.convolutional()
    assert keras_api.own_variables(model) == []
    assert [keras_api.own_name(v) for v in keras_api.own_variables(model.get_layer("output"))] == ["kernel", "bias"]


def test_dropout_has_a_random_state_that_can_be_reached():
    dropout = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)]).layers[-1]
    assert len(keras_api.own_variables(dropout)) == 1


@pytest.mark.skipif(not keras_api.LEGACY, reason="Keras 3 always has a random state that can be read")
def test_legacy_randomness_that_cannot_be_read_is_found():
    assert not keras_api.has_hidden_randomness(keras.layers.Dropout(0.5))  # tiny switched it on
    keras.backend.experimental.disable_tf_random_generator()
    try:
        hidden = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)]).layers[-1]
    finally:
        keras.backend.experimental.enable_tf_random_generator()
    assert keras_api.has_hidden_randomness(hidden)
    assert not keras_api.has_hidden_randomness(keras.layers.Dense(1))


def test_sequential_and_functional_models_are_layer_graphs_and_subclassed_ones_are_not():
    class Net(keras.Model):
        def call(self, x):
            return x

    assert keras_api.is_layer_graph(tiny.dense())
    assert keras_api.is_layer_graph(tiny.convolutional())
    assert not keras_api.is_layer_graph(Net())
