"""Models of tables and time series, in the style of Keras' code examples."""

import numpy as np
import tensorflow as tf
from strangers.journey import Stranger

from tf_lottery.keras_compat import keras

layers = keras.layers
RANDOM = np.random.default_rng(0)
TABLE = {
    "age": RANDOM.integers(20, 80, (8, 1)).astype("float32"),
    "pressure": RANDOM.normal(120, 10, (8, 1)).astype("float32"),
    "thal": np.array(["fixed", "normal", "reversible", "normal"] * 2)[:, None],
}
TARGET = np.arange(8, dtype="float32")[:, None] % 2
SERIES = RANDOM.normal(size=(8, 12, 1)).astype("float32")
CLASSES = np.arange(8) % 2
FRAMES = RANDOM.random((8, 3, 6, 6, 1), np.float32)
RATINGS = np.stack([np.arange(8) % 5, np.arange(8) % 7], axis=1).astype("int64")


def structured_data():
    """Preprocessing layers that know the data, inside the model; inputs are strings and numbers by name."""
    inputs = {
        "age": keras.Input((1,), name="age"),
        "pressure": keras.Input((1,), name="pressure"),
        "thal": keras.Input((1,), name="thal", dtype="string"),
    }
    encoded = []
    for name in ("age", "pressure"):
        normalizer = layers.Normalization()
        normalizer.adapt(TABLE[name])
        encoded.append(normalizer(inputs[name]))
    lookup = layers.StringLookup(output_mode="one_hot")
    lookup.adapt(TABLE["thal"])
    encoded.append(lookup(inputs["thal"]))
    x = layers.Dense(12, activation="relu")(layers.concatenate(encoded))
    x = layers.Dropout(0.5)(x)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))


def feature_space():
    space = keras.utils.FeatureSpace(
        features={
            "age": keras.utils.FeatureSpace.float_discretized(num_bins=4),
            "pressure": keras.utils.FeatureSpace.float_normalized(),
            "thal": keras.utils.FeatureSpace.string_categorical(num_oov_indices=0),
        },
        crosses=[keras.utils.FeatureSpace.cross(feature_names=("age", "thal"), crossing_dim=8)],
        output_mode="concat",
    )
    space.adapt(tf.data.Dataset.from_tensor_slices(flat(TABLE)))
    return space


def flat(table):
    return {name: column[:, 0] for name, column in table.items()}


def feature_space_model():
    """The model that is trained on preprocessed features."""
    space = feature_space()
    x = layers.Dense(12, activation="relu")(space.get_encoded_features())
    x = layers.Dropout(0.5)(x)
    return keras.Model(inputs=space.get_encoded_features(), outputs=layers.Dense(1, activation="sigmoid")(x))


def feature_space_end_to_end():
    """The whole model, from strings and numbers."""
    space = feature_space()
    x = layers.Dense(12, activation="relu")(space.get_encoded_features())
    outputs = layers.Dense(1, activation="sigmoid")(x)
    return keras.Model(inputs=dict(space.get_inputs()), outputs=outputs)


def features():
    return np.asarray(feature_space()(flat(TABLE)))


def timeseries_transformer():
    def transformer_encoder(inputs):
        x = layers.MultiHeadAttention(key_dim=4, num_heads=2, dropout=0.25)(inputs, inputs)
        x = layers.Dropout(0.25)(x)
        x = layers.LayerNormalization(epsilon=1e-6)(x)
        res = x + inputs
        x = layers.Conv1D(filters=4, kernel_size=1, activation="relu")(res)
        x = layers.Dropout(0.25)(x)
        x = layers.Conv1D(filters=inputs.shape[-1], kernel_size=1)(x)
        x = layers.LayerNormalization(epsilon=1e-6)(x)
        return x + res

    inputs = keras.Input(shape=SERIES.shape[1:])
    x = transformer_encoder(transformer_encoder(inputs))
    x = layers.GlobalAveragePooling1D(data_format="channels_last")(x)
    for dim in [12]:
        x = layers.Dense(dim, activation="relu")(x)
        x = layers.Dropout(0.4)(x)
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


