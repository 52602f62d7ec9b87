"""Every layer class of Keras and KerasHub is decided: the source of each is read, and what can be built is built."""

import contextlib
import importlib
import inspect
import itertools
import re
import warnings

import layer_sources
import numpy as np
import pytest
from layer_sources import matrices_made

from tf_lottery import keras_compat
from tf_lottery.keras_compat import LEGACY, keras
from tf_lottery.masking import weight_table
from tf_lottery.masking.prunable import prunable_weights, undecided_weights

L = keras.layers
PACKAGES = ["tf_keras"] if LEGACY else ["keras", "keras_hub"]
# What the table leaves out on purpose: class and attribute (None: in no attribute), with the reason.
LEFT_OUT = {
    ("Layer", None): "`add_weight` calls itself",
    ("JaxLayer", None): "weights of a foreign module, in lists: warned of",
    ("ReloadedLayer", None): "weights of a SavedModel, in lists: warned of",
    ("TFSMLayer", None): "weights of a SavedModel, in lists: warned of",
    ("TorchModuleWrapper", None): "weights of PyTorch, on its backend only",
    ("LinearModel", "bias"): "a vector",
    ("Model", None): "counters",
    ("PreprocessingLayer", "_steps_per_execution"): "a counter",
    ("T5Gemma2Backbone", "encoder_eoi_embedding"): "a vector",
    ("T5Gemma2Backbone", "decoder_eoi_embedding"): "a vector",
}
LORA = "lora_"  # refused until it is merged
SCALES_OF_FLOAT8 = re.compile(r"(inputs|kernel|outputs_grad)_(scale|amax_history)")


def is_decided(layer_class, name):
    """Return whether the table knows a weight by the class or its bases or, for a base class, by all its subclasses."""
    tables = (weight_table.PRUNABLE, weight_table.NEVER)
    entries = [weight_table.entry(table, base) for base in layer_class.__mro__ for table in tables]
    if any(name in names or name.removeprefix("_") in names for names in entries):  # or a property: `kernel`
        return True
    return bool(layer_class.__subclasses__()) and all(is_decided(sub, name) for sub in layer_class.__subclasses__())


def undecided(layer_class):
    """Return what a class makes and the table does not know, as text."""
    return [
        f"{layer_class.__module__}.{layer_class.__name__}.{name} {shape}"
        for name, shape in matrices_made(layer_class)
        if not (
            any((base.__name__, name) in LEFT_OUT for base in layer_class.__mro__)
            or is_decided(layer_class, name or "")
            or (name or "").startswith(LORA)
            or (shape == "?" and SCALES_OF_FLOAT8.fullmatch(name or ""))
        )
    ]


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_every_matrix_in_the_source_of_a_layer_class_is_decided(package):
    classes = layer_sources.layer_classes(package)
    assert len(classes) > 150
    faults = [fault for layer_class in classes for fault in undecided(layer_class)]
    assert not faults, "enter these in masking/weight_table.py, or in LEFT_OUT here:\n" + "\n".join(faults)


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_every_entry_of_the_table_is_in_the_source_of_its_class(package):
    sources = {}
    for layer_class in layer_sources.layer_classes(package):
        bases = [base for base in layer_class.__mro__ if base not in (object, L.Layer)]
        sources.setdefault(layer_class.__name__, []).extend(map(inspect.getsource, bases))
    for table in (weight_table.PRUNABLE, weight_table.NEVER):
        for name, attributes in table[package.removeprefix("tf_")].items():
            is_there = [any(re.search(rf"self\._?{it}\b", text) for text in sources.get(name, ())) for it in attributes]
            # An entry for "keras" stands for classes of both Kerases and of TensorFlow 1.
            assert all(is_there) if package == "keras_hub" else any(is_there) or name not in sources, name


# What a test tries for an argument of this name, and the inputs on which it tries to call a layer.
GUESSES = {
    **dict.fromkeys(("units", "filters", "kernel_size", "num_heads", "key_dim", "head_dim", "num_query_heads"), 2),
    **{"num_key_value_heads": 1, "rate": 0.5, "input_dim": 7, "output_dim": 3, "intermediate_dim": 3},
    **{"vocabulary_size": 7, "sequence_length": 6, "embedding_dim": 4, "hidden_dim": 4},
    **{"layer": lambda: L.Dense(2), "cell": lambda: L.LSTMCell(2)},
}
SHAPES = [(2, 4), (2, 6, 4), (2, 6, 6, 4), (2, 6, 6, 6, 4), (2, 3, 6, 4), (2, 3, 6, 6, 4), (2, 3, 6, 6, 6, 4)]
INPUTS = [*(np.ones(shape, np.float32) for shape in SHAPES), np.ones((2, 6), int)]
OPTIONAL = ("vocabulary_size", "sequence_length", "embedding_dim")  # arguments with a default that does not work


