"""Fits of a few milliseconds: 8 batches an epoch, the same ones each time."""

import numpy as np
import tiny

from tf_lottery.callbacks.lottery_ticket import LotteryTicket
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion

VALIDATED = {"validation_data": (tiny.X, tiny.Y)}  # only where a test needs it: makes a fit a third slower
ONE_BATCH = (np.tile(tiny.X[:4], (8, 1, 1, 1)), np.tile(tiny.Y[:4], 8))  # the same one at any step


def model(build=tiny.dense, optimizer=None, seed=None, **settings):
    if seed is not None:
        keras.utils.set_random_seed(seed)
    made = conversion.make_prunable(build())
    made.compile(optimizer or keras.optimizers.SGD(0.05, momentum=0.9), tiny.loss(), metrics=["accuracy"], **settings)
    return made


def fit(made, tickets, *others, epochs=None, data=(tiny.X, tiny.Y), **settings):
    settings = {"batch_size": 4, "verbose": 0, "shuffle": False} | settings
    callbacks, (x, y) = [tickets, *others], data
    return made.fit(x, y, epochs=epochs or tickets.total_epochs, callbacks=callbacks, **settings)


def found(
    *, made=None, others=(), settings=None, levels=2, fraction=0.5, epochs_per_level=2, kind=LotteryTicket, **changes
):
    """A LotteryTicket that has been through a fit."""
    tickets = kind(levels, fraction, epochs_per_level=epochs_per_level, **changes)
    fit(made or model(), tickets, *others, **(settings or {}))
    return tickets


def same_bits(first, second):
    return set(first) == set(second) and all(
        np.asarray(first[name]).tobytes() == np.asarray(second[name]).tobytes() for name in first
    )


class Journal(keras.callbacks.Callback):
    """Writes down what it is told, and may stop the training after so many of its own epochs."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.events, self.stop_after, self.count = [], stop_after, 0

    def on_train_begin(self, logs=None):
        self.events.append("begin")
        self.count = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.events.append(epoch)

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1
        self.model.stop_training |= self.count == self.stop_after

    def on_train_end(self, logs=None):
        self.events.append("end")
