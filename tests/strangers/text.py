"""Models of text, in the style of Keras' code examples."""

import numpy as np
import tensorflow as tf
from strangers.journey import Stranger

from tf_lottery.keras_compat import keras

layers = keras.layers
RANDOM = np.random.default_rng(0)
TOKENS = RANDOM.integers(1, 20, (8, 10)).astype("int32")
NEXT = np.roll(TOKENS, -1, axis=1)
LABELS = np.arange(8, dtype="int32") % 2
ONE_HOT = np.eye(20, dtype="float32")


def text_classification_from_scratch():
    inputs = keras.Input(shape=(10,), dtype="int32")
    x = layers.Embedding(20, 6)(inputs)
    x = layers.Dropout(0.5)(x)
    x = layers.Conv1D(8, 3, padding="valid", activation="relu", strides=2)(x)
    x = layers.Conv1D(8, 3, padding="same", activation="relu", strides=2)(x)
    x = layers.GlobalMaxPooling1D()(x)
    x = layers.Dense(8, activation="relu")(x)
    x = layers.Dropout(0.5)(x)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid", name="predictions")(x))


class TransformerBlock(layers.Layer):
    """As in the example: its constructor takes no name, and it has no `get_config`."""

    def __init__(self, embed_dim, num_heads, ff_dim, rate=0.1):
        super().__init__()
        self.att = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
        self.ffn = keras.Sequential([layers.Dense(ff_dim, activation="relu"), layers.Dense(embed_dim)])
        self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)
        self.dropout1 = layers.Dropout(rate)
        self.dropout2 = layers.Dropout(rate)

    def call(self, inputs):
        attn_output = self.dropout1(self.att(inputs, inputs))
        out1 = self.layernorm1(inputs + attn_output)
        return self.layernorm2(out1 + self.dropout2(self.ffn(out1)))


class TokenAndPositionEmbedding(layers.Layer):
    def __init__(self, maxlen, vocab_size, embed_dim):
        super().__init__()
        self.token_emb = layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
        self.pos_emb = layers.Embedding(input_dim=maxlen, output_dim=embed_dim)

    def call(self, x):
        positions = self.pos_emb(tf.range(start=0, limit=tf.shape(x)[-1], delta=1))
        return self.token_emb(x) + positions


def transformer_classifier():
    inputs = layers.Input(shape=(10,), dtype="int32")
    x = TokenAndPositionEmbedding(10, 20, 8)(inputs)
    x = TransformerBlock(8, 2, 8)(x)
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dropout(0.1)(x)
    x = layers.Dense(8, activation="relu")(x)
    x = layers.Dropout(0.1)(x)
    return keras.Model(inputs=inputs, outputs=layers.Dense(2, activation="softmax")(x))


class CausalBlock(TransformerBlock):
    def call(self, inputs):
        attention_output = self.dropout1(self.att(inputs, inputs, use_causal_mask=True))
        out1 = self.layernorm1(inputs + attention_output)
        return self.layernorm2(out1 + self.dropout2(self.ffn(out1)))


def miniature_gpt():
    """Two outputs, one of them without a loss."""
    inputs = layers.Input(shape=(10,), dtype="int32")
    x = TokenAndPositionEmbedding(10, 20, 8)(inputs)
    x = CausalBlock(8, 2, 8)(x)
    return keras.Model(inputs=inputs, outputs=[layers.Dense(20)(x), x])


def compile_gpt(model):
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss=[loss_fn, None])


def bidirectional_lstm():
    """Lengths of sequences are free."""
    inputs = keras.Input(shape=(None,), dtype="int32")
    x = layers.Embedding(20, 8)(inputs)
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(x)
    x = layers.Bidirectional(layers.LSTM(6))(x)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))


def character_seq2seq():
    """Two inputs; the states of one LSTM begin the other."""
    encoder_inputs = keras.Input(shape=(None, 20))
    _, state_h, state_c = layers.LSTM(8, return_state=True)(encoder_inputs)
    decoder_inputs = keras.Input(shape=(None, 20))
    decoder_lstm = layers.LSTM(8, return_sequences=True, return_state=True)
    decoder_outputs, _, _ = decoder_lstm(decoder_inputs, initial_state=[state_h, state_c])
    decoder_outputs = layers.Dense(20, activation="softmax")(decoder_outputs)
    return keras.Model([encoder_inputs, decoder_inputs], decoder_outputs)