def guessed(layer_class):
    """Return the arguments with which a test makes a layer; an argument without a guess is a KeyError."""
    parameters = list(inspect.signature(layer_class.__init__).parameters.values())[1:]
    named = [parameter for parameter in parameters if parameter.kind not in (2, 4)]  # not *args and **kwargs
    needed = [known.name for known in named if known.default is known.empty or known.name in OPTIONAL]
    return {name: GUESSES[name]() if callable(GUESSES[name]) else GUESSES[name] for name in needed}


def called(layer_class):
    """Return a layer that was called; None if nothing works that is tried."""
    for x, number in itertools.product(INPUTS, (1, 2)):
        with contextlib.suppress(Exception):
            layer = layer_class(**guessed(layer_class))
            layer(*[x] * number)
            return layer
    return None


def exported():
    """Return the public layer classes of this Keras, and of KerasHub."""
    modules = [L] if LEGACY else [L, keras_hub().layers]
    found = dict.fromkeys(value for module in modules for value in vars(module).values() if inspect.isclass(value))
    return [value for value in found if issubclass(value, L.Layer)]


def keras_hub():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("keras_hub")


def of_hub(name, *shape, **arguments):
    """Return a function that makes a layer of KerasHub, public or not, built for inputs of this shape."""

    def build():
        keras_hub()
        (layer_class,) = [known for known in layer_sources.subclasses(L.Layer) if known.__name__ == name]
        layer = layer_class(**arguments)
        return built(layer, *shape) if shape else layer

    return build


def built(layer, *shape):
    layer.build((2, *shape))
    return layer


def dense_features():
    import tensorflow as tf

    column = tf.feature_column.categorical_column_with_identity("number", 7)
    layer = L.DenseFeatures([tf.feature_column.embedding_column(column, 4)])
    layer({"number": tf.constant([1, 2])})
    return layer


