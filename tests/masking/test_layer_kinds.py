"""Every kind of layer is masked, trained, pruned further, rewound, saved, loaded and stripped."""

import numpy as np
import pytest
import tensorflow as tf
import tiny
from tiers import always

import tf_lottery as tfl
from tf_lottery import keras_compat
from tf_lottery.core import pruning
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import model_masks, naming, state

LEGACY = keras_compat.LEGACY
L = keras.layers


@keras.saving.register_keras_serializable(package="test_layer_kinds")
class Gate(L.Layer):
    """A layer with weights of its own, none of them declared prunable."""

    def build(self, shape):
        self.gate = self.add_weight(shape=(shape[-1], 2), name="gate")
        self.offset = self.add_weight(shape=(1, 2), name="offset")
        self.built = True

    def call(self, x):
        return tf.matmul(x, self.gate) + self.offset

    def compute_output_shape(self, shape):
        return (*shape[:-1], 2)


@keras.saving.register_keras_serializable(package="test_layer_kinds")
class Declared(Gate):
    """A layer that declares its prunable weights by tfmot's `PrunableLayer` protocol."""

    def get_prunable_weights(self):
        return [self.gate]


@keras.saving.register_keras_serializable(package="test_layer_kinds")
class Registered(Gate):
    pass


tfl.register_prunable(Registered, "gate")


def on(*shapes, dtype="float32"):
    """Return a function that makes a model of one layer, which is called on inputs of these shapes, in this order."""

    def model(make):
        inputs = [keras.Input(shape, dtype=dtype) for shape in shapes]
        outputs = make()(*inputs)
        return keras.Model(inputs if len(inputs) > 1 else inputs[0], L.Flatten()(outputs))

    return model


