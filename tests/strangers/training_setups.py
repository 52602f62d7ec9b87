"""Small models that are trained in the ways that Keras' guides show."""

import math

import numpy as np
import tensorflow as tf
from strangers.journey import Stranger

from tf_lottery.keras_compat import LEGACY, keras

layers = keras.layers
X = np.random.default_rng(0).normal(size=(12, 8)).astype("float32")
Y = np.arange(12, dtype="int32") % 3


class Blocks(keras.Model):
    """Layers in Python lists and dicts, built when they are first called."""

    def __init__(self, widths, **kwargs):
        super().__init__(**kwargs)
        self.widths = widths
        self.blocks = [layers.Dense(width, activation="relu") for width in widths]
        self.norms = [layers.BatchNormalization() for _ in widths]
        self.heads = {"coarse": layers.Dense(3), "fine": layers.Dense(3)}

    def call(self, x, training=False):
        for block, norm in zip(self.blocks, self.norms, strict=True):
            x = norm(block(x), training=training)
        return self.heads["coarse"](x) + self.heads["fine"](x)

    def get_config(self):
        return {**super().get_config(), "widths": list(self.widths)}


def blocks():
    model = Blocks([10, 10])
    model(X[:1])
    return model


@keras.saving.register_keras_serializable(package="strangers")
class Stack(keras.Sequential):
    """A Sequential with a constructor and a method of its own."""

    def __init__(self, width=10, **kwargs):
        super().__init__([keras.Input((8,)), layers.Dense(width, activation="relu"), layers.Dense(3)], **kwargs)
        self.width = width

    def probabilities(self, x):
        return tf.nn.softmax(self(x, training=False))

    def get_config(self):
        return {"name": self.name, "width": self.width}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


@keras.saving.register_keras_serializable(package="strangers")
class LogisticEndpoint(layers.Layer):
    """A layer that takes the labels and adds the loss: the model is compiled without one."""

    def __init__(self, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)

    def call(self, targets, logits):
        self.add_loss(self.loss_fn(targets, logits))
        return tf.nn.softmax(logits)


def endpoint():
    inputs, targets = keras.Input(shape=(8,), name="inputs"), keras.Input(shape=(10,), name="targets")
    x = layers.Dense(10, activation="relu")(inputs)
    logits = layers.Dense(10)(x)
    predictions = LogisticEndpoint(name="predictions")(targets, logits)
    return keras.Model(inputs=[inputs, targets], outputs=predictions)


def perceptron(**settings):
    """Functional, with settings for all layers but the last."""
    inputs = keras.Input(shape=(8,), name="digits")
    x = layers.Dense(10, activation="relu", name="dense_1", **settings)(inputs)
    x = layers.BatchNormalization(**settings)(x)
    x = layers.Dense(10, activation="relu", name="dense_2", **settings)(x)
    x = layers.Dense(3, name="dense_logits", **settings)(x)
    return keras.Model(inputs, layers.Activation("softmax", dtype="float32", name="predictions")(x))


def mixed_precision():
    return perceptron(dtype="mixed_float16" if not LEGACY else keras.mixed_precision.Policy("mixed_float16"))


def compiled(optimizer, **settings):
    def compile(model):
        loss = "sparse_categorical_crossentropy"
        model.compile(optimizer=optimizer(), loss=loss, metrics=["sparse_categorical_accuracy"], **settings)

    return compile


@keras.saving.register_keras_serializable(package="strangers")
class WarmUpCosine(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, learning_rate_base, total_steps, warmup_learning_rate, warmup_steps):
        super().__init__()
        self.learning_rate_base, self.total_steps = learning_rate_base, total_steps
        self.warmup_learning_rate, self.warmup_steps = warmup_learning_rate, warmup_steps

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        cos_annealed_lr = tf.cos(
            math.pi * (step - self.warmup_steps) / float(self.total_steps - self.warmup_steps),
        )
        learning_rate = 0.5 * self.learning_rate_base * (1 + cos_annealed_lr)
        slope = (self.learning_rate_base - self.warmup_learning_rate) / self.warmup_steps
        warmup_rate = slope * step + self.warmup_learning_rate
        return tf.where(step < self.warmup_steps, warmup_rate, learning_rate)

    def get_config(self):
        names = ("learning_rate_base", "total_steps", "warmup_learning_rate", "warmup_steps")
        return {name: getattr(self, name) for name in names}


class CustomModel(keras.Model):
    """Sums up gradients in a training step of its own; made by `CustomModel(inputs, outputs)`."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred)
        trainable_vars = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, trainable_vars), trainable_vars, strict=True))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


def customized_fit():
    inputs = keras.Input(shape=(8,))
    x = layers.Dense(10, activation="relu")(inputs)
    return CustomModel(inputs, layers.Dense(3, activation="softmax")(x))


FIT = {"x": X, "y": Y, "batch_size": 4}

AVERAGES = "With `use_ema`, `fit` validates the weights themselves"

EXAMPLES = {
    "layers_in_lists": Stranger(
        blocks,
        lambda model: model.compile(
            "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
        ),
        FIT,
        X[:3],
    ),
    "sequential_subclass": Stranger(
        Stack,
        lambda model: model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
        FIT,
        X[:3],
        predict=lambda model, x: model.probabilities(x),
    ),
    "endpoint_layer": Stranger(
        endpoint,
        lambda model: model.compile(optimizer="adam"),
        {"x": {"inputs": X, "targets": (X[:, :1] > 0).repeat(10, 1).astype("float32")}, "batch_size": 4},
        [X[:3], np.zeros((3, 10), "float32")],
    ),
    "mixed_precision": Stranger(
        mixed_precision, compiled(lambda: keras.optimizers.RMSprop()), FIT, X[:3], epochs_per_level=3
    ),
    "warm_up_schedule": Stranger(
        perceptron,
        compiled(lambda: keras.optimizers.AdamW(WarmUpCosine(1e-2, 9, 0.0, 4), weight_decay=1e-2)),
        FIT,
        X[:3],
    ),
    "use_ema": Stranger(
        perceptron,
        compiled(lambda: keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.9)),
        FIT,
        X[:3],
        says=[AVERAGES],
        ends_with_ticket=False,
    ),
    "use_ema_overwritten": Stranger(
        perceptron,
        compiled(lambda: keras.optimizers.SGD(1e-2, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=2)),
        FIT,
        X[:3],
        says=[AVERAGES],
        ends_with_ticket=False,
        rewind_epoch=0,
        epochs_per_level=1,
    ),
    "customized_fit": Stranger(customized_fit, compiled(lambda: keras.optimizers.Adam(1e-2)), FIT, X[:3]),
    "compiled_with_xla": Stranger(
        perceptron, compiled(lambda: keras.optimizers.Lion(1e-3), jit_compile=True), FIT, X[:3]
    ),
}
if not LEGACY:
    EXAMPLES["accumulated_gradients"] = Stranger(
        perceptron,
        compiled(lambda: keras.optimizers.Adam(1e-2, gradient_accumulation_steps=3)),
        FIT,
        X[:3],
    )