EXPERTS = {"num_experts": 2, "hidden_dim": 4, "intermediate_dim": 3}
BANKS = [f"expert_feedforward_{name}_dense" for name in ("gate", "intermediate", "output")]
HEADS = {"hidden_dim": 4, "num_heads": 2}
PATCHES = {"hidden_dim": 4, "patch_size": 2}
RWKV = {"hidden_size": 8, "head_size": 4, **dict.fromkeys(("gate_lora", "mv_lora", "aaa_lora", "decay_lora"), 2)}
# Layers with matrices of their own, and which of these are prunable; those of `test_layer_kinds.py` are not repeated.
OF_BOTH = {
    "EinsumDense": (lambda: built(L.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de"), 6, 4), ["kernel"]),
    "GRUCell": (lambda: built(L.GRUCell(2), 4), ["kernel", "recurrent_kernel"]),
    "LSTMCell": (lambda: built(L.LSTMCell(2), 4), ["kernel", "recurrent_kernel"]),
    "SimpleRNNCell": (lambda: built(L.SimpleRNNCell(2), 4), ["kernel", "recurrent_kernel"]),
    "PReLU": (lambda: built(L.PReLU(), 6, 4), []),
    "LayerNormalization": (lambda: built(L.LayerNormalization(axis=[1, 2]), 6, 4), []),
}
OF_LEGACY_KERAS = {
    "BatchNormalization": (lambda: built(L.BatchNormalization(axis=[1, 2]), 6, 4), []),
    "LocallyConnected2D": (lambda: built(L.LocallyConnected2D(2, 2), 6, 6, 4), ["kernel"]),
}
OF_KERAS_3 = {
    "RMSNormalization": (lambda: built(L.RMSNormalization(axis=[1, 2]), 6, 4), []),
    "STFTSpectrogram": (lambda: built(L.STFTSpectrogram(), 600, 1), []),
    "ReversibleEmbedding": (lambda: built(L.ReversibleEmbedding(7, 4)), ["embeddings"]),
    "ReversibleEmbedding, not tied": (
        lambda: built(L.ReversibleEmbedding(7, 4, tie_weights=False)),
        ["embeddings", "reverse_embeddings"],
    ),
    "MaskedLMHead": (of_hub("MaskedLMHead", 6, 4, vocabulary_size=7), ["output_kernel"]),
    "MixtralMoeExperts": (of_hub("MixtralMoeExperts", 4, **EXPERTS), BANKS),
    "QwenMoeExperts": (of_hub("QwenMoeExperts", 4, **EXPERTS), BANKS[::2]),
    "Qwen3MoeExperts": (of_hub("Qwen3MoeExperts", 4, **EXPERTS), BANKS[::2]),
    "Qwen3_5MoeExperts": (of_hub("Qwen3_5MoeExperts", 4, **EXPERTS), BANKS[::2]),
    "GptOssExperts": (of_hub("GptOssExperts", 4, **EXPERTS), ["gate_up_proj", "down_proj"]),
    "Gemma4MoEBlock": (
        of_hub("Gemma4MoEBlock", 4, num_experts=2, hidden_dim=4, expert_intermediate_dim=3),
        ["gate_proj", "up_proj", "down_proj"],
    ),
    "Gemma4AudioRelativePositionEmbedding": (
        of_hub("Gemma4AudioRelativePositionEmbedding", 4, hidden_size=4, num_heads=2, context_left=2, context_right=1),
        ["pos_proj"],
    ),
    "RWKV7TimeMix": (of_hub("RWKV7TimeMix", 6, 8, **RWKV), ["w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2"]),
    "Qwen3_5GatedDeltaNet": (
        of_hub(
            "Qwen3_5GatedDeltaNet",
            *(6, 4),
            hidden_size=4,
            linear_num_key_heads=1,
            linear_num_value_heads=2,
            linear_key_head_dim=2,
            linear_value_head_dim=2,
        ),
        ["conv1d_kernel"],
    ),
    "PositionEmbedding": (of_hub("PositionEmbedding", 6, 4, sequence_length=6), []),
    "RelativeEmbedding": (of_hub("RelativeEmbedding", hidden_dim=4, bucket_size=2), []),
    "AddPositionalEmbedding": (of_hub("AddPositionalEmbedding", 3, 3, 4, img_size=6, patch_size=2, embed_dim=4), []),
    "AddRelativePositionalEmbedding": (
        of_hub("AddRelativePositionalEmbedding", 3, 3, 4, input_size=(3, 3), key_dim=4),
        [],
    ),
    "BLIP2QueryTokens": (of_hub("BLIP2QueryTokens", 6, 4, num_query_tokens=2, hidden_dim=4), []),
    "DINOV2Embedding": (
        of_hub("DINOV2Embedding", 6, 6, 3, image_shape=(6, 6, 3), num_register_tokens=2, **PATCHES),
        [],
    ),
    "DINOV3Embedding": (of_hub("DINOV3Embedding", 6, 6, 3, num_register_tokens=2, **PATCHES), []),
    "DeiTEmbeddings": (
        of_hub("DeiTEmbeddings", 6, 6, 3, image_size=(6, 6), patch_size=(2, 2), hidden_dim=4, use_mask_token=True),
        [],
    ),
    "Gemma4VisionPatchEmbedder": (
        of_hub("Gemma4VisionPatchEmbedder", 9, 12, image_size=6, position_embedding_size=9, **PATCHES),
        [],
    ),
    "SAM3Embedding": (
        of_hub("SAM3Embedding", 6, 6, 3, image_shape=(6, 6, 3), pretrain_image_shape=(6, 6, 3), **PATCHES),
        [],
    ),
    "T5MultiHeadAttention": (
        of_hub(
            "T5MultiHeadAttention",
            is_decoder=False,
            key_value_dim=2,
            dropout=0,
            use_relative_attention_bias=True,
            **HEADS,
        ),
        [],
    ),
    "VideoPrismAttenTokenPoolingLayer": (of_hub("VideoPrismAttenTokenPoolingLayer", 6, 4, num_queries=2, **HEADS), []),
    "WindowAttention": (of_hub("WindowAttention", 49, 4, dim=4, num_heads=2), []),
    "XLNetEncoder": (of_hub("XLNetEncoder", 6, 4, head_dim=2, intermediate_dim=3, **HEADS), []),
    "PARSeqDecoder": (
        of_hub("PARSeqDecoder", 6, vocabulary_size=7, max_label_length=5, num_layers=1, mlp_dim=3, **HEADS),
        [],
    ),
}
BUILDERS = OF_BOTH | (OF_LEGACY_KERAS if LEGACY else OF_KERAS_3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", BUILDERS)
def test_kernels_and_token_embeddings_are_prunable_and_what_is_added_is_not(kind):
    build, expected = BUILDERS[kind]
    layer = build()
    own = {id(weight): weight for weight in keras_compat.own_variables(layer)}
    assert any(sum(length > 1 for length in weight.shape) > 1 for weight in own.values())
    assert sorted(
        keras_compat.own_name(weight) for weight in prunable_weights(layer).values() if id(weight) in own
    ) == (sorted(expected))
    assert list(undecided_weights(layer)) == []


@pytest.mark.nightly
def test_every_public_layer_that_can_be_built_is_decided_and_the_others_make_no_matrix_or_have_a_builder():
    layers = {layer_class: called(layer_class) for layer_class in exported()}
    assert len([layer for layer in layers.values() if layer is not None]) > 60
    left = {layer_class.__name__: list(undecided_weights(layer)) for layer_class, layer in layers.items() if layer}
    assert {name: weights for name, weights in left.items() if weights} == {}
    for layer_class in [layer_class for layer_class, layer in layers.items() if layer is None]:
        made = [(base.__name__, name) for base in layer_class.__mro__[:-1] for name, _ in matrices_made(base)]
        made = [weight for weight in made if weight not in LEFT_OUT]
        assert not made or layer_class.__name__ in BUILDERS, f"{layer_class.__name__} makes {made}: write a builder"


@pytest.mark.skipif(not LEGACY, reason="legacy Keras only")
def test_embeddings_of_feature_columns_have_no_attributes_and_are_warned_of():
    assert [name.rpartition("/")[2] for name in undecided_weights(dense_features())] == ["embedding_weights"]
