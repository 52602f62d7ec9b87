"""Compaction of random graphs of layers: bit for bit with whole numbers, and closely with other numbers."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from whole_numbers import examples, kept, norm, outputs, spread_numbers

from tf_lottery.export.compaction import compact
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion

L = keras.layers


def convolved(draw, x, tensors):
    size, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    padding = "same" if size > min(x.shape[1:3]) else draw(st.sampled_from(["same", "valid"]))
    activation, bias = draw(st.sampled_from([None, "relu"])), draw(st.booleans())
    return L.Conv2D(draw(st.integers(1, 4)), size, stride, padding, activation=activation, use_bias=bias)(x)


def depthwise(draw, x, tensors):
    size = draw(st.integers(1, min(2, *x.shape[1:3])))
    padding = draw(st.sampled_from(["same", "valid"]))
    return L.DepthwiseConv2D(size, padding=padding, depth_multiplier=draw(st.integers(1, 2)))(x)


def passed(draw, x, tensors):
    return draw(st.sampled_from([norm, L.ReLU, lambda: L.Dropout(0.5), lambda: L.PReLU(shared_axes=[1, 2])]))()(x)


def pooled(draw, x, tensors):
    if min(x.shape[1:3]) < 2:
        return x
    kind = draw(st.sampled_from([L.MaxPooling2D, L.AveragePooling2D]))
    return kind(2, strides=draw(st.integers(1, 2)), padding=draw(st.sampled_from(["same", "valid"])))(x)


def resized(draw, x, tensors):
    if max(x.shape[1:3]) > 6:
        return x
    return draw(st.sampled_from([lambda: L.ZeroPadding2D(1), lambda: L.UpSampling2D(2)]))()(x)


def joined(draw, x, tensors):
    """Join `x` with an earlier tensor, which is made to fit where it does not."""
    other = draw(st.sampled_from(tensors))
    if other.shape[1:3] != x.shape[1:3]:
        other = L.Conv2D(draw(st.integers(1, 3)), 1)(x)
    merge = draw(st.sampled_from([L.Concatenate, L.Add, L.Subtract, L.Maximum]))
    if merge is not L.Concatenate and other.shape != x.shape:
        other = L.Conv2D(x.shape[-1], 1)(other)
    return merge()([x, other])


def shared(draw, x, tensors):
    """Apply one layer twice, the second time to the output of another layer."""
    layer = L.Conv2D(draw(st.integers(1, 3)), draw(st.integers(1, 2)), padding="same")
    other = L.Conv2D(x.shape[-1], 1, activation="relu")(draw(st.sampled_from(tensors)))
    first, second = layer(x), layer(other)
    return L.Add()([first, second]) if first.shape == second.shape else first


STEPS = [convolved, convolved, passed, passed, depthwise, pooled, resized, joined, joined, shared]


def graph(draw):
    """Draw a functional model of up to eight layers on images with a head of up to two more, often with two outputs."""
    image = keras.Input((draw(st.integers(3, 5)), draw(st.integers(3, 5)), draw(st.integers(1, 3))))
    tensors = [L.Conv2D(draw(st.integers(2, 4)), 1)(image)]
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=6)):
        tensors.append(step(draw, draw(st.sampled_from(tensors[-2:])), tensors))
    x = draw(st.sampled_from([L.Flatten, L.GlobalMaxPooling2D]))()(tensors[-1])
    x = L.Dense(draw(st.integers(1, 4)), activation="relu", use_bias=draw(st.booleans()))(x)
    results = [L.Dense(2)(x)]
    if draw(st.booleans()):
        results.append(L.Dense(2)(L.Concatenate()([x, L.GlobalMaxPooling2D()(draw(st.sampled_from(tensors)))])))
    return keras.Model(image, results)


@pytest.fixture(autouse=True)
def doubles():
    """Compute in float64, so that whole numbers stay exact through all layers."""
    before, policy = keras.backend.floatx(), keras.mixed_precision.global_policy()
    keras.backend.set_floatx("float64")
    keras.mixed_precision.set_global_policy("float64")  # what other tests have set would count more
    yield
    keras.mixed_precision.set_global_policy(policy)
    keras.backend.set_floatx(before)
    keras.backend.clear_session()


def all_properties(data, seed, density):
    model = graph(data.draw)  # not in a strategy: Keras draws random numbers
    spread_numbers(model, np.random.default_rng(seed), density)
    kept(model, seed)


DRAWN = given(st.data(), st.integers(0, 2**16), st.sampled_from([0.1, 0.3, 0.6, 1.0]))


@settings(max_examples=8)
@DRAWN
def test_graphs_of_whole_numbers_give_the_same_bits(data, seed, density):
    all_properties(data, seed, density)


@pytest.mark.slow
@settings(max_examples=25)
@DRAWN
def test_more_graphs_of_whole_numbers_give_the_same_bits(data, seed, density):
    all_properties(data, seed, density)


@pytest.mark.nightly
@settings(max_examples=300)
@DRAWN
def test_many_graphs_of_whole_numbers_give_the_same_bits(data, seed, density):
    all_properties(data, seed, density)


@pytest.mark.slow
@settings(max_examples=8)
@given(st.data(), st.integers(0, 2**16))
def test_graphs_of_any_numbers_give_nearly_the_same(data, seed):
    model = graph(data.draw)
    rng = np.random.default_rng(seed)
    spread_numbers(model, rng, 0.3)
    for variable in model.weights:
        if "variance" not in variable.name and "seed" not in variable.name:
            variable.assign(np.asarray(variable) * rng.uniform(0.5, 1.5, variable.shape))
    inputs = examples(model, seed)
    for before, after in zip(outputs(conversion.plain(model), inputs), outputs(compact(model), inputs), strict=True):
        np.testing.assert_allclose(before, after, rtol=1e-9, atol=1e-9 * max(1, np.abs(before).max()))
