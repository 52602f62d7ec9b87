"""The smallest models and data on which the properties can be seen, in a process that repeats itself bit for bit."""

import numpy as np

from tf_lottery.data.dataset import Dataset, Split
from tf_lottery.feeds.resident import Resident
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks
from tf_lottery.training import devices
from tf_lottery.training.learning_rate import LearningRate
from tf_lottery.training.trainer import Trainer

devices.configure(threads=1, deterministic_ops=False)  # op determinism would forbid jit_compile in these tests

X = np.random.default_rng(0).normal(size=(32, 6, 6, 1)).astype(np.float32)
Y = np.arange(32, dtype=np.int32) % 3
DATASET = Dataset(Split(X[:16], Y[:16]), Split(X[16:24], Y[16:24]), Split(X[24:], Y[24:]), num_classes=3)


def dense():
    return keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(4), keras.layers.Dense(3)]
    )


def convolutional():
    """Functional, with a branch, BatchNorm and Dropout."""
    image = keras.Input((6, 6, 1))
    left = keras.layers.Conv2D(2, 3, padding="same", activation="relu")(image)
    left = keras.layers.BatchNormalization()(left)
    right = keras.layers.Conv2D(2, 3, padding="same")(image)
    features = keras.layers.Dropout(0.5)(keras.layers.Flatten()(keras.layers.Add()([left, right])))
    return keras.Model(image, keras.layers.Dense(3, name="output")(features))


def nested():
    """A model inside a model, called twice."""
    block = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, activation="relu", name="inner")], name="block")
    image = keras.Input((6, 6, 1))
    features = keras.layers.Dense(4)(keras.layers.Flatten()(image))
    return keras.Model(image, keras.layers.Dense(3)(block(block(features))))


@keras.saving.register_keras_serializable(package="tiny")
class Block(keras.layers.Layer):
    """A layer made of layers."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner = keras.layers.Dense(units, name="inner")
        self.norm = keras.layers.BatchNormalization(name="norm")

    def build(self, shape):
        self.inner.build(shape)
        self.norm.build((*shape[:-1], self.units))
        self.built = True

    def call(self, x, training=False):
        return self.norm(self.inner(x), training=training)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="tiny")
class Net(keras.Model):
    """Subclassed, with a layer of layers and a model inside, and no layer in a Python list."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.flatten, self.first, self.block = keras.layers.Flatten(), keras.layers.Dense(units), Block(name="block")
        self.head = keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(3, name="output")], name="head")

    def call(self, x, training=False):
        return self.head(self.block(self.first(self.flatten(x)), training=training), training=training)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="tiny")
class FunctionalNet(keras.Model):
    """A functional model with a class and a method of its own, as KerasHub's, and a model inside."""

    def __init__(self, units=4, **kwargs):
        image = keras.Input((6, 6, 1))
        first = keras.layers.Dense(units, activation="relu", name="first")
        features = keras.Model(image, first(keras.layers.Flatten()(image)), name="features")
        super().__init__(inputs=image, outputs=keras.layers.Dense(3)(features(image)), **kwargs)
        self.units, self.features = units, features

    def best_class(self, x):
        return np.argmax(self(x), axis=-1)

    def get_config(self):
        return {"units": self.units, "name": self.name}


@keras.saving.register_keras_serializable(package="tiny")
class SequentialNet(keras.Sequential):
    def best_class(self, x):
        return np.argmax(self(x), axis=-1)


def sequential_subclass():
    return SequentialNet([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(4), keras.layers.Dense(3)])


NET_MASKS = ["block/inner/kernel", "dense/kernel", "head/output/kernel"]  # sorted


def subclassed():
    model = Net()
    model(X[:1])
    return model


def loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def half_masks(model, seed=0):
    """Random masks that keep about half of each weight."""
    rng = np.random.default_rng(seed)
    return {name: rng.random(mask.shape) < 0.5 for name, mask in model_masks.get_masks(model).items()}


def pruned_entries(model):
    """The bytes of all weights at pruned positions, together."""
    masks, weights = model_masks.get_masks(model), model_masks.prunable_weights(model)
    return b"".join(weights[name][~mask].tobytes() for name, mask in masks.items())


def half_masked(build=dense, **settings):
    """A prunable model with random masks that keep about half of each weight."""
    model = conversion.make_prunable(build(), **settings)
    model_masks.set_masks(model, half_masks(model))
    return model


def same_masks(first, second):
    masks, others = model_masks.get_masks(first), model_masks.get_masks(second)
    return list(masks) == list(others) and all(np.array_equal(mask, others[name]) for name, mask in masks.items())


def is_pruned_to_plus_zero(model):
    entries = pruned_entries(model)
    return len(entries) > 0 and entries == bytes(len(entries))


def trainer(model, optimizer=None, *, dataset=DATASET, batch_size=6, augment=None, **changes):
    """In memory, 12 steps, evaluated every 4."""
    settings = {"steps": 12, "evaluate_every": 4, **changes}
    feed = Resident(
        dataset, batch_size=batch_size, longest=min(settings["steps"], settings["evaluate_every"]), augment=augment
    )
    optimizer = optimizer or keras.optimizers.Adam(LearningRate(0.01))
    return Trainer(model, feed, optimizer=optimizer, **settings)
