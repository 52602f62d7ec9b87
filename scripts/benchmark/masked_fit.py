"""What masks cost: the time of the same `model.fit` dense and masked, as ratios: python scripts/benchmark/masked_fit.py

Each network is trained by pairs of fits, one dense and one not, one right after the other in one process and in
alternating order. The median ratio does not depend on how busy the machine was in that minute, as long as both of a
pair were hit alike; the ratio of the two fastest fits does not depend on what hit only one. Half of the weights are
masked. On legacy Keras tfmot's wrapper stands beside ours, at the same sparsity.

Run it on an otherwise idle machine. Predicted before the first run: masked 1.00 to 1.06, tfmot 1.1 to 1.4;
LotteryTicket as masked, and half a second in each fit to trace the training step anew.
"""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from absl import flags

from tf_lottery import command_line

_KERAS = flags.DEFINE_enum("keras", "both", ["both", "3", "legacy"], "Which Keras; each is a process of its own.")
_PAIRS = flags.DEFINE_integer("pairs", 9, "Pairs of fits for each ratio.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 500, "Optimizer steps an epoch; every fit is two epochs.", lower_bound=1)
_NETWORKS = flags.DEFINE_list("networks", ["lenet_300_100", "small_conv"], "Which networks.")
_CALLBACK = flags.DEFINE_bool("callback", False, "Measure the LotteryTicket callback too: a level is an epoch.")

EPOCHS = 2
# Name, batch size and steps an execution; the network itself is in `build`.
NETWORKS = {"lenet_300_100": (60, 100), "small_conv": (60, 10)}

Fit = Callable[[], None]


def main() -> None:
    if _KERAS.value == "both":
        for keras in ("3", "legacy"):
            subprocess.run([sys.executable, __file__, *sys.argv[1:], f"--keras={keras}"], check=True)
    else:
        os.environ["TF_USE_LEGACY_KERAS"] = "1" if _KERAS.value == "legacy" else "0"  # before anything imports Keras
        measure()


def measure() -> None:
    """Prints one table for the Keras of this process."""
    import tensorflow as tf

    import tf_lottery
    from tf_lottery.keras_api import keras

    say(f"{keras.__name__} {keras.__version__}, TensorFlow {tf.__version__}, tf_lottery {tf_lottery.__version__}")
    say(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {_PAIRS.value} pairs of fits")
    say(f"{'network':<16}{'against dense':<16}{'ratio':>7}{'min-max':>14}{'of fastest':>12}{'dense ms/step':>15}")
    for name in _NETWORKS.value:
        dense, others = fits(name)
        for other, fit in others.items():
            pairs = compare(dense, fit)
            ratios = [mine / base for base, mine in pairs]
            spread, fastest = (
                f"{min(ratios):.3f}-{max(ratios):.3f}",
                [min(seconds) for seconds in zip(*pairs, strict=True)],
            )
            step = 1000 * fastest[0] / (EPOCHS * _STEPS.value)
            columns = f"{statistics.median(ratios):>7.3f}{spread:>14}{fastest[1] / fastest[0]:>12.3f}{step:>15.3f}"
            say(f"{name:<16}{other:<16}{columns}")


def compare(dense: Fit, other: Fit) -> list[tuple[float, float]]:
    """The seconds of each pair, dense first; both have been traced before."""
    timed(dense), timed(other)
    pairs = []
    for pair in range(_PAIRS.value):
        order = (dense, other) if pair % 2 == 0 else (other, dense)
        seconds = {fit: timed(fit) for fit in order}
        pairs.append((seconds[dense], seconds[other]))
    return pairs


def timed(fit: Fit) -> float:
    started = time.perf_counter()
    fit()
    return time.perf_counter() - started


def fits(name: str) -> tuple[Fit, dict[str, Fit]]:
    """The dense fit of a network and those to compare with it."""
    from tf_lottery import callbacks, layers, tfmot_bridge
    from tf_lottery.keras_api import LEGACY

    others = {"masked": fit_of(half_masked(build(name)), name)}
    if _CALLBACK.value:
        ticket = lambda: [callbacks.LotteryTicket(levels=EPOCHS - 1, fraction=0.01, epochs_per_level=1)]  # noqa: E731
        others["LotteryTicket"] = fit_of(layers.make_prunable(build(name)), name, ticket)
    if LEGACY:
        tfmot = tfmot_bridge.import_tfmot()
        wrapped = tfmot.prune_low_magnitude(build(name), tfmot.ConstantSparsity(0.5, 0, frequency=100))
        others["tfmot"] = fit_of(wrapped, name, lambda: [tfmot.UpdatePruningStep()])
    return fit_of(build(name), name), others


def fit_of(model: object, name: str, callbacks: Callable[[], list] = list) -> Fit:
    """A function that fits `model` once more, on the same made-up images each time."""
    from tf_lottery.keras_api import keras

    batch_size, steps_per_execution = NETWORKS[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(_STEPS.value * batch_size, 28, 28, 1)).astype(np.float32)
    y = rng.integers(10, size=len(x)).astype(np.int32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1.2e-3), loss, steps_per_execution=steps_per_execution)
    return lambda: model.fit(x, y, batch_size=batch_size, epochs=EPOCHS, verbose=0, callbacks=callbacks())


def build(name: str) -> object:
    from tf_lottery import models
    from tf_lottery.keras_api import keras

    if models.names.known(name):
        return models.build(name, (28, 28, 1), 10)
    convolutions = [(keras.layers.Conv2D(n, 3, activation="relu"), keras.layers.MaxPooling2D()) for n in (16, 32)]
    layers = [layer for pair in convolutions for layer in pair]
    return keras.Sequential([keras.Input((28, 28, 1)), *layers, keras.layers.Flatten(), keras.layers.Dense(10)])


def half_masked(model: object) -> object:
    from tf_lottery import layers, model_masks

    model, rng = layers.make_prunable(model), np.random.default_rng(0)
    model_masks.set_masks(
        model, {name: rng.random(mask.shape) < 0.5 for name, mask in model_masks.get_masks(model).items()}
    )
    return model


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    command_line.run(main)
