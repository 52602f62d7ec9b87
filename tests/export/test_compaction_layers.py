"""Every layer that compaction knows, and some that it does not: with channels that the input decides, and constants."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st
from whole_numbers import chain, dense, examples, kept, norm, outputs, values

from tf_lottery import keras_compat
from tf_lottery.export.compaction import analyse, compact
from tf_lottery.export.compaction.known_layers import KNOWN_LAYERS, taps
from tf_lottery.export.compaction.roles import UNITWISE, activated
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion

CHANNELS = 4  # the first depends on the input; the second is 0; the third is 3; nothing reads the fourth


def model_around(parts, shape):
    """Build a model with these layers between a layer of four channels and one that reads three of them."""
    axes = len(shape) - 1
    convolution = getattr(keras.layers, f"Conv{axes}D") if axes else None
    first = convolution(CHANNELS, 1, name="first") if axes else dense(CHANNELS, name="first")
    model = chain(first, *parts, dense(1, name="output"), shape=shape)
    kernel = np.zeros(first.kernel.shape)
    kernel[..., [0, 3]] = 1
    values(first, kernel=kernel, bias=[0, 0, 3, 1])
    output = model.get_layer("output")
    weights = np.tile([[1], [2], [3], [0]], (output.kernel.shape[0] // CHANNELS, 1))
    values(output, kernel=weights)
    return model


L = keras.layers
PASSING = {
    (4,): [
        *("ReLU", "ELU", "Dropout", "AlphaDropout", "GaussianNoise", "GaussianDropout", "Flatten"),
        *("ActivityRegularization", "LeakyReLU"),
    ],
    (6, 1): [
        *("MaxPooling1D", "AveragePooling1D", "GlobalMaxPooling1D", "GlobalAveragePooling1D", "SpatialDropout1D"),
        *("UpSampling1D", "Cropping1D"),
    ],
    (4, 4, 1): [
        *("MaxPooling2D", "AveragePooling2D", "GlobalMaxPooling2D", "GlobalAveragePooling2D", "SpatialDropout2D"),
        *("UpSampling2D", "Cropping2D", "Flatten"),
    ],
    (4, 4, 4, 1): [
        *("MaxPooling3D", "AveragePooling3D", "GlobalMaxPooling3D", "GlobalAveragePooling3D", "SpatialDropout3D"),
        *("UpSampling3D", "Cropping3D"),
    ],
}
NEEDED = {"Dropout": {"rate": 0.5}, "SpatialDropout1D": {"rate": 0.5}, "SpatialDropout2D": {"rate": 0.5}}
NEEDED |= {"SpatialDropout3D": {"rate": 0.5}, "AlphaDropout": {"rate": 0.5}, "GaussianDropout": {"rate": 0.5}}
NEEDED |= {"GaussianNoise": {"stddev": 1.0}, **{f"AveragePooling{rank}D": {"pool_size": 2} for rank in (1, 2, 3)}}
CASES = [(name, shape) for shape, names in PASSING.items() for name in names if hasattr(L, name)]


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_channels_and_constants_pass(name, shape):
    layer = getattr(L, name)(**NEEDED.get(name, {}))
    model = model_around([layer], shape)
    if name in ("ELU", "LeakyReLU", "GlobalAveragePooling1D"):  # no whole numbers
        model, smaller = conversion.plain(model), compact(model)
        inputs = examples(model)
        np.testing.assert_allclose(outputs(model, inputs), outputs(smaller, inputs), rtol=1e-6)
        assert smaller.get_layer("first").get_config()["filters" if len(shape) > 1 else "units"] == 1
    else:
        assert kept(model) == {"first": 1, "output": 1}
    assert all(finding.why is None for finding in analyse(model).values())


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", ["MaxPooling", "AveragePooling"])
def test_pooling_leaves_padded_cells_out(name, rank, padding):
    layer = getattr(L, f"{name}{rank}D")(2, padding=padding)
    assert kept(model_around([layer], (3,) * rank + (1,))) == {"first": 1, "output": 1}


def test_zeros_around_pass_what_is_zero_everywhere():
    assert kept(model_around([L.ZeroPadding2D(1)], (4, 4, 1))) == {"first": 2, "output": 1}


def test_rescaling_takes_part_in_constants():
    model = model_around([L.Rescaling(2.0, offset=1.0)], (4,))
    assert kept(model) == {"first": 1, "output": 1}
    assert np.asarray(compact(model).get_layer("output").bias) == (1 * 2 + 7 * 3)


def test_rescaling_each_channel_in_its_own_way_is_unknown():
    assert kept(model_around([L.Rescaling([1.0, 2.0, 3.0, 4.0])], (4,)))["first"] == 4


def test_slopes_of_a_prelu_go_with_their_channels():
    prelu = L.PReLU(shared_axes=[1, 2], name="prelu")
    model = model_around([prelu], (2, 2, 1))
    values(model.get_layer("first"), kernel=[[[[1, 0, 0, 1]]]], bias=[0, 0, -3, 1])
    values(prelu, alpha=[[[1, 2, 4, 5]]])
    assert kept(model) == {"first": 1, "output": 1}
    assert np.asarray(compact(model).get_layer("output").bias) == -3 * 4 * 3
    assert np.asarray(compact(model).get_layer("prelu").alpha).ravel() == [1]


def test_slopes_that_differ_between_pixels_make_no_constant_of_what_is_negative():
    prelu = L.PReLU(name="prelu")
    model = model_around([prelu], (2, 2, 1))
    values(model.get_layer("first"), kernel=[[[[1, 0, 0, 1]]]], bias=[0, 0, -3, 1])
    values(prelu, alpha=np.arange(16).reshape(2, 2, 4))
    assert kept(model) == {"first": 2, "output": 1}
    values(model.get_layer("first"), kernel=[[[[1, 0, 0, 1]]]], bias=[0, 0, 3, 1])
    assert kept(model) == {"first": 1, "output": 1}


def test_slopes_that_channels_share_are_unknown():
    assert kept(model_around([L.PReLU(shared_axes=[1, 2, 3])], (2, 2, 1)))["first"] == 4


def test_a_reshape_that_keeps_the_channels_takes_fewer_of_them():
    model = model_around([L.Reshape((4, 2, CHANNELS), name="reshape"), L.Flatten()], (2, 4, 1))
    assert kept(model) == {"first": 1, "output": 1}
    assert compact(model).get_layer("reshape").target_shape == (4, 2, 1)


def test_a_reshape_that_mixes_channels_keeps_them():
    model = model_around([L.Reshape((4, 8)), L.Flatten()], (4, 2, 1))
    assert kept(model)["first"] == 4
    assert "'reshape' changes the number of channels" in analyse(model)["first"].why


@pytest.mark.parametrize("axis", [1, 2])
def test_what_is_concatenated_along_pixels_shares_its_channels(axis):
    x = keras.Input((2, 2, 1))
    first, second = (L.Conv2D(3, 1, name=name)(x) for name in ("first", "second"))
    model = keras.Model(x, L.Conv2D(1, 1, name="last")(L.Concatenate(axis=axis)([first, second])))
    values(model.get_layer("first"), kernel=[[[[1, 0, 0]]]], bias=[0, 2, 2])
    values(model.get_layer("second"), kernel=[[[[1, 0, 0]]]], bias=[0, 2, 3])
    values(model.get_layer("last"), kernel=np.array([1, 1, 1]).reshape(1, 1, 3, 1))
    assert kept(model) == {"first": 2, "second": 2, "last": 1}


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_convolutions_of_all_ranks_become_smaller(rank, padding):
    convolution = getattr(L, f"Conv{rank}D")(2, 2, padding=padding, name="second")
    model = model_around([convolution, L.Flatten(), dense(4)], (3,) * rank + (1,))
    kernel = np.ones(convolution.kernel.shape)
    kernel[..., 3, :] = 0
    kernel[..., 1] = 0
    values(convolution, kernel=kernel)
    values(model.layers[3], kernel=1)
    expected = {"first": 1 if padding == "valid" else 2, "second": 1, "dense": 3, "output": 1}
    assert kept(model) == expected


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed_convolutions_drop_what_is_zero_and_fold_nothing(rank):
    transposed = getattr(L, f"Conv{rank}DTranspose")(2, 2, strides=2, name="second")
    x = keras.Input((2,) * rank + (1,))
    first = getattr(L, f"Conv{rank}D")(CHANNELS, 1, name="first")
    model = keras.Model(x, dense(1, name="output")(transposed(first(x))))
    kernel = np.zeros(first.kernel.shape)
    kernel[..., [0, 3]] = 1
    values(first, kernel=kernel, bias=[0, 0, 3, 1])
    kernel = np.ones(transposed.kernel.shape)  # the units first
    kernel[..., 3] = 0
    values(transposed, kernel=kernel)
    values(model.get_layer("output"), kernel=[[1], [0]])
    assert kept(model) == {"first": 2, "second": 1, "output": 1}


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("rank", [1, 2])
def test_depthwise_convolutions_stop_constants_at_the_border(rank, padding):
    depthwise = getattr(L, f"DepthwiseConv{rank}D")(2, padding=padding, name="depthwise")
    model = model_around([depthwise], (3,) * rank + (1,))
    values(depthwise, kernel=1, bias=[0, 1, 2, 3])
    size = 1 if padding == "valid" else 2
    assert kept(model) == {"first": size, "depthwise": size, "output": 1}


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: L.SeparableConv2D(2, 1), "is of a class that compaction does not know (SeparableConv2D)"),
        (lambda: L.Conv2D(4, 1, groups=2), "is a convolution in groups"),
        (lambda: L.BatchNormalization(axis=1), "normalises along an axis other than the last one"),
        (lambda: L.Softmax(), "is of a class that compaction does not know (Softmax)"),
        (lambda: L.Activation("softmax"), "has an activation that may mix units"),
        (lambda: L.DepthwiseConv2D(1, activation="softmax"), "has an activation that may mix units"),
        (lambda: L.Permute((2, 1, 3)), "is of a class that compaction does not know (Permute)"),
    ],
)
def test_unknown_layers_and_settings_say_why_all_stays(make, why):
    model = chain(L.Conv2D(2, 1, name="first"), make(), L.Conv2D(1, 1, name="last"), shape=(2, 2, 1))
    values(model.layers[0], kernel=0)
    found = analyse(model)["first"]
    assert (found.units, found.kept) == (2, 2)
    assert found.why.endswith(why)
    inputs = examples(model)
    np.testing.assert_array_equal(outputs(conversion.plain(model), inputs), outputs(compact(model), inputs))


def unknown_weights():
    """Return a known layer with unknown weights."""
    return L.BatchNormalization(renorm=True) if keras_compat.LEGACY else L.Dense(2, lora_rank=1)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (unknown_weights, "has weights that compaction does not know"),
        (lambda: norm(), "divides by the root of a variance that is not positive"),
        (lambda: L.MaxPooling2D(1, data_format="channels_first"), "has the channels first"),
    ],
)
def test_unusual_weights_and_settings_say_why_all_stays(make, why):
    x = keras.Input((2, 2, 2))
    y = L.Conv2D(2, 1, name="first")(x)
    model = keras.Model(x, L.Conv2D(1, 1, name="last")((layer := make())(y)))
    values(model.get_layer("first"), kernel=0)
    if "variance" in why:
        values(layer, moving_variance=[1, 0])
    assert why in analyse(model)["first"].why


def test_channels_that_are_broadcast_stay():
    x = keras.Input((2,))
    total = L.Add()([dense(2, name="two")(x), dense(1, name="one")(x)])
    model = keras.Model(x, dense(1, name="output")(total))
    values(model.get_layer("two"), kernel=0)
    assert analyse(model)["two"].why == "2 idle units stay: 'add' stretches what has fewer channels or axes"


def test_channels_of_unknown_number_stay():
    x, y = keras.Input((4, None)), keras.Input((2,))
    model = keras.Model([x, y], [L.GlobalMaxPooling1D()(x), dense(1, name="output")(dense(2)(y))])
    values(model.get_layer("output"), kernel=[[1], [0]])
    assert {name: finding.kept for name, finding in analyse(model).items()} == {"dense": 1, "output": 1}


def test_a_layer_that_is_not_known_may_be_called_with_different_numbers_of_channels():
    x, softmax = keras.Input((2,)), L.Softmax()
    model = keras.Model(x, [softmax(dense(3)(dense(2, name="hidden")(x))), softmax(x)])
    values(model.get_layer("hidden"), kernel=[[1, 0], [0, 0]])
    assert kept(model)["hidden"] == 1


def test_constants_that_are_infinite_are_none():
    assert np.isnan(activated(keras.activations.exponential, np.array([1e4, np.nan]))).all()


def test_subclasses_of_what_is_known_are_not_known():
    @keras.saving.register_keras_serializable(package="compaction")
    class Loud(L.Dense):
        def call(self, inputs):
            return keras.activations.softmax(super().call(inputs))

    model = chain(dense(2), Loud(2, name="loud"), shape=(2,))
    values(model.layers[0], kernel=0)
    assert analyse(model)["loud"].why == "all stay: it is of a class that compaction does not know (Loud)"


def test_batch_norm_that_is_called_to_train_is_not_known():
    x = keras.Input((2,))
    y = norm(name="norm")(dense(2, name="first")(x), training=True)
    model = keras.Model(x, dense(1, name="output")(y))
    values(model.get_layer("first"), kernel=0)
    assert "is called with more than tensors" in analyse(model)["first"].why


def test_masks_of_time_steps_are_not_known():
    x = keras.Input((3,), dtype="int32")
    y = dense(4, name="hidden")(L.Embedding(5, 3, mask_zero=True)(x))
    model = keras.Model(x, dense(1, name="output")(L.LSTM(2)(y)))
    values(model.get_layer("hidden"), kernel=0)
    assert analyse(model)["hidden"].why.startswith("all stay: it is called with more than tensors")
    inputs = [np.array([[1, 2, 0]], "int32")]
    np.testing.assert_array_equal(outputs(conversion.plain(model), inputs), outputs(compact(model), inputs))


def test_sequences_are_read_by_recurrent_layers_as_a_whole():
    model = chain(dense(3, name="first"), L.LSTM(4, name="lstm"), dense(2), dense(1, name="output"), shape=(5, 2))
    values(model.layers[0], kernel=0)
    values(model.layers[2], kernel=[[1, 0]] * 4)
    values(model.layers[3], kernel=1)
    assert {name: (f.units, f.kept) for name, f in analyse(model).items()} == {
        **{"first": (3, 3), "lstm": (4, 4), "dense": (2, 1), "output": (1, 1)}
    }


def test_operations_on_tensors_keep_what_they_read():
    x = keras.Input((2,))
    y = dense(2, name="first")(x)
    model = keras.Model(x, dense(1, name="output")(y * 2.0))
    values(model.get_layer("first"), kernel=0)
    values(model.get_layer("output"), kernel=1)
    assert kept(model) == {"first": 2, "output": 1}


@pytest.mark.parametrize("policy", ["float16", "mixed_float16", "mixed_bfloat16", "float64"])
def test_dtypes_and_their_policies_stay(policy):
    model = chain(*(dense(3, dtype=policy, activation="relu") for _ in range(2)), dense(1, dtype=policy), shape=(2,))
    values(model.layers[0], kernel=[[1, 0, 0], [1, 0, 0]], bias=[1, 2, -1])
    values(model.layers[1], kernel=[[1, 0, 1], [1, 1, 0], [1, 1, 1]], bias=[1, -2, 3])
    values(model.layers[2], kernel=1)
    assert kept(model) == {"dense": 1, "dense_1": 2, "dense_2": 1}
    smaller = compact(model)
    for before, after in zip(conversion.plain(model).layers, smaller.layers, strict=True):
        assert before.compute_dtype == after.compute_dtype
        assert [v.dtype for v in before.weights] == [v.dtype for v in after.weights]


@pytest.mark.parametrize("name", [name for name in UNITWISE if hasattr(keras.activations, name)])
def test_unitwise_activations_make_of_each_unit_the_same_alone_and_among_others(name):
    function = getattr(keras.activations, name)
    x = np.array([[-2.0, -0.5, 0.0, 0.5, 3.0]], "float32")
    among = np.asarray(function(tf.constant(x)))
    alone = [np.asarray(function(tf.constant(x[:, [i]])))[0, 0] for i in range(5)]
    np.testing.assert_array_equal(among[0], alone)
    constants = activated(function, np.append(x[0], np.nan).astype("float64"))
    np.testing.assert_allclose(constants[:5], among[0], rtol=1e-6, atol=1e-7)
    assert np.isnan(constants[5])


def test_every_known_layer_is_tested():
    tried = {name for name, _ in CASES} | {"Dense", "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose"}
    tried |= {"Conv3DTranspose", "DepthwiseConv1D", "DepthwiseConv2D", "BatchNormalization", "PReLU", "Activation"}
    tried |= {"ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Rescaling", "Reshape", "InputLayer", "Concatenate"}
    tried |= {"Add", "Subtract", "Average", "Maximum", "Minimum"}
    assert {cls.__name__ for cls in KNOWN_LAYERS} <= tried


def test_a_model_of_no_features_is_compacted():
    nothing = keras.Input((0,))
    model = keras.Model(nothing, keras.layers.Dense(2)(keras.layers.Dense(3)(nothing)))
    x = np.zeros((5, 0), np.float32)
    assert (compact(model)(x).numpy() == model(x).numpy()).all()


def test_a_unit_that_stays_for_no_reason_cannot_overflow():
    """exp(100 - 100) is 1; without the second 100, which nothing else reads, it would be infinite, and times 0 NaN."""
    inputs = keras.Input((1,))
    hundreds = keras.layers.Dense(2, use_bias=False)(inputs)
    grown = keras.layers.Dense(1, activation="exponential", use_bias=False)(hundreds)
    outputs = [keras.layers.Dense(1, use_bias=False)(hundreds), keras.layers.Dense(1)(grown)]
    model = keras.Model(inputs, outputs)
    weights = [[[100.0, 100.0]], [[1.0], [-1.0]], [[1.0], [0.0]], [[0.0]], [1.0]]
    model.set_weights([np.array(weight, np.float32) for weight in weights])
    found = compact(model)
    assert found.count_params() == 5
    x = np.ones((1, 1), np.float32)
    assert [float(output[0, 0]) for output in found(x)] == [float(output[0, 0]) for output in model(x)] == [100.0, 1.0]


def test_the_middle_of_three_taps_never_leaves_the_image():
    inside, border = taps([5], [3], strides=[1], dilations=[1], padding="same")
    assert inside.tolist() == [False, True, False]
    assert border.tolist() == [True, False, True]


def test_taps_that_meet_nothing_but_zeros_are_neither_inside_nor_at_the_border():
    inside, border = taps([1], [3], strides=[1], dilations=[1], padding="same")
    assert (inside.tolist(), border.tolist()) == ([False, True, False], [False] * 3)


def test_strided_convolutions_may_put_all_zeros_behind():
    inside, _ = taps([4, 4], [3, 3], strides=[2, 2], dilations=[1, 1], padding="same")
    assert inside.reshape(3, 3).tolist() == [[True, True, False], [True, True, False], [False, False, False]]


def test_where_any_size_will_do_no_tap_is_safe():
    inside, border = taps([None], [3], strides=[1], dilations=[1], padding="same")
    assert (inside.tolist(), border.tolist()) == ([False] * 3, [True] * 3)
    assert taps([None], [3], strides=[1], dilations=[1], padding="valid")[0].all()
    assert taps([None], [1], strides=[2], dilations=[1], padding="same")[0].all()


def seen(layer, shape):
    """Return what `taps` returns, found by trying each tap."""
    model = chain(layer, shape=(*shape, 1))
    inside, border = [], []
    for tap in itertools.product(*map(range, layer.kernel_size)):
        kernel = np.zeros((*layer.kernel_size, 1, 1))
        kernel[tap] = 1
        values(layer, kernel=kernel)
        (result,) = outputs(model, [np.ones((1, *shape, 1))])
        inside.append(result.min() == 1)
        border.append(result.min() != result.max())
    return inside, border


@settings(max_examples=25)
@given(
    st.sampled_from(["same", "valid", "causal"]),
    *(st.integers(1, 4) for _ in range(3)),
    st.integers(5, 8),
    st.booleans(),
)
def test_taps_along_one_axis(kind, kernel, stride, dilation, length, dilates):
    stride, dilation = (1, dilation) if dilates else (stride, 1)
    if kind == "valid" and (kernel - 1) * dilation >= length:
        return
    layer = keras.layers.Conv1D(1, kernel, stride, kind, dilation_rate=dilation)
    expected = seen(layer, (length,))
    assert (
        tuple(a.tolist() for a in taps([length], [kernel], strides=[stride], dilations=[dilation], padding=kind))
        == expected
    )


@pytest.mark.parametrize("stride", [1, 2])
def test_taps_along_two_axes(stride):
    expected = seen(keras.layers.Conv2D(1, (3, 2), stride, "same"), (5, 4))
    assert (
        tuple(a.tolist() for a in taps([5, 4], [3, 2], strides=[stride] * 2, dilations=[1, 1], padding="same"))
        == expected
    )
