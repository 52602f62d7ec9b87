"""Measure what inference of a masked model costs: python scripts/benchmark/masked_inference.py

`predict`, `evaluate`, a compiled call and an eager call, dense, wrapped and masked in place, in turn. Masks are applied
to weights and not to calls, so that `predict`, `evaluate` and compiled calls do the same work; an eager call goes
through one more Python function for each wrapped layer.

Predicted before the first run: 1.00 for all but the eager call of wrapped models, 1.1 to 1.2 for small layers.
"""

from collections.abc import Callable

import measuring
import numpy as np
from absl import flags

from tf_lottery import cli, quiet

_ROUNDS = flags.DEFINE_integer("rounds", 40, "How often everything is measured.", lower_bound=1)
_THREADS = flags.DEFINE_integer("threads", 1, "That an op may use.", lower_bound=1)

CASES = {"lenet_300_100": ((28, 28, 1), 60), "resnet_50": ((32, 32, 3), 1)}  # shape of an input, batch
CALLS = {"predict": 5, "evaluate": 5, "compiled call": 50, "eager call": 5}  # in one measurement
LIMIT_OF_SLOW = {"resnet_50": 1}  # calls in one measurement of a large network


def main() -> None:
    with quiet.stderr():
        from tf_lottery.keras_compat import keras
        from tf_lottery.training import devices

    devices.configure(_THREADS.value, deterministic_ops=False)
    rows = []
    for network, (shape, batch) in CASES.items():
        uses = {kind: uses_of(model, shape, batch) for kind, model in models_of(network, shape).items()}
        for use, most in CALLS.items():
            count = min(most, LIMIT_OF_SLOW.get(network, most))
            parts = {kind: repeated(found[use], count) for kind, found in uses.items()}
            seconds = measuring.in_turn(parts, _ROUNDS.value)
            milliseconds = {kind: [1000 * each / count for each in found] for kind, found in seconds.items()}
            for kind, found in milliseconds.items():
                base = milliseconds["dense"] if kind != "dense" else None
                rows.append(measuring.row(f"{network}, {use}", kind, found, "ms a call", base, "dense"))
    measuring.report(rows, f"Inference, {keras.__name__} {keras.__version__}")


def models_of(network: str, shape: tuple[int, ...]) -> dict[str, object]:
    """Return the same network dense, wrapped and masked in place, with half of the weights masked in the last two."""
    import tf_lottery as tfl

    dense = tfl.models.build(network, shape, 10)
    found = {"dense": dense, "wrapped": tfl.make_prunable(dense)}
    found["in place"] = tfl.make_prunable(tfl.models.build(network, shape, 10), in_place=True)
    for model in list(found.values())[1:]:
        rng = np.random.default_rng(0)
        tfl.set_masks(model, {name: rng.random(mask.shape) < 0.5 for name, mask in tfl.get_masks(model).items()})
    return found


def uses_of(model: object, shape: tuple[int, ...], batch: int) -> dict[str, Callable[[], object]]:
    """Return functions that use a model once, by use, each called once already."""
    import tensorflow as tf

    from tf_lottery.keras_compat import keras

    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(batch, *shape)).astype(np.float32))
    y = tf.constant(rng.integers(10, size=batch))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    compiled = tf.function(lambda inputs: model(inputs, training=False))
    uses = {
        "predict": lambda: model.predict(x, batch_size=batch, verbose=0),
        "evaluate": lambda: model.evaluate(x, y, batch_size=batch, verbose=0),
        "compiled call": lambda: compiled(x).numpy(),
        "eager call": lambda: model(x, training=False).numpy(),
    }
    for use in uses.values():
        use()
    return uses


def repeated(use: Callable[[], object], count: int) -> Callable[[], None]:
    def all_of_them() -> None:
        for _ in range(count):
            use()

    return all_of_them


if __name__ == "__main__":
    cli.run(main)
