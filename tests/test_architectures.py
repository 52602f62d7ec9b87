"""Models of every architecture: each prunable weight is found, has one name, and keeps its mask."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
import tiny
from tiers import always

import tf_lottery as tfl
from tf_lottery import keras_compat
from tf_lottery.keras_compat import keras
from tf_lottery.masking import naming

L = keras.layers
X = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
TOKENS = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]], np.int32)


def made_prunable(model):
    """The prunable model, without the warning that test_layers_that_checkpoints_leave_out_are_named is about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tfl.make_prunable(model)


class Deep(keras.Model):
    """A model with layers in attributes, a list, a dict and another model, and with one layer twice."""

    def __init__(self):
        super().__init__()
        self.first = L.Dense(4)
        self.listed = [L.Dense(4), L.Dense(4)]
        self.keyed = {"a": L.Dense(4, name="a"), "b": L.Dense(4, name="b")}
        self.middle = Middle()
        self.again = self.first

    def call(self, x):
        for layer in [self.first, *self.listed, self.keyed["a"], self.keyed["b"], self.middle, self.again]:
            x = layer(x)
        return x


class Middle(keras.Model):
    def __init__(self):
        super().__init__()
        self.blocks = [tiny.Block(name="part"), tiny.Block(name="part")]
        self.end = keras.Sequential([L.Dense(4, name="end")], name="sequence")

    def call(self, x):
        return self.end(self.blocks[1](self.blocks[0](x)))


DEEP = [
    *("a/kernel", "b/kernel", "dense/kernel", "dense_1/kernel", "dense_2/kernel"),
    *("middle/part.0/inner/kernel", "middle/part.1/inner/kernel", "middle/sequence/end/kernel"),
]


def shared():
    x, layer = keras.Input((4,)), L.Dense(4)
    return keras.Model(x, layer(layer(x)))


def shared_by_two_inner_models():
    layer, x = L.Dense(4, name="shared"), keras.Input((4,))
    first, second = (keras.Sequential([keras.Input((4,)), layer], name=name) for name in ("first", "second"))
    return keras.Model(x, L.Dense(2, name="out")(second(first(x))))


def branched():
    x = keras.Input((4,))
    return keras.Model(x, [L.Dense(2, name="left")(x), L.Dense(3, name="right")(L.Add()([x, L.Dense(4)(x)]))])


def subclassed_inside_functional():
    x = keras.Input((6, 6, 1))
    return keras.Model(x, L.Dense(2, name="out")(tiny.Net(name="net")(x)))


def deep():
    model = Deep()
    model(X[:1])
    return model


GRAPHS = {
    "shared": (shared, X, ["dense/kernel"]),
    "shared by two": (shared_by_two_inner_models, X, ["first/shared/kernel", "out/kernel"]),
    "branched": (branched, X, ["dense/kernel", "left/kernel", "right/kernel"]),
    "nested": (tiny.nested, tiny.X, ["block/inner/kernel", "dense/kernel", "dense_1/kernel"]),
    "subclassed inside": (
        subclassed_inside_functional,
        tiny.X,
        ["net/block/inner/kernel", "net/dense/kernel", "net/head/output/kernel", "out/kernel"],
    ),
    "subclassed, at any depth": (deep, X, DEEP),
}


@pytest.mark.parametrize("graph", always("subclassed, at any depth", among=GRAPHS))
def test_each_prunable_weight_is_found_once_and_stays_pruned(graph):
    build, x, expected = GRAPHS[graph]
    plain = build()
    before, trainable = plain.predict(x, verbose=0), len(plain.trainable_variables)
    model = made_prunable(plain)
    assert sorted(tfl.get_masks(model)) == expected
    assert len(model.trainable_variables) == trainable
    tf.nest.map_structure(np.testing.assert_array_equal, model.predict(x, verbose=0), before)
    tfl.set_masks(model, tiny.half_masks(model))
    losses = ["mse"] * len(before) if isinstance(before, list) else "mse"
    model.compile(keras.optimizers.Adam(0.1), losses, jit_compile=False)
    model.fit(x, tf.nest.map_structure(np.ones_like, before), verbose=0)
    assert tiny.is_pruned_to_plus_zero(model)
    trained = model.predict(x, verbose=0)
    tf.nest.map_structure(np.testing.assert_array_equal, tfl.strip_pruning(model).predict(x, verbose=0), trained)


