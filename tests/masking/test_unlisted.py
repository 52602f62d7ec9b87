"""Variables that a model uses and no layer lists: where they are found, and under which names."""

import functools
import types

import pandas as pd
import pytest
import tensorflow as tf
import tiny

import tf_lottery as tfl
from tf_lottery.keras_compat import LEGACY, keras
from tf_lottery.masking.unlisted import GLOBAL_SEED, unlisted_variables

NUMBER = tf.Variable(1.0, trainable=False)


def number():
    return tf.Variable(1.0, trainable=False)


def found(loss=None, model=None):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]) if model is None else model
    model.compile("sgd", loss, metrics=[keras.metrics.MeanSquaredError()])
    return set(unlisted_variables(model)) - {GLOBAL_SEED}


def in_a_closure(kept):
    def loss(y_true, y_pred):
        return tf.reduce_mean(y_pred) * kept[0]

    return loss


def with_globals(y_true, y_pred):
    return (lambda: tf.reduce_mean(y_pred) * NUMBER)()


def with_defaults(y_true, y_pred, one=NUMBER, *, other=NUMBER):
    return one + other


def adding(one, y_true, y_pred):
    return tf.reduce_mean(y_pred) * one


class Kept(keras.losses.Loss):
    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    @property
    def own(self):
        return self.kept[1]

    def call(self, y_true, y_pred):
        return tf.reduce_mean(y_pred)


@pytest.mark.parametrize(
    ("loss", "names"),
    [
        ("mse", set()),
        (lambda y_true, y_pred: tf.reduce_mean(y_pred), set()),
        (in_a_closure([number()]), {"loss/kept/0"}),
        (with_globals, {"loss/NUMBER"}),
        (with_defaults, {"loss/0"}),
        (functools.partial(adding, number()), {"loss/1"}),
        (Kept({"a": [number()], "b": number()}), {"loss/kept/a/0", "loss/kept/b"}),
        (Kept(types.SimpleNamespace(b=number())), {"loss/kept/b"}),
        (Kept(tf.random.Generator.from_seed(1)), {"loss/kept"}),
        (Kept(tf.function(with_globals)), {"loss/kept/function/NUMBER"}),
        (Kept(keras.optimizers.SGD()), set()),
        (Kept(keras.metrics.Mean()), set()),
        (Kept(tf), set()),
        (Kept(pd.DataFrame({"a": [1.0]})), set()),
    ],
)
def test_what_a_loss_keeps_is_found_by_its_place(loss, names):
    assert found(loss) == names


def test_a_layer_outside_the_model_is_found_with_all_its_weights():
    teacher = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    teacher.compile("adam")
    assert found(Kept(in_a_closure([teacher]))) == {
        "loss/kept/kept/0/dense/kernel",
        "loss/kept/kept/0/dense/bias",
    }


@pytest.mark.parametrize("in_place", [False, True])
def test_masks_are_not_found(in_place):
    def model():
        layers = [keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)]
        return tfl.make_prunable(keras.Sequential(layers), in_place=in_place)

    names = {"dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"}
    assert found(model=model()) == set()
    assert found(Kept(model()), model=model()) == {f"loss/kept/{name}" for name in names}


def test_what_the_code_of_the_users_classes_names_is_found():
    class Own(keras.layers.Layer):
        def call(self, inputs):
            return inputs * NUMBER

    model = keras.Sequential([keras.Input((2,)), Own(), keras.layers.Dense(1)])
    assert found(model=model) == {"own/call/NUMBER"}


def test_a_long_chain_of_objects_is_followed_to_its_end():
    chain = [number()]
    for _ in range(5000):
        chain = [chain]
    assert len(found(Kept(types.SimpleNamespace(chain=chain)))) == 1


def test_an_attribute_is_not_taken_for_a_global_of_its_name():
    class Own(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.NUMBER = 2.0

        def call(self, inputs):
            return inputs * self.NUMBER

    assert found(model=keras.Sequential([keras.Input((2,)), Own(), keras.layers.Dense(1)])) == set()


def test_a_loss_that_refers_to_its_own_model_adds_nothing():
    model = tiny.dense()
    model.compile("sgd", in_a_closure([model]))
    assert set(unlisted_variables(model)) <= {GLOBAL_SEED}


@pytest.mark.skipif(LEGACY, reason="Keras 3 only: legacy Keras has no SeedGenerator")
def test_the_state_of_a_seed_generator_in_a_loss_is_found():
    assert found(Kept(keras.random.SeedGenerator(1))) == {"loss/kept"}
