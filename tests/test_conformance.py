"""The `Prunable` wrapper passes Keras 3's own check of a layer, and a check of the same kind on legacy Keras."""

import numpy as np
import pytest
import tiny

from tf_lottery import keras_compat
from tf_lottery.keras_compat import keras
from tf_lottery.masking.prunable import Prunable

L = keras.layers
# kind: layer, shape of the input (a list of shapes for several inputs), shape of the output, support for Keras masks
LAYERS = {
    "Dense": (lambda: L.Dense(3), (2, 4), (2, 3), True),
    "Conv2D": (lambda: L.Conv2D(3, 2), (2, 4, 4, 1), (2, 3, 3, 3), False),
    "Embedding": (lambda: L.Embedding(5, 3), (2, 4), (2, 4, 3), False),
    "LSTM": (lambda: L.LSTM(3), (2, 4, 3), (2, 3), True),
    "Bidirectional": (lambda: L.Bidirectional(L.GRU(2)), (2, 4, 3), (2, 4), True),
    "TimeDistributed": (lambda: L.TimeDistributed(L.Dense(2)), (2, 4, 3), (2, 4, 2), True),
    "a layer of layers": (lambda: tiny.Block(), (2, 4), (2, 4), False),
}


@pytest.mark.skipif(keras_compat.LEGACY, reason="legacy Keras has no such check")
@pytest.mark.filterwarnings("ignore:The NumPy module was reloaded:UserWarning")
@pytest.mark.parametrize("kind", LAYERS)
def test_a_wrapper_passes_the_layer_test_of_keras(kind):
    from keras.src.testing import TestCase

    make, input_shape, output_shape, supports_masking = LAYERS[kind]
    TestCase().run_layer_test(
        lambda **kwargs: Prunable(
            make(), **kwargs
        ),  # a new layer for each wrapper, because a layer has one set of masks
        init_kwargs={},
        input_shape=input_shape,
        expected_output_shape=output_shape,
        supports_masking=supports_masking,
        custom_objects={"Block": tiny.Block},
        run_training_check=False,  # it passes no `y`; test_layer_kinds trains
    )


# MultiHeadAttention takes several arguments, and Keras 3's check can pass only one.
BY_HAND = {
    **LAYERS,
    "MultiHeadAttention": (lambda: L.MultiHeadAttention(2, 2), [(2, 3, 4), (2, 5, 6)], (2, 3, 4), True),
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_a_wrapper_behaves_as_a_layer(kind):
    make, shapes, output_shape, supports_masking = BY_HAND[kind]
    shapes = shapes if isinstance(shapes, list) else [shapes]
    x = [np.arange(np.prod(shape), dtype=np.float32).reshape(shape) % 5 for shape in shapes]
    wrapper = Prunable(make())
    again = Prunable.from_config(wrapper.get_config())
    assert (again.name, type(again.layer), again.only) == (wrapper.name, type(wrapper.layer), None)
    assert wrapper.supports_masking == supports_masking
    assert not wrapper.built
    outputs = np.asarray(wrapper(*x))
    assert wrapper.built
    assert outputs.shape == output_shape
    symbolic = again(*[keras.Input(shape[1:], batch_size=shape[0]) for shape in shapes])
    assert tuple(symbolic.shape) == output_shape
    assert [(v.shape, v.dtype) for v in again.weights] == [(v.shape, v.dtype) for v in wrapper.weights]
    assert len(again.trainable_weights) == len(wrapper.layer.trainable_weights)
    again.set_weights(wrapper.get_weights())
    assert np.array_equal(again(*x), outputs)
