import numpy as np
import pytest
import tensorflow as tf
import tiny

import tf_lottery as tfl
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion


def adapted(layer, examples):
    layer.adapt(examples)
    return layer


LEARNED = {
    "normalization": (
        lambda: adapted(keras.layers.Normalization(), 4 * np.random.randn(50, 4) + 9),
        tiny.X[:, 0, :4, 0],
    ),
    "discretization": (
        lambda: adapted(keras.layers.Discretization(num_bins=4), np.random.randn(50, 4)),
        tiny.X[:, 0, :4, 0],
    ),
    "lookup": (lambda: adapted(keras.layers.IntegerLookup(), np.array([1, 5, 9])), np.array([[1, 5, 9, 3]])),
}


@pytest.mark.parametrize("kind", LEARNED)
def test_copies_keep_what_layers_have_learned_by_adapt(kind):
    make, x = LEARNED[kind]
    inputs = keras.Input((4,), dtype=str(x.dtype))
    features = keras.layers.Lambda(lambda found: tf.cast(found, tf.float32))(make()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(features))
    expected = model(x).numpy()
    prunable = tfl.make_prunable(model)
    for copy in (prunable, tfl.strip_pruning(prunable), conversion.plain(model), conversion.plain(prunable)):
        assert (copy(x).numpy() == expected).all()


def test_copies_keep_it_in_layers_inside_layers_too():
    inner = keras.Sequential([keras.Input((4,)), adapted(keras.layers.Normalization(), 4 * np.random.randn(50, 4) + 9)])
    model = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(2)])
    x = tiny.X[:, 0, :4, 0]
    assert (conversion.plain(model)(x).numpy() == model(x).numpy()).all()


def test_synchronized_batch_norm_stays_synchronized():
    layers_of = [keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization(synchronized=True)]
    wrapped = tfl.make_prunable(keras.Sequential(layers_of))
    assert wrapped.layers[1].synchronized
    assert tfl.strip_pruning(wrapped).layers[1].synchronized


def test_a_layer_without_get_config_is_named():
    class Opaque(keras.layers.Dense):
        def get_config(self):
            raise NotImplementedError

    model = keras.Sequential([keras.Input((2,)), Opaque(1, name="opaque")])
    with pytest.raises(ModelError, match=r"'opaque' \(Opaque\) cannot be recreated from its config"):
        tfl.make_prunable(model)


def test_frozen_layers_stay_frozen():
    plain = tiny.dense()
    plain.layers[-1].trainable = False
    assert len(tfl.make_prunable(plain).trainable_variables) == 2
    model = tiny.subclassed()
    model.block.trainable = False
    before = len(model.trainable_variables)
    assert len(tfl.make_prunable(model).trainable_variables) == before == 4
