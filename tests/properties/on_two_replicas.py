"""Trains on two logical CPUs under MirroredStrategy, one case after the other; writes what came of each as JSON.

A process of its own, because logical devices must be made before TensorFlow starts and would slow all other tests.
"""

import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

import tiny  # noqa: E402

from tf_lottery import keras_compat  # noqa: E402
from tf_lottery.keras_compat import keras  # noqa: E402
from tf_lottery.masking import conversion, model_masks  # noqa: E402

OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "weight decay": lambda: keras.optimizers.AdamW(0.05, weight_decay=0.1, global_clipnorm=0.1),
    "loss scale": lambda: keras.mixed_precision.LossScaleOptimizer(keras.optimizers.Adam(0.05)),
    "averages": lambda: keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.9),
    "averages written": lambda: keras.optimizers.Adam(0.05, use_ema=True, ema_overwrite_frequency=2),
}
if not keras_compat.LEGACY:
    OPTIMIZERS["accumulation"] = lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)


def copies(variable):
    """The arrays of all replicas."""
    variable = getattr(variable, "_value", variable)  # of a Keras 3 variable
    variable = getattr(variable, "_variable", variable)  # of mixed precision in legacy Keras
    return [copy.numpy() for copy in variable.values]


class Watch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.moments = 0

    def look(self):
        self.moments += 1
        for name, (weight, mask) in model_masks.masked_variables(self.model).items():
            first, second = copies(weight)
            pruned = first[~mask.numpy()]
            if first.tobytes() != second.tobytes() or not pruned.size or pruned.tobytes() != bytes(pruned.nbytes):
                raise AssertionError(f"{name} at moment {self.moments}")

    def on_train_batch_end(self, batch, logs=None):
        self.look()

    def on_epoch_end(self, epoch, logs=None):
        self.look()

    def on_train_end(self, logs=None):
        if keras_compat.moving_averages(self.model.optimizer, self.model.trainable_variables):
            model_masks.apply_masks(self.model)  # Keras has written averages over the weights
        self.look()


def train(build, masked, optimizer, steps_per_execution, jit_compile, policy="float32"):
    keras.mixed_precision.set_global_policy(policy)
    # Not the default reduction: its collectives fail on logical CPUs, and after the first failure always.
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()).scope():
        model = getattr(tiny, build)()
        if masked:
            model = conversion.make_prunable(model)
            model_masks.set_masks(model, tiny.half_masks(model))
        settings = {"steps_per_execution": steps_per_execution, "jit_compile": jit_compile}
        model.compile(OPTIMIZERS[optimizer](), tiny.loss(), **settings)
    watch = [Watch()] if masked else []
    model.fit(tiny.X, tiny.Y, batch_size=8, epochs=2, verbose=0, callbacks=watch)
    if masked and watch[0].moments < 5:
        raise AssertionError(f"only {watch[0].moments} moments")


def outcome(case):
    try:
        train(*case)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[-400:]}"
    return "done"


if __name__ == "__main__":
    sys.stdout.write(json.dumps([outcome(case) for case in json.loads(sys.argv[1])]))
