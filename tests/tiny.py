"""The smallest models and data on which the laws can be seen, in a process that repeats itself bit for bit."""

import numpy as np

from tf_lottery import model_masks, training
from tf_lottery.data.dataset import Dataset, Split
from tf_lottery.keras_api import keras

training.configure_process(threads=1, jit_compile=True)  # op determinism would forbid jit_compile in these tests

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


def is_pruned_to_plus_zero(model):
    entries = pruned_entries(model)
    return len(entries) > 0 and entries == bytes(len(entries))


def trainer(model, optimizer=None, **changes):
    optimizer = optimizer or keras.optimizers.Adam(training.LearningRate(0.01))
    settings = {"batch_size": 6, "steps": 12, "evaluate_every": 4, **changes}
    return training.Trainer(model, DATASET, optimizer=optimizer, **settings)
