"""Find tickets on two logical CPUs under MirroredStrategy, and print the result as JSON."""

# ruff: noqa: E402, T201

import json
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

import fits
import tiny

from tf_lottery.core import masks as masks_lib
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks

if __name__ == "__main__":
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()).scope():
        model = conversion.make_prunable(tiny.convolutional())
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), tiny.loss(), metrics=["accuracy"])
    tickets = fits.found(made=model, levels=2, rewind_to=3)
    at_k, last = tickets.ticket(0).weights["rewind"], tickets.ticket(2)
    control = tickets.control("random_mask", 2)
    control.fit(tiny.X, tiny.Y, verbose=0)
    result = {
        "densities": tickets.to_frame()["density"].tolist(),
        "steps": tickets.to_frame()["step"].tolist(),
        "starts at step k": fits.same_bits(last.weights["rewind"], masks_lib.apply(at_k, last.masks)),
        "pruned": tiny.is_pruned_to_plus_zero(model),
        "control": model_masks.density(control),
    }
    print(json.dumps(result))