def timeseries_autoencoder():
    return keras.Sequential(
        [
            layers.Input(shape=(12, 1)),
            layers.Conv1D(filters=8, kernel_size=7, padding="same", strides=2, activation="relu"),
            layers.Dropout(rate=0.2),
            layers.Conv1D(filters=4, kernel_size=7, padding="same", strides=2, activation="relu"),
            layers.Conv1DTranspose(filters=4, kernel_size=7, padding="same", strides=2, activation="relu"),
            layers.Dropout(rate=0.2),
            layers.Conv1DTranspose(filters=8, kernel_size=7, padding="same", strides=2, activation="relu"),
            layers.Conv1DTranspose(filters=1, kernel_size=7, padding="same"),
        ]
    )


def next_frame_prediction():
    inp = layers.Input(shape=(None, 6, 6, 1))
    x = layers.ConvLSTM2D(filters=4, kernel_size=(3, 3), padding="same", return_sequences=True, activation="relu")(inp)
    x = layers.BatchNormalization()(x)
    x = layers.ConvLSTM2D(filters=4, kernel_size=(1, 1), padding="same", return_sequences=True, activation="relu")(x)
    x = layers.Conv3D(filters=1, kernel_size=(3, 3, 3), activation="sigmoid", padding="same")(x)
    return keras.Model(inp, x)


class RecommenderNet(keras.Model):
    """Embeddings that a dot product puts together, of numbers in the columns of one input."""

    def __init__(self, num_users, num_movies, embedding_size, **kwargs):
        super().__init__(**kwargs)
        regularizer = keras.regularizers.l2(1e-6)
        for name, number in (("user", num_users), ("movie", num_movies)):
            table = layers.Embedding(
                number, embedding_size, embeddings_initializer="he_normal", embeddings_regularizer=regularizer
            )
            setattr(self, f"{name}_embedding", table)
            setattr(self, f"{name}_bias", layers.Embedding(number, 1))

    def call(self, inputs):
        user_vector, user_bias = self.user_embedding(inputs[:, 0]), self.user_bias(inputs[:, 0])
        movie_vector, movie_bias = self.movie_embedding(inputs[:, 1]), self.movie_bias(inputs[:, 1])
        dot_user_movie = tf.tensordot(user_vector, movie_vector, 2)
        return tf.nn.sigmoid(dot_user_movie + user_bias + movie_bias)


def recommender():
    model = RecommenderNet(5, 7, 6)
    model(RATINGS[:1])
    return model


class GraphConvLayer(layers.Layer):
    """Feed-forward networks that a function makes, and a GRU or a sum."""

    def __init__(self, hidden_units, dropout_rate=0.2, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.ffn_prepare = create_ffn(hidden_units, dropout_rate)
        self.update_fn = create_ffn(hidden_units, dropout_rate)

    def call(self, inputs):
        node_repesentations, edges = inputs
        messages = self.ffn_prepare(tf.gather(node_repesentations, edges[1]))
        nodes = tf.shape(node_repesentations)[0]
        aggregated = tf.math.unsorted_segment_sum(messages, edges[0], num_segments=nodes)
        return tf.nn.l2_normalize(self.update_fn(tf.concat([node_repesentations, aggregated], axis=1)), axis=-1)


def create_ffn(hidden_units, dropout_rate, name=None):
    fnn_layers = []
    for units in hidden_units:
        fnn_layers += [layers.BatchNormalization(), layers.Dropout(dropout_rate)]
        fnn_layers += [layers.Dense(units, activation="gelu")]
    return keras.Sequential(fnn_layers, name=name)


class GNNNodeClassifier(keras.Model):
    """Holds its data, and takes the numbers of nodes as inputs."""

    def __init__(self, graph_info, num_classes, hidden_units, **kwargs):
        super().__init__(**kwargs)
        self.node_features, self.edges = graph_info
        self.preprocess = create_ffn(hidden_units, 0.2, name="preprocess")
        self.conv1 = GraphConvLayer(hidden_units, name="graph_conv1")
        self.conv2 = GraphConvLayer(hidden_units, name="graph_conv2")
        self.postprocess = create_ffn(hidden_units, 0.2, name="postprocess")
        self.compute_logits = layers.Dense(units=num_classes, name="logits")

    def call(self, input_node_indices):
        x = self.preprocess(self.node_features)
        x = self.conv1((x, self.edges)) + x
        x = self.conv2((x, self.edges)) + x
        x = self.postprocess(x)
        return self.compute_logits(tf.gather(x, input_node_indices))


def graph_network():
    nodes = tf.constant(np.random.default_rng(1).normal(size=(8, 6)), tf.float32)
    edges = tf.constant([[0, 1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7, 0]])
    model = GNNNodeClassifier((nodes, edges), num_classes=3, hidden_units=[6, 6], name="gnn_model")
    model(tf.constant([1, 2, 3]))
    return model


def speaker_recognition():
    def residual_block(x, filters, conv_num=2):
        s = layers.Conv1D(filters, 1, padding="same")(x)
        for _ in range(conv_num - 1):
            x = layers.Conv1D(filters, 3, padding="same")(x)
            x = layers.Activation("relu")(x)
        x = layers.Conv1D(filters, 3, padding="same")(x)
        x = layers.Add()([x, s])
        x = layers.Activation("relu")(x)
        return layers.MaxPool1D(pool_size=2, strides=2)(x)

    inputs = layers.Input(shape=(12, 1), name="input")
    x = residual_block(residual_block(inputs, 4), 8)
    x = layers.AveragePooling1D(pool_size=3, strides=3)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(8, activation="relu")(x)
    return keras.Model(inputs=inputs, outputs=layers.Dense(2, activation="softmax", name="output")(x))


def binary(model):
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])


