"""Fits of 8 batches an epoch, the same ones each time.

One takes about half a second, nearly all of it for tracing: where several tests can share one, use a fixture.
"""

import numpy as np
import tiny

from tf_lottery.callbacks.lottery_ticket import LotteryTicket
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion

VALIDATED = {"validation_data": (tiny.X, tiny.Y)}  # only where a test needs it: makes a fit a third slower
ONE_BATCH = (np.tile(tiny.X[:4], (8, 1, 1, 1)), np.tile(tiny.Y[:4], 8))  # data with the same batch at each step


def model(build=tiny.dense, optimizer=None, seed=None, **compile_settings):
    """Return a compiled prunable model.

    Args:
        build: Makes the plain model.
        optimizer: Defaults to SGD with momentum.
        seed: Sets the random seeds before the model is made. Defaults to leaving them as they are.
        compile_settings: Further arguments of `compile`.
    """
    if seed is not None:
        keras.utils.set_random_seed(seed)
    made = conversion.make_prunable(build())
    optimizer = optimizer or keras.optimizers.SGD(0.05, momentum=0.9)
    made.compile(optimizer, tiny.loss(), metrics=["accuracy"], **compile_settings)
    return made


def fit(made, callback, *others, epochs=None, data=(tiny.X, tiny.Y), **fit_settings):
    """Train a model and return the History.

    Args:
        made: The model.
        callback, others: The callbacks, in this order.
        epochs: Defaults to what `callback` needs, if it is a LotteryTicket; with any other callback, give a number.
        data: Inputs and labels.
        fit_settings: Further arguments of `fit`.
    """
    if epochs is None:
        assert isinstance(callback, LotteryTicket), f"give epochs=: {type(callback).__name__} is no LotteryTicket"
        epochs = callback.total_epochs
    settings = {"batch_size": 4, "verbose": 0, "shuffle": False} | fit_settings
    return made.fit(*data, epochs=epochs, callbacks=[callback, *others], **settings)


def found(
    *,
    made=None,
    others=(),
    fit_settings=None,
    kind=LotteryTicket,
    levels=2,
    fraction=0.5,
    epochs_per_level=2,
    **ticket_settings,
):
    """Return a LotteryTicket that has been through a fit.

    Args:
        made: The model. Defaults to `model()`.
        others: Further callbacks of the fit.
        fit_settings: Further arguments of `fits.fit`, in a dict.
        kind: LotteryTicket, or a subclass of it.
        levels, fraction, epochs_per_level, ticket_settings: The arguments of the LotteryTicket.
    """
    tickets = kind(levels, fraction, epochs_per_level=epochs_per_level, **ticket_settings)
    fit(made or model(), tickets, *others, **(fit_settings or {}))
    return tickets


def same_bits(first, second):
    """Return whether two mappings have the same names and the same bytes in their arrays."""
    return set(first) == set(second) and all(
        np.asarray(first[name]).tobytes() == np.asarray(second[name]).tobytes() for name in first
    )


class Journal(keras.callbacks.Callback):
    """Record in `events` what the callback is told; with `stop_after`, stop the training after so many epochs."""

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
