"""Which weights of the layers of Keras and KerasHub are pruned, and which never are. Free of Keras and TensorFlow.

The rule: a weight is *prunable* if inputs are multiplied by it or looked up in it: kernels, banks of experts, token
embeddings. It is *never* pruned if it is added, scales element by element, or stands for an input: biases, positions,
class, mask and query tokens, the alpha of PReLU, gamma and beta of a normalisation over several axes; nor if it is a
transform that was computed, as the Fourier kernels of STFTSpectrogram are, whether it is trained further or not.
Depthwise kernels are never pruned, as in tfmot: a channel has nine weights there, a percent of the network, and is dead
without them. Zhu and Gupta 2017 (arXiv 1710.01878, section 4.2) leave them out of sparse MobileNets for this reason.

Only weights with two dimensions larger than 1 need a decision to stay dense: others are vectors, and nobody prunes
them. The class decides and not the shape, because biases can have two dimensions, and not the use: a table of positions
that a model makes with the layer `Embedding` is an embedding, and `exclude` keeps it whole.

Layers made of other layers (Bidirectional, MultiHeadAttention, …) have no entry; the layers inside them have. The first
class with an entry along the MRO decides. `tests/masking/test_weight_table.py` walks all classes of these packages and
fails for a weight of which nothing is decided here.
"""

Table = dict[str, dict[str, tuple[str, ...]]]  # package, class, attributes that hold the weights

_CONVOLUTIONS = ["Conv", *(f"Conv{n}D{kind}" for n in (1, 2, 3) for kind in ("", "Transpose"))]
_DEPTHWISE = ["DepthwiseConv1D", "DepthwiseConv2D"]
_SEPARABLE = ["SeparableConv1D", "SeparableConv2D"]
_CELLS = ["SimpleRNNCell", "ConvLSTMCell", "CuDNNGRU", "CuDNNLSTM"]

# Both Kerases are the package "keras", and a name can stand for two classes there: attributes that a layer lacks are
# skipped. `_kernel` and the like belong to the cells of TensorFlow 1.
PRUNABLE: Table = {
    "keras": {
        "Dense": ("kernel",),
        "EinsumDense": ("kernel",),
        "Embedding": ("embeddings",),
        "ReversibleEmbedding": ("embeddings", "reverse_embeddings"),
        **dict.fromkeys([*_CONVOLUTIONS, "LocallyConnected1D", "LocallyConnected2D"], ("kernel",)),
        **dict.fromkeys(_SEPARABLE, ("pointwise_kernel",)),
        **dict.fromkeys(_CELLS, ("kernel", "recurrent_kernel")),
        "GRUCell": ("kernel", "recurrent_kernel", "_gate_kernel", "_candidate_kernel"),
        "LSTMCell": ("kernel", "recurrent_kernel", "_kernel", "_proj_kernel"),
        **dict.fromkeys(["BasicLSTMCell", "BasicRNNCell"], ("_kernel",)),
    },
    "keras_hub": {
        "Gemma4AudioRelativePositionEmbedding": ("pos_proj",),
        "Gemma4MoEBlock": ("gate_proj", "up_proj", "down_proj"),
        "GptOssExperts": ("gate_up_proj", "down_proj"),
        "MaskedLMHead": ("_kernel",),
        "MixtralMoeExperts": (
            "_expert_feedforward_gate_dense",
            "_expert_feedforward_intermediate_dense",
            "_expert_feedforward_output_dense",
        ),
        **dict.fromkeys(
            ["Qwen3MoeExperts", "Qwen3_5MoeExperts", "QwenMoeExperts"],
            ("_expert_feedforward_gate_dense", "_expert_feedforward_output_dense"),
        ),
        "Qwen3_5GatedDeltaNet": ("conv1d_weight",),
        "RWKV7TimeMix": ("w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2"),
    },
}

# Vectors are left out: without an entry, they are never pruned either.
NEVER: Table = {
    "keras": {
        **dict.fromkeys([*_DEPTHWISE, *_SEPARABLE], ("kernel", "depthwise_kernel")),
        "EinsumDense": ("bias",),
        **dict.fromkeys(["LocallyConnected1D", "LocallyConnected2D"], ("bias",)),
        "GRUCell": ("bias",),
        "PReLU": ("alpha",),
        **dict.fromkeys(["BatchNormalization", "BatchNormalizationBase", "LayerNormalization"], ("gamma", "beta")),
        "RMSNormalization": ("scale",),
        "STFTSpectrogram": ("real_kernel", "imag_kernel"),
    },
    "keras_hub": {
        "AddPositionalEmbedding": ("pos_embed",),
        "AddRelativePositionalEmbedding": ("rel_pos_h", "rel_pos_w"),
        "BLIP2QueryTokens": ("query_tokens",),
        "DINOV2Embedding": ("interpolated_position_embeddings", "mask_token", "register_tokens"),
        "DINOV3Embedding": ("register_tokens",),
        "DeiTEmbeddings": ("position_embedding",),
        "Gemma4VisionPatchEmbedder": ("position_embedding_table",),
        "GptOssExperts": ("gate_up_proj_bias", "down_proj_bias"),
        "PARSeqDecoder": ("pos_query_embeddings",),
        "PositionEmbedding": ("position_embeddings",),
        "RMSNormalization": ("scale",),
        "RWKV7TimeMix": ("r_k",),
        "RelativeEmbedding": ("rel_embeddings",),
        "SAM3Embedding": ("tiled_position_embeddings",),
        "T5MultiHeadAttention": ("relative_attention_bias",),
        "VideoPrismAttenTokenPoolingLayer": ("pooling_attention_query",),
        "WindowAttention": ("relative_position_bias_table",),
        "XLNetEncoder": (
            "content_attention_bias",
            "positional_attention_bias",
            "segment_attention_bias",
            "segment_encoding",
        ),
    },
}


def entry(table: Table, layer_class: type) -> tuple[str, ...]:
    """Return the attributes that `table` has for a class, without those of its base classes.

    Examples:
        >>> entry(PRUNABLE, type("Dense", (), {"__module__": "tf_keras.src.layers.core.dense"}))
        ('kernel',)
        >>> entry(PRUNABLE, type("Dense", (), {"__module__": "my_layers"}))
        ()
    """
    package = layer_class.__module__.partition(".")[0].removeprefix("tf_")
    return table.get(package, {}).get(layer_class.__name__, ())