def sparse(model):
    loss = "sparse_categorical_crossentropy"
    model.compile(loss=loss, optimizer=keras.optimizers.Adam(1e-3), metrics=["sparse_categorical_accuracy"])


CLASSIFIED = {"x": SERIES, "y": CLASSES, "batch_size": 4}

EXAMPLES = {
    "structured_data": Stranger(
        structured_data,
        binary,
        {"x": tf.data.Dataset.from_tensor_slices((TABLE, TARGET)).batch(4)},
        {name: column[:3] for name, column in TABLE.items()},
    ),
    "feature_space": Stranger(
        feature_space_model,
        binary,
        {"x": features(), "y": TARGET, "batch_size": 4},
        features()[:3],
        says=[r"its layers .* are called in another one: .*`make_prunable\(model, in_place=True\)`"],
    ),
    "feature_space_end_to_end": Stranger(
        feature_space_end_to_end,
        binary,
        {"x": tf.data.Dataset.from_tensor_slices((TABLE, TARGET)).batch(4)},
        {name: column[:3] for name, column in TABLE.items()},
    ),
    "timeseries_transformer": Stranger(
        timeseries_transformer, sparse, CLASSIFIED, SERIES[:3], settings={"min_density": 0.1}
    ),
    "timeseries_autoencoder": Stranger(
        timeseries_autoencoder,
        lambda model: model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.001), loss="mse"),
        {"x": SERIES, "y": SERIES, "batch_size": 4},
        SERIES[:3],
    ),
    "next_frame_prediction": Stranger(
        next_frame_prediction,
        lambda model: model.compile(loss=keras.losses.binary_crossentropy, optimizer=keras.optimizers.Adam()),
        {"x": FRAMES, "y": FRAMES, "batch_size": 4},
        FRAMES[:3],
    ),
    "recommender": Stranger(
        recommender,
        lambda model: model.compile(
            loss=keras.losses.BinaryCrossentropy(), optimizer=keras.optimizers.Adam(learning_rate=0.001)
        ),
        {"x": RATINGS, "y": TARGET, "batch_size": 4},
        RATINGS[:3],
        specs=tf.TensorSpec((None, 2), tf.int64),
        settings={"min_density": 0.1},
    ),
    "graph_network": Stranger(
        graph_network,
        lambda model: model.compile(
            optimizer=keras.optimizers.Adam(0.01),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="acc")],
        ),
        {"x": np.arange(8, dtype="int32"), "y": np.arange(8) % 3, "batch_size": 4},
        np.arange(3, dtype="int32"),
        specs=tf.TensorSpec((None,), tf.int32),
    ),
    "speaker_recognition": Stranger(speaker_recognition, sparse, CLASSIFIED, SERIES[:3]),
}
