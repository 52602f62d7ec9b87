"""What the crash matrix kills, small and real: python scripts/benchmark/crash_child.py run DIRECTORY 3it 2

`run` finds tickets in processes of its own and writes the report; its output says what the matrix has to know. `fit` is
a LotteryTicket that keeps its levels in a directory, `file` writes a ticket file.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tf_lottery import data, models
from tf_lottery.data.dataset import Dataset, Split
from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Stability, Train
from tf_lottery.experiment.find_tickets import find_tickets
from tf_lottery.experiment.plan import Plan
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.experiment.workers import Watcher
from tf_lottery.masking.ticket import Ticket, save_ticket
from tf_lottery.report import page

CLASSES = 3
EXPERIMENT = Experiment(
    replicates=1,
    model=Model("conv_2"),  # any known name: it stands for the network below
    data=Data("crash", augment="flip_and_crop"),
    train=Train("sgd", 0.05, momentum=0.9, batch_size=8, steps="30it", evaluate_every="6it"),
    prune=Prune(levels=2, fraction=0.3, rewind_to="10it"),
    stability=Stability(levels=(1,), shuffle_seeds=1, points=3),
    variants={
        "k=10": {},
        "k=20": {"prune.rewind_to": "20it", "stability.levels": (), "controls": ()},
    },  # of one dense network
)


def network(name: str, input_shape: tuple[int, ...], num_classes: int) -> Any:
    """BatchNorm and Dropout have states that only a training changes."""
    from tf_lottery.keras_compat import keras

    image = keras.Input(input_shape)
    features = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(image)
    features = keras.layers.ReLU()(keras.layers.BatchNormalization()(features))
    features = keras.layers.Dropout(0.3)(keras.layers.Flatten()(features))
    return keras.Model(image, keras.layers.Dense(num_classes, name="output")(features))


def images() -> Dataset:
    rng = np.random.default_rng(0)
    y = np.arange(96, dtype=np.int32) % CLASSES
    x = rng.normal(size=(96, 8, 8, 1)).astype(np.float32) + y[:, None, None, None]
    return Dataset(Split(x[:48], y[:48]), Split(x[48:72], y[48:72]), Split(x[72:], y[72:]), CLASSES)


# The workers import this file too, so theirs are replaced as well.
models.build = network
data.SOURCES["crash"] = images


class Lines(Watcher):
    """One line for each thing that happens, for the matrix to read."""

    def __init__(self, directory: str):
        self._run = Run(Path(directory), EXPERIMENT)

    def on_plan(self, work: Mapping[Unit, int], done: list[Unit], plan: Plan) -> None:
        say(f"plan {len(work)}")

    def on_steps(self, unit: Unit, steps: int) -> None:
        say(f"steps {steps} {self._run.folder(unit)}")

    def on_note(self, note: str) -> None:
        say(f"note {note}")


def run(directory: str, checkpoint_every: str, jobs: str) -> None:
    watcher = Lines(directory)
    page.write(find_tickets(EXPERIMENT, directory, jobs=int(jobs), checkpoint_every=checkpoint_every, watcher=watcher))


def fit(directory: str) -> None:
    from tf_lottery import callbacks
    from tf_lottery.keras_compat import keras
    from tf_lottery.masking import conversion
    from tf_lottery.training import devices

    devices.configure(threads=1, deterministic_ops=True)
    keras.utils.set_random_seed(0)
    train = images().train
    model = conversion.make_prunable(network("", train.x.shape[1:], CLASSES))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss)
    # Fine-tuning keeps the optimizer's state of a level for the next one, and removes the one before.
    tickets = callbacks.LotteryTicket(3, 0.3, epochs_per_level=2, rewind="none", directory=directory)
    model.fit(
        train.x, train.y, batch_size=8, epochs=tickets.total_epochs, shuffle=False, verbose=0, callbacks=[tickets]
    )


def file(directory: str) -> None:
    """Replace a ticket by another, if there is one."""
    path = Path(directory, "ticket.tfl")
    for number in (1.0, 2.0) if not path.exists() else (2.0,):
        save_ticket(path, Ticket({"w": np.array([True, False])}, {"final": {"w": np.array([number, 0.0])}}))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


PROGRAMS: dict[str, Callable[..., None]] = {"run": run, "fit": fit, "file": file}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
