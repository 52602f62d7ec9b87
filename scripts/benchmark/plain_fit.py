"""The trainings of an experiment as plain Keras `fit` calls: what whole_experiment.py compares with.

Dense trainings of the same length on the same arrays, evaluated as often, one after another, each from the same
initial weights; with --pruner each after the first is pruned and masked as the PyPI package lottery-ticket-pruner does
it, which is at the beginning of each epoch (in between, pruned weights come back).
"""

import os
import time

from absl import app, flags

_TRAININGS = flags.DEFINE_integer("trainings", 6, "How many.", lower_bound=1)
_EPOCHS = flags.DEFINE_integer("epochs", 5, "Of each.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps_per_execution", 1, "As of `compile`.", lower_bound=1)
_JIT = flags.DEFINE_bool("jit_compile", False, "As of `compile`.")
_THREADS = flags.DEFINE_integer("threads", 0, "0: as TensorFlow has it.", lower_bound=0)
_PRUNER = flags.DEFINE_bool("pruner", False, "Whether lottery-ticket-pruner prunes and masks.")
_FRACTION = 0.2


def main(_: object) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    from tf_lottery import data, models
    from tf_lottery.keras_compat import keras

    if _THREADS.value:
        tf.config.threading.set_intra_op_parallelism_threads(_THREADS.value)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    arrays = data.load("fashion_mnist")
    model = models.build("lenet_300_100", arrays.input_shape, arrays.num_classes)
    model.compile(
        keras.optimizers.Adam(1.2e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=_STEPS.value,
        jit_compile=_JIT.value,
    )
    model.optimizer.build(model.trainable_variables)
    initial = model.get_weights(), [variable.numpy() for variable in model.optimizer.variables]
    pruner = _pruner(model) if _PRUNER.value else None
    for training in range(_TRAININGS.value):
        started = time.perf_counter()
        callbacks = []
        if pruner and training:
            callbacks = [_prune(pruner, model)]
        model.set_weights(initial[0])
        for variable, value in zip(model.optimizer.variables, initial[1], strict=True):
            variable.assign(value)
        held_out = {"validation_data": (arrays.validation.x, arrays.validation.y), "validation_batch_size": 1000}
        model.fit(
            arrays.train.x,
            arrays.train.y,
            batch_size=60,
            epochs=_EPOCHS.value,
            callbacks=callbacks,
            verbose=0,
            **held_out,
        )
        model.evaluate(arrays.test.x, arrays.test.y, batch_size=1000, verbose=0)
        print(f"{time.perf_counter() - started:.3f}", flush=True)  # noqa: T201 what whole_experiment.py reads


def _pruner(model: object) -> object:
    from lottery_ticket_pruner import LotteryTicketPruner

    class Pruner(LotteryTicketPruner):
        """The package's own asks for "keras.layers" in the name of a layer's module, which no layer has any more."""

        def _prunable(self, layer: object, weights: object) -> bool:
            return len(weights.shape) > 1 and type(layer).__name__ in self.prunable_layer_names

    return Pruner(model)


def _prune(pruner: object, model: object) -> object:
    """Prune for the next training; returns the callback that masks."""
    from lottery_ticket_pruner import PrunerCallback

    pruner.calc_prune_mask(model, _FRACTION, "smallest_weights_global")
    return PrunerCallback(pruner)


if __name__ == "__main__":
    app.run(main)
