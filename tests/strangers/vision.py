"""Models of images, in the style of Keras' code examples."""

import numpy as np
import tensorflow as tf
from strangers.journey import Stranger

from tf_lottery.keras_compat import keras

layers = keras.layers
RANDOM = np.random.default_rng(0)
GREY = RANDOM.random((12, 12, 12, 1), np.float32)
COLOUR = RANDOM.random((8, 16, 16, 3), np.float32)
LABELS = np.arange(12) % 3
MAPS = (RANDOM.random((8, 16, 16, 1)) < 0.5).astype("uint8")
FOUR = {"batch_size": 4}


def crossentropy(optimizer, *, from_logits=False):
    """Return what compiles a classifier for numbered classes."""

    def compile(model):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
        model.compile(optimizer=optimizer(), loss=loss, metrics=[keras.metrics.SparseCategoricalAccuracy("acc")])

    return compile


def mnist_convnet():
    return keras.Sequential(
        [
            keras.Input(shape=(12, 12, 1)),
            layers.Conv2D(8, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Conv2D(8, kernel_size=(3, 3), activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )


def compile_mnist(model):
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])


def image_classification_from_scratch():
    """A small Xception, with augmentation inside."""
    data_augmentation = keras.Sequential(
        [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)], name="augmentation"
    )
    inputs = keras.Input(shape=(16, 16, 3))
    x = data_augmentation(inputs)
    x = layers.Rescaling(1.0 / 255)(x)
    x = layers.Conv2D(8, 3, strides=2, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    previous_block_activation = x  # set aside residual
    for size in [8, 12]:
        x = layers.Activation("relu")(x)
        x = layers.SeparableConv2D(size, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        residual = layers.Conv2D(size, 1, strides=2, padding="same")(previous_block_activation)
        x = layers.add([x, residual])
        previous_block_activation = x
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.25)(x)
    outputs = layers.Dense(1, activation=None)(x)
    return keras.Model(inputs, outputs)


def compile_binary(model):
    model.compile(
        optimizer=keras.optimizers.Adam(3e-4),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(name="acc")],
    )


def transfer_learning():
    """A frozen base, called with `training=False`, under a new head."""
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, strides=2, activation="relu")(image)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2D(8, 3, activation="relu")(x)
    base_model = keras.Model(image, x, name="base")
    base_model.trainable = False
    inputs = keras.Input(shape=(16, 16, 3))
    scale_layer = layers.Rescaling(scale=1 / 127.5, offset=-1)
    x = scale_layer(inputs)
    x = base_model(x, training=False)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    outputs = layers.Dense(3)(x)
    return keras.Model(inputs, outputs)


def fine_tune(model):
    """Unfreeze the base and train all of it, at a low rate."""
    model.get_layer("base").trainable = True
    crossentropy(lambda: keras.optimizers.Adam(1e-3), from_logits=True)(model)
    model.fit(COLOUR, LABELS[:8], batch_size=4, verbose=0)