def addition_rnn():
    model = keras.Sequential()
    model.add(layers.Input((10, 20)))
    model.add(layers.LSTM(8))
    model.add(layers.RepeatVector(10))
    for _ in range(1):
        model.add(layers.LSTM(8, return_sequences=True))
    model.add(layers.Dense(20, activation="softmax"))
    return model


@keras.saving.register_keras_serializable(package="strangers")
class MaskedLanguageModel(keras.Model):
    """A functional model with a training step of its own, made by `MaskedLanguageModel(inputs, outputs)`."""

    def train_step(self, inputs):
        features, labels, sample_weight = inputs
        with tf.GradientTape() as tape:
            predictions = self(features, training=True)
            loss = keras.losses.sparse_categorical_crossentropy(labels, predictions)
            loss = tf.reduce_sum(loss * sample_weight) / tf.reduce_sum(sample_weight)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


def masked_language_model():
    inputs = layers.Input((10,), dtype="int32")
    word_embeddings = layers.Embedding(20, 8, name="word_embedding")(inputs)
    attention = layers.MultiHeadAttention(num_heads=2, key_dim=4, name="encoder_0_multiheadattention")(
        word_embeddings, word_embeddings, word_embeddings
    )
    attention = layers.Dropout(0.1, name="encoder_0_att_dropout")(attention)
    attention = layers.LayerNormalization(epsilon=1e-6, name="encoder_0_att_normalization")(word_embeddings + attention)
    ffn = keras.Sequential([layers.Dense(8, activation="relu"), layers.Dense(8)], name="encoder_0_ffn")
    output = layers.LayerNormalization(epsilon=1e-6, name="encoder_0_ffn_normalization")(attention + ffn(attention))
    mlm_output = layers.Dense(20, name="mlm_cls", activation="softmax")(output)
    return MaskedLanguageModel(inputs, mlm_output, name="masked_bert_model")


def sparse(optimizer):
    return lambda model: model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])


def binary(optimizer):
    return lambda model: model.compile(loss="binary_crossentropy", optimizer=optimizer, metrics=["accuracy"])


CHARACTERS = ONE_HOT[TOKENS]
WEIGHTS = (RANDOM.random((8, 10)) < 0.3).astype("float32")

EXAMPLES = {
    "text_classification_from_scratch": Stranger(
        text_classification_from_scratch,
        binary("adam"),
        {"x": tf.data.Dataset.from_tensor_slices((TOKENS, LABELS)).batch(4)},
        TOKENS[:3],
        settings={"min_density": 0.1},
    ),
    "transformer_classifier": Stranger(
        transformer_classifier,
        sparse("adam"),
        {"x": TOKENS, "y": LABELS, "batch_size": 4},
        TOKENS[:3],
        settings={"min_density": 0.1},
    ),
    "miniature_gpt": Stranger(
        miniature_gpt,
        compile_gpt,
        {"x": tf.data.Dataset.from_tensor_slices((TOKENS, NEXT)).batch(4)},
        TOKENS[:3],
        settings={"min_density": 0.1},
    ),
    "bidirectional_lstm": Stranger(
        bidirectional_lstm,
        binary("adam"),
        {"x": TOKENS, "y": LABELS, "batch_size": 4},
        TOKENS[:3],
        settings={"scope": "layerwise"},
    ),
    "character_seq2seq": Stranger(
        character_seq2seq,
        lambda model: model.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"]),
        {"x": [CHARACTERS, CHARACTERS], "y": ONE_HOT[NEXT], "batch_size": 4},
        [CHARACTERS[:3], CHARACTERS[3:6]],
    ),
    "addition_rnn": Stranger(
        addition_rnn,
        lambda model: model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"]),
        {"x": CHARACTERS, "y": ONE_HOT[NEXT], "batch_size": 4},
        CHARACTERS[:3],
    ),
    "masked_language_model": Stranger(
        masked_language_model,
        lambda model: model.compile(optimizer=keras.optimizers.Adam(0.001)),
        {"x": tf.data.Dataset.from_tensor_slices((TOKENS, NEXT, WEIGHTS)).batch(4)},
        TOKENS[:3],
        settings={"min_density": 0.1},
    ),
}
