"""What a masked training step costs: python scripts/benchmark/masked_fit.py --keras=3 (or legacy)

The compiled training step of Keras' own `fit`, dense and with half of the weights masked, in executions of many steps
on one batch that lies ready: what the input pipeline does beside it would only hide the difference. On legacy Keras
tfmot's wrapper stands beside ours, at the same sparsity; on Keras 3 the training loop of `find_tickets`, with its input
and its evaluation.

Predicted before the first run: masked 1.00 to 1.06, tfmot 1.1 to 1.4. A mask is one more pass over the weights: where
XLA compiles the step, that is fused with the optimizer's; where it does not, it shows in networks of short steps.
"""

import os
from collections.abc import Callable

import measuring
import numpy as np
from absl import flags

from tf_lottery import cli, quiet

_KERAS = flags.DEFINE_enum("keras", "3", ["3", "legacy"], "Which Keras.")
_ROUNDS = flags.DEFINE_integer("rounds", 60, "How often everything is measured.", lower_bound=1)
_THREADS = flags.DEFINE_integer("threads", 1, "That an op may use.", lower_bound=1)

BATCH = 60
STEPS = {"lenet_300_100": 100, "small_conv": 20}  # an execution
COMPILED = {"lenet_300_100": (True, False), "small_conv": (False,)}  # XLA makes convolutions some times slower on CPUs

Step = Callable[[], object]


def main() -> None:
    os.environ["TF_USE_LEGACY_KERAS"] = "1" if _KERAS.value == "legacy" else "0"  # before anything imports Keras
    with quiet.stderr():
        from tf_lottery.keras_compat import keras
        from tf_lottery.training import devices

    devices.configure(_THREADS.value, deterministic_ops=False)
    rows = []
    for network, steps in STEPS.items():
        for compiled in COMPILED[network]:
            parts = {part: step() for part, step in contenders(network, steps, compiled).items()}
            seconds = measuring.in_turn(parts, _ROUNDS.value)
            milliseconds = {part: [1000 * each / steps for each in found] for part, found in seconds.items()}
            case = f"{network}, {'XLA' if compiled else 'no XLA'}"
            for part, found in milliseconds.items():
                base = milliseconds["dense"] if part != "dense" else None
                rows.append(measuring.row(case, part, found, "ms a step", base, "dense"))
    measuring.report(rows, f"A training step, {keras.__name__} {keras.__version__}")


def contenders(network: str, steps: int, compiled: bool) -> dict[str, Callable[[], Step]]:
    from tf_lottery.keras_compat import LEGACY
    from tf_lottery.masking import tfmot_bridge

    found = {
        "dense": lambda: step_of_fit(build(network), steps, compiled),
        "masked": lambda: step_of_fit(half_masked(network), steps, compiled),
    }
    if not LEGACY:
        return found | {"masked, in find_tickets": lambda: own_steps(half_masked(network), steps, compiled)}
    if compiled:
        return found  # tfmot's wrapper is made for steps without XLA
    tfmot = tfmot_bridge.import_tfmot()
    wrapped = lambda: tfmot.prune_low_magnitude(build(network), tfmot.ConstantSparsity(0.5, 0, frequency=100))  # noqa: E731
    return found | {"tfmot": lambda: step_of_fit(wrapped(), steps, compiled, [tfmot.UpdatePruningStep()])}


def step_of_fit(model: object, steps: int, compiled: bool, callbacks: tuple | list = ()) -> Step:
    """Return one execution of what `fit` calls for each batch; callbacks are told of its beginning."""
    import tensorflow as tf

    from tf_lottery.keras_compat import keras

    x, y = batches(1)
    model.compile(
        keras.optimizers.Adam(1.2e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=steps,
        jit_compile=compiled,
    )
    model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=list(callbacks))  # builds what is called below
    ready = iter(tf.data.Dataset.from_tensors((tf.constant(x), tf.constant(y))).repeat())

    def step() -> object:
        for callback in callbacks:
            callback.on_train_batch_begin(0)
        return [part.numpy() for part in tf.nest.flatten(model.train_function(ready))]

    return step


def own_steps(model: object, steps: int, compiled: bool) -> Step:
    """As many steps in the training loop of `find_tickets`, an evaluation of 60 examples at their end."""
    from tf_lottery.data.dataset import Dataset, Split
    from tf_lottery.feeds.resident import Resident
    from tf_lottery.keras_compat import keras
    from tf_lottery.training.learning_rate import LearningRate
    from tf_lottery.training.trainer import Trainer

    held_out = Split(*batches(1))
    feed = Resident(Dataset(Split(*batches(20)), held_out, held_out, 10), batch_size=BATCH, longest=steps)
    optimizer = keras.optimizers.Adam(LearningRate(1.2e-3))
    trainer = Trainer(model, feed, optimizer=optimizer, steps=10**9, evaluate_every=steps, jit_compile=compiled)
    trainer.train(0, 20 * steps, shuffle_seed=0)  # until it knows its pace
    return lambda: trainer.train(0, steps, shuffle_seed=0)


def batches(number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(number * BATCH, 28, 28, 1)).astype(np.float32)
    return x, rng.integers(10, size=len(x)).astype(np.int32)


def build(network: str) -> object:
    from tf_lottery import models
    from tf_lottery.keras_compat import keras

    if models.names.known(network):
        return models.build(network, (28, 28, 1), 10)
    convolutions = [(keras.layers.Conv2D(n, 3, activation="relu"), keras.layers.MaxPooling2D()) for n in (16, 32)]
    layers = [layer for pair in convolutions for layer in pair]
    return keras.Sequential([keras.Input((28, 28, 1)), *layers, keras.layers.Flatten(), keras.layers.Dense(10)])


def half_masked(network: str) -> object:
    from tf_lottery.masking import conversion, model_masks

    model, rng = conversion.make_prunable(build(network)), np.random.default_rng(0)
    masks = {name: rng.random(mask.shape) < 0.5 for name, mask in model_masks.get_masks(model).items()}
    model_masks.set_masks(model, masks)
    return model


if __name__ == "__main__":
    cli.run(main)