@pytest.mark.parametrize(
    "end",
    [lambda: [L.LSTM(3)], lambda: [L.Bidirectional(L.GRU(3))], lambda: [L.TimeDistributed(L.Dense(2)), L.LSTM(2)]],
)
def test_keras_masks_pass_through_the_wrappers(end):
    embedding = [keras.Input((6,), dtype="int32"), L.Embedding(10, 4, mask_zero=True), L.Dense(4)]
    plain = keras.Sequential([*embedding, *end()])
    without = keras.Sequential([embedding[0], L.Embedding(10, 4), *plain.layers[1:]])
    without.layers[0].set_weights(plain.layers[0].get_weights())
    expected = plain.predict(TOKENS, verbose=0)
    assert np.array_equal(tfl.make_prunable(plain).predict(TOKENS, verbose=0), expected)
    assert not np.array_equal(without.predict(TOKENS, verbose=0)[0], expected[0])  # so the mask changes the result


def attention_arguments(x, tokens):
    return L.MultiHeadAttention(2, 2)(x, x, attention_mask=tokens[:, None, :] > 3, return_attention_scores=True)


def initial_state(x, tokens):
    return L.LSTM(4, return_state=True)(x, initial_state=[L.Dense(4)(x[:, 0]), L.Dense(4)(x[:, 1])])


def attention_under_keras_masks(x, tokens):
    return L.MultiHeadAttention(2, 2)(L.Dense(4)(x), x)


def several_outputs(x, tokens):
    outputs, state = L.GRU(3, return_sequences=True, return_state=True)(x)
    return [outputs, L.Dense(2)(state)]


@pytest.mark.parametrize("calls", [attention_arguments, initial_state, attention_under_keras_masks, several_outputs])
def test_call_arguments_pass_through_the_wrappers(calls):
    tokens = keras.Input((6,), dtype="int32")
    plain = keras.Model(tokens, calls(L.Embedding(10, 4, mask_zero=True)(tokens), tokens))
    model = tfl.make_prunable(plain)
    expected = plain.predict(TOKENS, verbose=0)
    tf.nest.map_structure(np.testing.assert_array_equal, model.predict(TOKENS, verbose=0), expected)
    tf.nest.map_structure(np.testing.assert_array_equal, tfl.strip_pruning(model).predict(TOKENS, verbose=0), expected)


def test_the_training_argument_reaches_the_layers_inside():
    model = tfl.make_prunable(keras.Sequential([keras.Input((4,)), tiny.Block(), L.Dense(2)]))
    assert not np.array_equal(model(X, training=True), model(X, training=False))
    mean = next(v for v in model.variables if "moving_mean" in v.name)
    assert mean.numpy().any()


@keras.saving.register_keras_serializable(package="tiny")
class Pair(keras.layers.Layer):
    """Makes one layer itself and takes the other from its config, so that a copy numbers them in the other order."""

    def __init__(self, head=None, **kwargs):
        super().__init__(**kwargs)
        self.body = keras.layers.Dense(6, "tanh")
        self.head = keras.layers.Dense(6) if head is None else head

    def build(self, shape):
        for layer in (self.body, self.head):
            if not layer.built:
                layer.build(shape)
        self.built = True

    def call(self, x):
        return self.head(self.body(x))

    def get_config(self):
        return {**super().get_config(), "head": keras.saving.serialize_keras_object(self.head)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "head": keras.saving.deserialize_keras_object(config["head"])})


@pytest.mark.parametrize("after", [[], [lambda: keras.layers.Dense(6)], [lambda: keras.layers.Dense(6), Pair]])
def test_weights_are_copied_by_structure_whatever_the_names_of_the_copies(after):
    plain = keras.Sequential([keras.Input((6,)), Pair(), *(make() for make in after)])
    x = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    expected = plain.predict(x, verbose=0)
    pruned = tfl.make_prunable(plain)
    assert np.array_equal(pruned.predict(x, verbose=0), expected)
    assert np.array_equal(tfl.strip_pruning(pruned).predict(x, verbose=0), expected)
    names = [name for name in naming.named_variables(plain) if "kernel" in name]
    assert list(tfl.get_masks(pruned)) == names
    again = tfl.make_prunable(keras.Sequential([keras.Input((6,)), Pair(), *(make() for make in after)]))
    assert list(tfl.get_masks(again)) == names


def test_layers_that_are_frozen_inside_others_stay_frozen():
    x = keras.Input((4, 6))
    attention = keras.layers.MultiHeadAttention(2, 3)
    plain = keras.Model(x, attention(x, x))
    query = next(layer for layer in keras_compat.sublayers(attention) if layer.name == "query")
    query.trainable = False
    assert len(tfl.make_prunable(plain).trainable_variables) == len(plain.trainable_variables) == 6


def test_lambda_layers_may_be_between_prunable_ones():
    layers_ = [keras.layers.Dense(4), keras.layers.Lambda(lambda x: x * 2), keras.layers.Dense(2)]
    plain = keras.Sequential([keras.Input((3,)), *layers_])
    x = np.ones((2, 3), np.float32)
    assert np.array_equal(tfl.make_prunable(plain).predict(x, verbose=0), plain.predict(x, verbose=0))