LSTM = ["lstm_cell/kernel", "lstm_cell/recurrent_kernel"]
ATTENTION = [f"attention/{name}/kernel" for name in ("query", "key", "value", "attention_output")]
# kind: layer, inputs, names of prunable weights, names of weights that are not prunable
KINDS = {
    "Dense": (lambda: L.Dense(3), on((4,)), ["dense/kernel"], ["dense/bias"]),
    "EinsumDense": (
        lambda: L.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de"),
        on((3, 2)),
        ["einsum_dense/kernel"],
        ["einsum_dense/bias"],
    ),
    "Embedding": (lambda: L.Embedding(5, 2), on((3,), dtype="int32"), ["embedding/embeddings"], []),
    "Conv1D": (lambda: L.Conv1D(2, 2), on((6, 2)), ["conv1d/kernel"], ["conv1d/bias"]),
    "Conv2D": (lambda: L.Conv2D(2, 2), on((4, 4, 2)), ["conv2d/kernel"], ["conv2d/bias"]),
    "Conv3D": (lambda: L.Conv3D(2, 2), on((3, 3, 3, 2)), ["conv3d/kernel"], ["conv3d/bias"]),
    "Conv1DTranspose": (
        lambda: L.Conv1DTranspose(2, 2),
        on((6, 2)),
        ["conv1d_transpose/kernel"],
        ["conv1d_transpose/bias"],
    ),
    "Conv2DTranspose": (
        lambda: L.Conv2DTranspose(2, 2),
        on((4, 4, 2)),
        ["conv2d_transpose/kernel"],
        ["conv2d_transpose/bias"],
    ),
    "Conv3DTranspose": (
        lambda: L.Conv3DTranspose(2, 2),
        on((3, 3, 3, 2)),
        ["conv3d_transpose/kernel"],
        ["conv3d_transpose/bias"],
    ),
    "DepthwiseConv1D": (
        lambda: L.DepthwiseConv1D(2),
        on((6, 4)),
        [],
        ["depthwise_conv1d/kernel", "depthwise_conv1d/bias"],
    ),
    "DepthwiseConv2D": (
        lambda: L.DepthwiseConv2D(2),
        on((4, 4, 3)),
        [],
        ["depthwise_conv2d/kernel", "depthwise_conv2d/bias"],
    ),
    "SeparableConv1D": (
        lambda: L.SeparableConv1D(3, 2),
        on((6, 4)),
        ["separable_conv1d/pointwise_kernel"],
        ["separable_conv1d/depthwise_kernel", "separable_conv1d/bias"],
    ),
    "SeparableConv2D": (
        lambda: L.SeparableConv2D(3, 2),
        on((4, 4, 3)),
        ["separable_conv2d/pointwise_kernel"],
        ["separable_conv2d/depthwise_kernel", "separable_conv2d/bias"],
    ),
    "SimpleRNN": (
        lambda: L.SimpleRNN(3),
        on((3, 2)),
        ["simple_rnn/simple_rnn_cell/kernel", "simple_rnn/simple_rnn_cell/recurrent_kernel"],
        ["simple_rnn/simple_rnn_cell/bias"],
    ),
    "LSTM": (lambda: L.LSTM(3), on((3, 2)), [f"lstm/{name}" for name in LSTM], ["lstm/lstm_cell/bias"]),
    "GRU": (
        lambda: L.GRU(3),
        on((3, 2)),
        ["gru/gru_cell/kernel", "gru/gru_cell/recurrent_kernel"],
        ["gru/gru_cell/bias"],  # of rank 2
    ),
    "Bidirectional": (
        lambda: L.Bidirectional(L.LSTM(2)),
        on((3, 2)),
        [
            "bidirectional/forward_lstm/lstm_cell/kernel",
            "bidirectional/forward_lstm/lstm_cell/recurrent_kernel",
            "bidirectional/backward_lstm/lstm_cell/kernel",
            "bidirectional/backward_lstm/lstm_cell/recurrent_kernel",
        ],
        ["bidirectional/forward_lstm/lstm_cell/bias", "bidirectional/backward_lstm/lstm_cell/bias"],
    ),
    "StackedRNNCells": (
        lambda: L.RNN([L.LSTMCell(2), L.GRUCell(3)]),
        on((3, 2)),
        [
            "rnn/stacked_rnn_cells/lstm_cell/kernel",
            "rnn/stacked_rnn_cells/lstm_cell/recurrent_kernel",
            "rnn/stacked_rnn_cells/gru_cell/kernel",
            "rnn/stacked_rnn_cells/gru_cell/recurrent_kernel",
        ],
        ["rnn/stacked_rnn_cells/lstm_cell/bias", "rnn/stacked_rnn_cells/gru_cell/bias"],
    ),
    "ConvLSTM2D": (
        lambda: L.ConvLSTM2D(2, 2, name="conv"),
        on((3, 4, 4, 1)),
        ["conv/conv_lstm_cell/kernel", "conv/conv_lstm_cell/recurrent_kernel"],
        ["conv/conv_lstm_cell/bias"],
    ),
    "TimeDistributed": (
        lambda: L.TimeDistributed(L.Dense(3)),
        on((3, 4)),
        ["time_distributed/dense/kernel"],
        ["time_distributed/dense/bias"],
    ),
    "attention on one input": (
        lambda: (lambda layer: lambda x: layer(x, x))(L.MultiHeadAttention(2, 2, name="attention")),
        on((3, 4)),
        ATTENTION,
        [name.replace("kernel", "bias") for name in ATTENTION],  # of rank 2
    ),
    "attention on two inputs": (
        lambda: L.MultiHeadAttention(2, 2, name="attention"),
        on((3, 4), (5, 6)),
        ATTENTION,
        [name.replace("kernel", "bias") for name in ATTENTION],
    ),
    "attention on three inputs": (
        lambda: (lambda layer: lambda q, v, k: layer(q, v, key=k))(L.MultiHeadAttention(2, 2, 3, name="attention")),
        on((3, 4), (5, 6), (5, 7)),
        ATTENTION,
        [name.replace("kernel", "bias") for name in ATTENTION],
    ),
    "SpectralNormalization": (
        lambda: L.SpectralNormalization(L.Dense(3)),
        on((4,)),
        ["spectral_normalization/dense/kernel"],
        ["spectral_normalization/dense/bias"],
    ),
    "a layer of layers": (
        lambda: tiny.Block(name="block"),
        on((5,)),
        ["block/inner/kernel"],
        ["block/inner/bias", "block/norm/gamma", "block/norm/moving_mean"],
    ),
    "registered": (lambda: Registered(name="mine"), on((5,)), ["mine/gate"], ["mine/offset"]),
    "declared": (lambda: Declared(name="mine"), on((5,)), ["mine/gate"], ["mine/offset"]),
}
if LEGACY:
    KINDS["LocallyConnected1D"] = (
        lambda: L.LocallyConnected1D(2, 2),
        on((5, 2)),
        ["locally_connected1d/kernel"],
        ["locally_connected1d/bias"],
    )