def unet():
    inputs = keras.Input(shape=(16, 16, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same")(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    previous_block_activation = x
    for filters in [8, 12]:
        x = layers.Activation("relu")(x)
        x = layers.SeparableConv2D(filters, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        residual = layers.Conv2D(filters, 1, strides=2, padding="same")(previous_block_activation)
        x = layers.add([x, residual])
        previous_block_activation = x
    for filters in [12, 8, 4]:
        x = layers.Activation("relu")(x)
        x = layers.Conv2DTranspose(filters, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.UpSampling2D(2)(x)
        residual = layers.UpSampling2D(2)(previous_block_activation)
        residual = layers.Conv2D(filters, 1, padding="same")(residual)
        x = layers.add([x, residual])
        previous_block_activation = x
    outputs = layers.Conv2D(2, 3, activation="softmax", padding="same")(x)
    return keras.Model(inputs, outputs)


def convmixer():
    def activation_block(x):
        x = layers.Activation("gelu")(x)
        return layers.BatchNormalization()(x)

    inputs = keras.Input((16, 16, 3))
    x = layers.Rescaling(scale=1.0 / 255)(inputs)
    x = activation_block(layers.Conv2D(8, kernel_size=4, strides=4)(x))
    for _ in range(2):
        x0 = x
        x = layers.DepthwiseConv2D(kernel_size=3, padding="same")(x)
        x = layers.Add()([activation_block(x), x0])
        x = activation_block(layers.Conv2D(8, kernel_size=1)(x))
    x = layers.GlobalAvgPool2D()(x)
    outputs = layers.Dense(3, activation="softmax")(x)
    return keras.Model(inputs, outputs)


class Patches(layers.Layer):
    """As in the examples: with `get_config`, and not registered."""

    def __init__(self, patch_size, **kwargs):
        super().__init__(**kwargs)
        self.patch_size = patch_size

    def call(self, images):
        size = [1, self.patch_size, self.patch_size, 1]
        patches = tf.image.extract_patches(images, sizes=size, strides=size, rates=[1, 1, 1, 1], padding="VALID")
        return tf.reshape(patches, [tf.shape(images)[0], 16, patches.shape[-1]])

    def compute_output_shape(self, shape):
        return (shape[0], 16, self.patch_size**2 * shape[-1])

    def get_config(self):
        return {**super().get_config(), "patch_size": self.patch_size}


class PatchEncoder(layers.Layer):
    """Layers inside, made in the constructor and built when they are first called."""

    def __init__(self, num_patches, projection_dim, **kwargs):
        super().__init__(**kwargs)
        self.num_patches, self.projection_dim = num_patches, projection_dim
        self.projection = layers.Dense(units=projection_dim)
        self.position_embedding = layers.Embedding(input_dim=num_patches, output_dim=projection_dim)

    def call(self, patch):
        positions = tf.expand_dims(tf.range(start=0, limit=self.num_patches, delta=1), axis=0)
        return self.projection(patch) + self.position_embedding(positions)

    def get_config(self):
        return {**super().get_config(), "num_patches": self.num_patches, "projection_dim": self.projection_dim}


def vision_transformer():
    def mlp(x, hidden_units, dropout_rate):
        for units in hidden_units:
            x = layers.Dense(units, activation="gelu")(x)
            x = layers.Dropout(dropout_rate)(x)
        return x

    inputs = keras.Input(shape=(16, 16, 3))
    patches = Patches(4)(inputs)
    encoded_patches = PatchEncoder(16, 8)(patches)
    for _ in range(2):
        x1 = layers.LayerNormalization(epsilon=1e-6)(encoded_patches)
        attention_output = layers.MultiHeadAttention(num_heads=2, key_dim=4, dropout=0.1)(x1, x1)
        x2 = layers.Add()([attention_output, encoded_patches])
        x3 = layers.LayerNormalization(epsilon=1e-6)(x2)
        x3 = mlp(x3, hidden_units=[16, 8], dropout_rate=0.1)
        encoded_patches = layers.Add()([x3, x2])
    representation = layers.LayerNormalization(epsilon=1e-6)(encoded_patches)
    representation = layers.Flatten()(representation)
    representation = layers.Dropout(0.5)(representation)
    features = mlp(representation, hidden_units=[16], dropout_rate=0.5)
    logits = layers.Dense(3)(features)
    return keras.Model(inputs=inputs, outputs=logits)


class MLPMixerLayer(layers.Layer):
    """A Sequential inside a layer, whose constructor takes what it needs and `**kwargs`, without `get_config`."""

    def __init__(self, num_patches, hidden_units, dropout_rate, **kwargs):
        super().__init__(**kwargs)
        self.mlp1 = keras.Sequential(
            [layers.Dense(units=num_patches, activation="gelu"), layers.Dense(units=num_patches)]
        )
        self.mlp2 = keras.Sequential(
            [
                layers.Dense(units=hidden_units, activation="gelu"),
                layers.Dense(units=hidden_units),
                layers.Dropout(rate=dropout_rate),
            ]
        )
        self.normalize = layers.LayerNormalization(epsilon=1e-6)

    def build(self, input_shape):
        self.built = True  # as the example does

    def call(self, inputs):
        x = self.normalize(inputs)
        x_channels = tf.transpose(x, [0, 2, 1])
        mlp1_outputs = tf.transpose(self.mlp1(x_channels), [0, 2, 1])
        x = mlp1_outputs + inputs
        return x + self.mlp2(self.normalize(x))


def mlp_mixer():
    inputs = keras.Input(shape=(16, 16, 3))
    augmented = keras.Sequential([layers.Resizing(16, 16), layers.RandomFlip("horizontal")], name="augmentation")(
        inputs
    )
    x = layers.Dense(units=8)(Patches(4)(augmented))
    x = keras.Sequential([MLPMixerLayer(16, 8, 0.2) for _ in range(2)])(x)
    representation = layers.GlobalAveragePooling1D()(x)
    representation = layers.Dropout(rate=0.2)(representation)
    return keras.Model(inputs=inputs, outputs=layers.Dense(3)(representation))


class Distiller(keras.Model):
    """Two models inside, of which one is called, a `compile` with losses of its own, and a `compute_loss`."""

    def __init__(self, student, teacher):
        super().__init__()
        self.teacher, self.student = teacher, student

    def compile(self, optimizer, metrics, student_loss_fn, distillation_loss_fn, alpha=0.1, temperature=3):
        super().compile(optimizer=optimizer, metrics=metrics)
        self.student_loss_fn, self.distillation_loss_fn = student_loss_fn, distillation_loss_fn
        self.alpha, self.temperature = alpha, temperature

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, allow_empty=False):
        teacher_pred = self.teacher(x, training=False)
        student_loss = self.student_loss_fn(y, y_pred)
        distillation_loss = (
            self.distillation_loss_fn(
                tf.nn.softmax(teacher_pred / self.temperature, axis=1),
                tf.nn.softmax(y_pred / self.temperature, axis=1),
            )
            * self.temperature**2
        )
        return self.alpha * student_loss + (1 - self.alpha) * distillation_loss

    def call(self, x):
        return self.student(x)


def distiller():
    def convolutions(width, name):
        return keras.Sequential(
            [
                keras.Input(shape=(12, 12, 1)),
                layers.Conv2D(width, (3, 3), strides=(2, 2), padding="same"),
                layers.LeakyReLU(),
                layers.MaxPooling2D(pool_size=(2, 2), strides=(1, 1), padding="same"),
                layers.Flatten(),
                layers.Dense(3),
            ],
            name=name,
        )

    model = Distiller(student=convolutions(4, "student"), teacher=convolutions(12, "teacher"))
    model(GREY[:1])
    return model


def compile_distiller(model):
    model.compile(
        optimizer=keras.optimizers.Adam(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
        student_loss_fn=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        distillation_loss_fn=keras.losses.KLDivergence(),
        alpha=0.1,
        temperature=10,
    )


class SimSiam(keras.Model):
    """No `call`: two models that `train_step` puts together, and a property `metrics`."""

    def __init__(self, encoder, predictor):
        super().__init__()
        self.encoder, self.predictor = encoder, predictor
        self.loss_tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        return [self.loss_tracker]

    def train_step(self, data):
        ds_one, ds_two = data
        with tf.GradientTape() as tape:
            z1, z2 = self.encoder(ds_one), self.encoder(ds_two)
            p1, p2 = self.predictor(z1), self.predictor(z2)
            loss = self.distance(p1, z2) / 2 + self.distance(p2, z1) / 2
        learnable_params = self.encoder.trainable_variables + self.predictor.trainable_variables
        gradients = tape.gradient(loss, learnable_params)
        self.optimizer.apply_gradients(zip(gradients, learnable_params, strict=True))
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}

    def distance(self, p, z):
        z = tf.stop_gradient(z)
        p, z = tf.math.l2_normalize(p, axis=1), tf.math.l2_normalize(z, axis=1)
        return -tf.reduce_mean(tf.reduce_sum(p * z, axis=1))


def simsiam():
    inputs = layers.Input((16, 16, 3))
    x = layers.Rescaling(scale=1.0 / 127.5, offset=-1)(inputs)
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = layers.GlobalAveragePooling2D(name="backbone_pool")(x)
    x = layers.Dense(12, use_bias=False, kernel_regularizer=keras.regularizers.l2(0.0005))(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    outputs = layers.Dense(12, use_bias=False)(x)
    encoder = keras.Model(inputs, layers.BatchNormalization()(outputs), name="encoder")
    predictor = keras.Sequential(
        [layers.Input((12,)), layers.Dense(6, use_bias=False), layers.ReLU(), layers.Dense(12)], name="predictor"
    )
    return SimSiam(encoder, predictor)


def compile_simsiam(model):
    schedule = keras.optimizers.schedules.CosineDecay(initial_learning_rate=0.03, decay_steps=20)
    model.compile(optimizer=keras.optimizers.SGD(schedule, momentum=0.6))


class DistanceLayer(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)

    def call(self, anchor, positive, negative):
        ap_distance = tf.reduce_sum(tf.square(anchor - positive), -1)
        an_distance = tf.reduce_sum(tf.square(anchor - negative), -1)
        return (ap_distance, an_distance)


class SiameseModel(keras.Model):
    def __init__(self, siamese_network, margin=0.5):
        super().__init__()
        self.siamese_network, self.margin = siamese_network, margin
        self.loss_tracker = keras.metrics.Mean(name="loss")

    def call(self, inputs):
        return self.siamese_network(inputs)

    def train_step(self, data):
        with tf.GradientTape() as tape:
            loss = self._compute_loss(data[0] if isinstance(data[0], tuple) else data)
        gradients = tape.gradient(loss, self.siamese_network.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.siamese_network.trainable_weights, strict=True))
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}

    def _compute_loss(self, data):
        ap_distance, an_distance = self.siamese_network(data)
        return tf.reduce_mean(tf.maximum(ap_distance - an_distance + self.margin, 0.0))

    @property
    def metrics(self):
        return [self.loss_tracker]


def siamese():
    image = keras.Input((16, 16, 3))
    base_cnn = keras.Model(image, layers.Conv2D(6, 3, strides=3, activation="relu", name="last")(image), name="base")
    flatten = layers.Flatten()(base_cnn.output)
    dense1 = layers.Dense(12, activation="relu")(flatten)
    dense1 = layers.BatchNormalization()(dense1)
    output = layers.Dense(6)(dense1)
    embedding = keras.Model(base_cnn.input, output, name="Embedding")
    names = ("anchor", "positive", "negative")
    inputs = [layers.Input(name=name, shape=(16, 16, 3)) for name in names]
    distances = DistanceLayer()(*(embedding(one) for one in inputs))
    model = SiameseModel(keras.Model(inputs=inputs, outputs=distances))
    model([COLOUR[:1]] * 3)
    return model


def triplets():
    return tf.data.Dataset.from_tensor_slices((COLOUR, COLOUR[::-1].copy(), COLOUR**2)).batch(4, drop_remainder=True)


ONE_HOT = np.eye(3, dtype="float32")[LABELS]
VIEWS = tf.data.Dataset.from_tensor_slices((COLOUR, COLOUR[:, :, ::-1].copy())).batch(4)
IMAGES = {"x": COLOUR, "y": LABELS[:8], **FOUR}
TRIPLET_SPECS = [tf.TensorSpec((None, 16, 16, 3), tf.float32, name) for name in ("anchor", "positive", "negative")]

EXAMPLES = {
    "mnist_convnet": Stranger(mnist_convnet, compile_mnist, {"x": GREY, "y": ONE_HOT, **FOUR}, GREY[:3]),
    "image_classification_from_scratch": Stranger(
        image_classification_from_scratch, compile_binary, {"x": COLOUR, "y": LABELS[:8] % 2, **FOUR}, COLOUR[:3]
    ),
    "transfer_learning": Stranger(
        transfer_learning,
        crossentropy(keras.optimizers.Adam, from_logits=True),
        IMAGES,
        COLOUR[:3],
        then=fine_tune,
    ),
    "unet": Stranger(
        unet,
        crossentropy(lambda: keras.optimizers.Adam(1e-3)),
        {"x": tf.data.Dataset.from_tensor_slices((COLOUR, MAPS)).batch(4)},
        COLOUR[:3],
    ),
    "convmixer": Stranger(
        convmixer,
        crossentropy(lambda: keras.optimizers.AdamW(learning_rate=1e-3, weight_decay=1e-4)),
        IMAGES,
        COLOUR[:3],
    ),
    "vision_transformer": Stranger(
        vision_transformer,
        crossentropy(lambda: keras.optimizers.AdamW(learning_rate=1e-3, weight_decay=1e-4), from_logits=True),
        IMAGES,
        COLOUR[:3],
        settings={"min_density": 0.1},  # the table of positions begins with weights much smaller than the others'
    ),
    "mlp_mixer": Stranger(
        mlp_mixer,
        crossentropy(lambda: keras.optimizers.Adam(1e-3), from_logits=True),
        IMAGES,
        COLOUR[:3],
    ),
    "distiller": Stranger(distiller, compile_distiller, {"x": GREY, "y": LABELS, **FOUR}, GREY[:3]),
    "simsiam": Stranger(
        simsiam,
        compile_simsiam,
        {"x": VIEWS},
        COLOUR[:3],
        predict=lambda model, x: model.predictor(model.encoder(x, training=False), training=False),
        served=lambda model: model.encoder,
    ),
    "siamese": Stranger(
        siamese,
        lambda model: model.compile(optimizer=keras.optimizers.Adam(0.001), weighted_metrics=[]),
        {"x": triplets()},
        [COLOUR[:3], COLOUR[3:6], COLOUR[5:8]],
        specs=TRIPLET_SPECS,
    ),
}
