import numpy as np
import pytest
import tensorflow as tf
import tiny

from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, prunable
from tf_lottery.masking.prunable import Prunable, prunable_weights, register_prunable


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(prunable, "REGISTERED", dict(prunable.REGISTERED))


def built(layer, *shape):
    layer.build((None, *shape))
    return layer


def test_the_wrapper_takes_name_and_dtype_of_its_layer():
    wrapper = Prunable(keras.layers.Dense(3, name="mine", dtype="mixed_bfloat16"))
    assert wrapper.name == "mine"
    assert wrapper.dtype_policy.name == "mixed_bfloat16"


def test_every_constructor_argument_survives_the_config():
    wrapper = Prunable(keras.layers.Dense(3, name="mine"), only=["kernel"], trainable=False)
    again = Prunable.from_config(wrapper.get_config())
    assert again.get_config() == wrapper.get_config()
    assert (again.name, again.only, again.trainable) == ("mine", ("kernel",), False)


@pytest.mark.parametrize(
    ("layer", "only", "known"),
    [
        (lambda: keras.layers.ReLU(name="mine"), None, r"'mine' \(ReLU\) .* \[\]. Received: only=None"),
        (
            lambda: keras.layers.Dense(3, name="mine"),
            ["bias"],
            r"'mine' \(Dense\) .* \['kernel'\]. Received: only=\('b",
        ),
        (lambda: keras.layers.Dense(3, name="mine"), [], r"Received: only=\(\)"),
    ],
)
def test_nothing_to_prune_and_unknown_weights_are_refused_when_the_layer_is_built(layer, only, known):
    with pytest.raises(ModelError, match=known):
        Prunable(layer(), only=only)(np.zeros((1, 2), np.float32))


@pytest.mark.parametrize("cell", ["LSTMCell", "GRUCell", "SimpleRNNCell", "StackedRNNCells"])
def test_the_error_for_an_rnn_cell_says_what_to_wrap(cell):
    argument = [keras.layers.LSTMCell(2)] if cell == "StackedRNNCells" else 2
    with pytest.raises(ModelError, match=rf"{cell} is an RNN cell: wrap its RNN layer, Prunable\(RNN\(cell\)\)"):
        Prunable(getattr(keras.layers, cell)(argument))


@pytest.mark.parametrize("wrong", [object(), None, keras.layers.Dense, tiny.dense, "dense", [keras.layers.Dense(2)]])
def test_only_layers_can_be_wrapped(wrong):
    with pytest.raises(ModelError, match=rf"`layer` must be a layer of {keras.__name__} .* Received: "):
        Prunable(wrong)


def test_a_layer_is_wrapped_once():
    with pytest.raises(ModelError, match=r"Layer 'mine' \(Prunable\) has masks already"):
        Prunable(Prunable(keras.layers.Dense(2, name="mine")))


@pytest.mark.parametrize("only", ["kernel", 3, [3], [None], keras.layers.Dense, {"kernel": 1}.get])
def test_only_takes_a_list_of_names(only):
    with pytest.raises(ModelError, match=r"`only` must be a list of weight names, such as .* Received: only="):
        Prunable(keras.layers.Dense(2), only=only)


def test_only_names_weights_of_the_layers_inside():
    wrapper = Prunable(
        keras.layers.Bidirectional(keras.layers.LSTM(2, name="lstm")), only=["backward_lstm/lstm_cell/kernel"]
    )
    wrapper(np.zeros((1, 3, 2), np.float32))
    masks = [variable for variable in wrapper.variables if "mask" in variable.name]
    assert [tuple(mask.shape) for mask in masks] == [(2, 8)]


def test_prunable_weights_are_named_by_class_and_subclasses_inherit_them():
    class Mine(keras.layers.Dense):
        pass

    assert list(prunable_weights(built(Mine(2), 3))) == ["kernel"]
    assert list(prunable_weights(built(keras.layers.BatchNormalization(), 3))) == []
    assert list(prunable_weights(keras.layers.Dense(2))) == []  # not built


def test_a_registered_class_is_prunable_and_its_subclasses_too(registry):
    class Scale(keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(shape[-1],), name="scale")
            self.shift = self.add_weight(shape=(shape[-1],), name="shift")
            self.built = True

    class Other(Scale):
        pass

    assert list(prunable_weights(built(Other(), 3))) == []
    register_prunable(Scale, "scale")
    assert list(prunable_weights(built(Other(), 3))) == ["scale"]
    register_prunable(Other)
    assert list(prunable_weights(built(Other(), 3))) == []


