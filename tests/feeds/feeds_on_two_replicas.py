"""Takes batches on two logical CPUs under MirroredStrategy, and on one; writes the outcome of each case as JSON.

A process of its own, because logical devices must be made before TensorFlow starts.
"""

import contextlib
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import archives
import numpy as np
import pytest
import tensorflow as tf

from tf_lottery import data
from tf_lottery.core import seeds
from tf_lottery.data import imagenet
from tf_lottery.data.dataset import Dataset, Split
from tf_lottery.errors import DataError
from tf_lottery.feeds import make_feed
from tf_lottery.feeds.resident import NO_EXAMPLE
from tf_lottery.training import devices
from tf_lottery.training.topology import Topology

TWO = devices.make(Topology("mirrored", 2))
ONE = devices.make(Topology())
SYNTHETIC = data.load("imagenet2012", synthetic=True)
NUMBERS = np.arange(64, dtype=np.int32)
ARRAYS = Dataset(
    *(
        Split(np.tile(NUMBERS[:count, None, None, None], (1, 4, 4, 1)).astype(np.float32), NUMBERS[:count])
        for count in (64, 23, 24)
    ),
    num_classes=64,
)
AUGMENTATIONS = {"arrays": (ARRAYS, "flip_and_crop"), "files": (SYNTHETIC, "inception")}
BATCH, T = 12, 12


def feed(strategy, kind, batch_size=BATCH):
    dataset, augment = AUGMENTATIONS[kind]
    settings = {"augment": augment, "batch_size": batch_size, "longest": T, "steps": T, "image_size": 4, "threads": 2}
    with strategy.scope():
        return make_feed(dataset, **settings)


def shares(strategy, function, taken):
    """What `function` returns on each replica, replica 0 first."""
    x, y = strategy.run(tf.function(function), args=taken)
    return [part.numpy() for part in strategy.experimental_local_results(x)], [
        part.numpy() for part in strategy.experimental_local_results(y)
    ]


def batches(strategy, made, start=0, stop=T, seed=1):
    """Images and classes of each step, in shares."""
    segment = made.segment(seed, seed, start, stop)
    return [shares(strategy, made.examples_of, made.take(segment, tf.constant(step))) for step in range(stop - start)]


def joined(x_and_y):
    return [np.concatenate(parts) for parts in x_and_y]


def equal(first, second):
    return all((one == other).all() for one, other in zip(joined(first), joined(second), strict=True))


def the_shares_of_two_replicas_are_the_batch_of_one(kind):
    one, two = batches(ONE, feed(ONE, kind)), batches(TWO, feed(TWO, kind))
    assert all([len(part) for part in y] == [BATCH // 2] * 2 for _, y in two)
    assert all(equal(*pair) for pair in zip(one, two, strict=True))
    if kind == "arrays":
        assert (np.stack([joined(batch)[1] for batch in two]) == seeds.batches(1, 64, BATCH, 0, T)).all()


def two_replicas_start_at_any_step_and_continue(kind):
    made = feed(TWO, kind)
    whole = batches(TWO, made)
    for start, stop, seed in ((0, 3, 1), (3, 5, 1), (5, 6, 2), (5, 8, 1), (8, T, 1)):
        seen = batches(TWO, made, start, stop, seed)
        assert [equal(*pair) for pair in zip(seen, whole[start:stop], strict=True)] == [seed == 1] * (stop - start)


def two_replicas_evaluate_every_example_once(kind):
    for size in (2, 10, 48):
        for split in ("validation", "test"):
            x, y = (
                np.concatenate([np.concatenate(batch[part]) for batch in held_out(TWO, kind, split, size)])
                for part in (0, 1)
            )
            alone_x, alone_y = (
                np.concatenate([np.concatenate(batch[part]) for batch in held_out(ONE, kind, split, size)])
                for part in (0, 1)
            )
            count = AUGMENTATIONS[kind][0].examples[split]
            assert y[y != NO_EXAMPLE].tolist() == list(range(count)) == alone_y[alone_y != NO_EXAMPLE].tolist()
            assert (x[y != NO_EXAMPLE] == alone_x[alone_y != NO_EXAMPLE]).all()


def held_out(strategy, kind, split, size):
    made = feed(strategy, kind, size)
    for batch in made.held_out(split):
        x, y = shares(strategy, made.held_out_of, batch)
        assert len({len(part) for part in y}) == 1
        yield x, y


def damaged_files_are_one_line_on_two_replicas(kind):
    with tempfile.TemporaryDirectory() as folder:
        archives.imagenet(Path(folder))
        with contextlib.redirect_stdout(sys.stderr):
            prepared = Path(imagenet.prepare(folder))
        for file in prepared.glob("*.tfrecord*"):
            file.write_bytes(file.read_bytes()[:5000])
        dataset = imagenet.load(folder)
        settings = {"augment": "inception", "batch_size": 4, "longest": 4, "steps": 9, "image_size": 4, "threads": 2}
        with TWO.scope():
            made = make_feed(dataset, **settings)
        for take in (lambda: batches(TWO, made, 0, 9), lambda: list(made.held_out("test"))):
            with pytest.raises(DataError, match=r"^The data of imagenet2012 .* is damaged: "), made.errors():
                take()


CASES = {
    f"{check.__name__}_{kind}": (check, kind)
    for check, kinds in {
        the_shares_of_two_replicas_are_the_batch_of_one: AUGMENTATIONS,
        two_replicas_start_at_any_step_and_continue: AUGMENTATIONS,
        two_replicas_evaluate_every_example_once: AUGMENTATIONS,
        damaged_files_are_one_line_on_two_replicas: ("files",),
    }.items()
    for kind in kinds
}


def outcome(case):
    check, kind = CASES[case]
    try:
        check(kind)
    except (Exception, pytest.fail.Exception) as error:
        return "".join(traceback.format_exception(error))[-1500:]
    return "done"


if __name__ == "__main__":
    sys.stdout.write(json.dumps({case: outcome(case) for case in CASES}))