NOT_RELOADED = {"SpectralNormalization"} if LEGACY else set()  # tf_keras cannot load the unwrapped layer either


def examples(model):
    rng = np.random.default_rng(0)
    data = [rng.integers(0, 5, (8, *x.shape[1:])).astype(x.dtype.name if LEGACY else x.dtype) for x in model.inputs]
    return data if len(data) > 1 else data[0]


TYPICAL = ("Conv2D", "Embedding", "LSTM", "attention on two inputs", "declared")


@pytest.mark.parametrize("kind", always(*TYPICAL, among=KINDS))
def test_a_layer_of_every_kind_is_pruned_trained_rewound_saved_and_stripped(kind, tmp_path):
    make, on_inputs, prunable, never = KINDS[kind]
    plain = on_inputs(make)
    x = examples(plain)
    dense = plain.predict(x, verbose=0)
    if not prunable:
        with pytest.raises(ModelError, match="nothing to prune"):
            tfl.make_prunable(plain)
        return
    model = tfl.make_prunable(plain)
    assert sorted(tfl.get_masks(model)) == sorted(prunable)
    assert set(prunable) | set(never) <= set(naming.named_variables(plain))
    assert list(naming.named_variables(plain)) == list(naming.named_variables(model))
    assert np.array_equal(model.predict(x, verbose=0), dense)

    tfl.set_masks(model, tiny.half_masks(model))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    start = state.capture(model, model.optimizer)
    model.fit(x, np.ones_like(dense), batch_size=4, verbose=0)
    assert tiny.is_pruned_to_plus_zero(model)
    assert all((state.weights(model)[name] != start["weights"][name]).any() for name in prunable)

    scores = {name: np.abs(weight) for name, weight in model_masks.prunable_weights(model).items()}
    tfl.set_masks(model, masks := pruning.prune(scores, tfl.get_masks(model), 0.5))
    state.restore(start, model, model.optimizer)
    for name, mask in masks.items():
        assert state.weights(model)[name].tobytes() == np.where(mask, start["weights"][name], np.float32(0)).tobytes()
    model.fit(x, np.ones_like(dense), batch_size=4, verbose=0)
    assert tiny.is_pruned_to_plus_zero(model)

    trained = model.predict(x, verbose=0)
    if kind not in NOT_RELOADED:
        model.save(tmp_path / "model.keras")
        loaded = tfl.load_model(tmp_path / "model.keras")
        assert tiny.same_masks(loaded, model)
        assert np.array_equal(loaded.predict(x, verbose=0), trained)
    stripped = tfl.strip_pruning(model)
    assert np.array_equal(stripped.predict(x, verbose=0), trained)
    assert list(naming.named_variables(stripped)) == list(naming.named_variables(plain))
    assert not [layer for layer in keras_compat.all_layers(stripped) if isinstance(layer, tfl.Prunable)]