def test_a_registered_weight_that_is_not_there_is_named(registry):
    class Mine(keras.layers.Dense):
        pass

    register_prunable(Mine, "kernle")
    with pytest.raises(ModelError, match=r"Layer 'mine' \(Mine\) has no weight 'kernle' to prune"):
        prunable_weights(built(Mine(2, name="mine"), 3))


@pytest.mark.parametrize("wrong", [keras.layers.Dense(2), int, "Dense"])
def test_only_layer_classes_can_be_registered(wrong):
    with pytest.raises(ModelError, match=r"Only subclasses of keras.layers.Layer can be registered. Received: "):
        register_prunable(wrong, "kernel")


@pytest.mark.parametrize("wrong", [None, 3, ["kernel"], "", "my kernel", "dense/kernel"])
def test_weights_are_registered_by_the_names_of_attributes(registry, wrong):
    class Mine(keras.layers.Dense):
        pass

    with pytest.raises(
        ModelError, match=r"names of the attributes .*register_prunable\(Mine, \"kernel\"\). Received: "
    ):
        register_prunable(Mine, wrong)
    assert Mine not in prunable.REGISTERED


def test_a_registered_class_of_keras_is_decided_by_the_registration(registry):
    register_prunable(keras.layers.Embedding)
    assert list(prunable_weights(built(keras.layers.Embedding(5, 2)))) == []


def test_a_kernel_that_is_computed_is_refused_with_the_way_out(registry):
    class Scaled(keras.layers.Layer):
        def build(self, shape):
            self.raw = self.add_weight(shape=(shape[-1], 2), name="raw")
            self.kernel = 2 * tf.convert_to_tensor(self.raw)
            self.built = True

    register_prunable(Scaled, "kernel")
    with pytest.raises(
        ModelError, match=r"no weight 'kernel' to prune. Name the attributes .*register_prunable\(Scaled, "
    ):
        prunable_weights(built(Scaled(), 3))


@pytest.mark.skipif(keras_compat.LEGACY, reason="Keras 3 only")
@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_a_quantised_model_is_refused_by_name_with_the_right_order(mode):
    model = tiny.dense()
    model.layers[1].quantize(mode)
    with pytest.raises(ModelError, match=rf"quantised layers, .*: 'dense' \({mode}\). First call `make_prunable`"):
        conversion.make_prunable(model)


def test_the_first_class_of_the_mro_decides():
    # In legacy Keras, SeparableConv2D derives from Conv, whose kernel is pruned.
    separable = built(keras.layers.SeparableConv2D(2, 2), 4, 4, 2)
    assert list(prunable_weights(separable)) == ["pointwise_kernel"]


def test_depthwise_kernels_are_pruned_if_someone_registers_them(registry):
    layer = built(keras.layers.DepthwiseConv2D(2), 4, 4, 2)
    assert not prunable_weights(layer)
    assert not prunable.undecided_weights(layer)
    register_prunable(keras.layers.DepthwiseConv2D, keras_compat.DEPTHWISE_KERNEL)
    assert list(prunable_weights(layer)) == ["kernel"]


def test_a_wrapped_layer_is_called_like_the_layer_itself():
    plain = keras.layers.LSTM(2, return_state=True)
    wrapper = Prunable(plain)
    x, arguments = tiny.X[:2, :, :, 0], {"initial_state": [tf.ones((2, 2)), tf.ones((2, 2))]}
    arguments["mask"] = tf.constant([[True] * 6, [True] * 3 + [False] * 3])
    outputs, expected = wrapper(x, **arguments), plain(x, **arguments)
    assert all(np.array_equal(a, b) for a, b in zip(outputs, expected, strict=True))
    assert not np.array_equal(outputs[0], wrapper(x)[0])


@pytest.mark.parametrize("training", [False, True])
def test_the_training_argument_reaches_the_layer(training):
    wrapper = Prunable(keras.layers.LSTM(32, dropout=0.5, name="lstm"))
    x = np.ones((1, 3, 64), np.float32)  # of 64 inputs dropout does not keep the same ones twice
    first, second = (np.asarray(wrapper(x, training=training)) for _ in range(2))
    assert np.array_equal(first, second) == (not training)
