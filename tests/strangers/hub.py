"""Small models of KerasHub, made of configs of their backbones: a text encoder, a causal language model, a ViT.

Each is trained as the task that KerasHub makes of it, and as a backbone inside somebody's functional model.
"""

import keras_hub
import numpy as np
import tensorflow as tf
from strangers.journey import Stranger

from tf_lottery.keras_compat import keras

RANDOM = np.random.default_rng(0)
TOKENS = RANDOM.integers(1, 20, (8, 6)).astype("int32")
PADDING = (np.arange(6) < RANDOM.integers(3, 7, (8, 1))).astype("int32")
ENCODED = {"token_ids": TOKENS, "padding_mask": PADDING, "segment_ids": np.zeros((8, 6), "int32")}
TEXTS = {"token_ids": TOKENS, "padding_mask": PADDING}
IMAGES = RANDOM.random((8, 8, 8, 3), np.float32)
LABELS = np.arange(8, dtype="int32") % 3
SMALL = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8}
SMALL_TEXT = SMALL | {"vocabulary_size": 20, "intermediate_dim": 16, "max_sequence_length": 6}


def bert_backbone():
    return keras_hub.models.BertBackbone(**SMALL_TEXT, num_segments=2)


def gpt2_backbone():
    return keras_hub.models.GPT2Backbone(**SMALL_TEXT)


def vit_backbone():
    return keras_hub.models.ViTBackbone(image_shape=(8, 8, 3), patch_size=4, mlp_dim=16, **SMALL)


def bert_text_classifier():
    return keras_hub.models.BertTextClassifier(bert_backbone(), num_classes=3, preprocessor=None)


def gpt2_causal_lm():
    return keras_hub.models.GPT2CausalLM(gpt2_backbone(), preprocessor=None)


def vit_image_classifier():
    return keras_hub.models.ViTImageClassifier(vit_backbone(), num_classes=3, preprocessor=None)


def classifier_of_texts():
    """A backbone as a layer of a functional model."""
    inputs = {name: keras.Input((6,), dtype="int32", name=name) for name in ENCODED}
    pooled = bert_backbone()(inputs)["pooled_output"]
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dropout(0.1)(pooled)))


def reader_of_texts():
    """The output of a backbone, continued."""
    backbone = gpt2_backbone()
    x = keras.layers.GlobalAveragePooling1D()(backbone.output)
    return keras.Model(backbone.input, keras.layers.Dense(3)(x))


def classifier_of_images():
    inputs = keras.Input((8, 8, 3))
    x = vit_backbone()(inputs)
    return keras.Model(inputs, keras.layers.Dense(3)(x[:, 0]))


def compile(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, weighted_metrics=["accuracy"], jit_compile=False)


def forward_and_generate(model, inputs):
    """Predict, and write on where the padding begins."""
    model.sampler, model.generate_function = keras_hub.samplers.GreedySampler(), None  # the default draws at random
    return model(inputs, training=False), model.generate(inputs, stop_token_ids=None)


def first(inputs, number=2):
    return tf.nest.map_structure(lambda array: array[:number], inputs)


def stranger(build, inputs, labels=LABELS, predict=None):
    return Stranger(
        build,
        compile,
        {"x": inputs, "y": labels, "batch_size": 4},
        first(inputs),
        settings={"min_density": 0.1},
        **({"predict": predict} if predict else {}),
    )


EXAMPLES = {
    "bert_text_classifier": stranger(bert_text_classifier, ENCODED),
    "gpt2_causal_lm": stranger(gpt2_causal_lm, TEXTS, np.roll(TOKENS, -1, axis=1), forward_and_generate),
    "vit_image_classifier": stranger(vit_image_classifier, IMAGES),
    "bert_backbone_in_a_model": stranger(classifier_of_texts, ENCODED),
    "gpt2_backbone_continued": stranger(reader_of_texts, TEXTS),
    "vit_backbone_in_a_model": stranger(classifier_of_images, IMAGES),
}
