"""One training inside a longer `fit`: its epochs, and the callbacks that live as long as it does."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from tf_lottery import keras_training
from tf_lottery.keras_api import keras


class _Ended:
    """A `stop_training` that ends a level, or an epoch of it; anyone else's True ends the whole `fit`."""

    def __bool__(self) -> bool:
        return True

    def __or__(self, other: Any) -> Any:
        return other or self

    __ror__ = __or__


ENDED = _Ended()
_BATCH_EVENTS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")


class Level:
    """A level that is being trained.

    Args:
        number: 0 is dense.
        model: The model that `fit` trains.
        callbacks: Keras callbacks; they see the epochs of this training, and may end it with `stop_training`.
        epochs: The numbers of its epochs.

    Attributes:
        epoch: The epoch that is next, or being trained.
        stopped: Whether one of the callbacks ended the level.
        is_restored: Whether, at its end, the weights of an earlier epoch came back.
        wants_batches: Whether one of the callbacks wants to know of every batch.
    """

    def __init__(self, number: int, model: Any, callbacks: Sequence[Any], epochs: range):
        self.number, self.model, self.epoch, self._end = number, model, epochs.start, epochs.stop
        self.stopped = self.is_restored = False
        self.wants_batches = any(_wants_batches(callback) for callback in callbacks)
        self._callbacks = keras.callbacks.CallbackList(list(callbacks), model=model, epochs=epochs.stop, verbose=0)
        self._logs: dict[int, dict[str, Any]] = {}

    @property
    def is_over(self) -> bool:
        return self.stopped or self.epoch >= self._end

    @property
    def epochs_trained(self) -> int:
        return len(self._logs)

    def begin(self) -> None:
        self._callbacks.on_train_begin()

    def begin_epoch(self) -> None:
        self._callbacks.on_epoch_begin(self.epoch)

    def begin_batch(self, batch: int, logs: Any = None) -> None:
        self._callbacks.on_train_batch_begin(batch, logs)

    def end_batch(self, batch: int, logs: Any = None) -> None:
        with self._noticing_a_stop():
            self._callbacks.on_train_batch_end(batch, logs)

    def end_epoch(self, logs: dict[str, Any]) -> None:
        with self._noticing_a_stop():
            self._callbacks.on_epoch_end(self.epoch, logs)
        self._logs[self.epoch] = dict(logs)
        self.epoch += 1

    def end(self) -> dict[str, Any]:
        """Ends the callbacks; returns the logs of the epoch whose weights the model now has."""
        last = self._logs.get(self.epoch - 1, {})
        self._callbacks.on_train_end(last)
        restored = [keras_training.restored_epoch(callback) for callback in self._callbacks.callbacks]
        self.is_restored = any(epoch in self._logs for epoch in restored)
        return next((self._logs[epoch] for epoch in restored if epoch in self._logs), last)

    @contextlib.contextmanager
    def _noticing_a_stop(self) -> Iterator[None]:
        before = self.model.stop_training
        yield
        if self.model.stop_training and not before:
            self.stopped, self.model.stop_training = True, ENDED


def _wants_batches(callback: Any) -> bool:
    return any(
        event in vars(callback) or getattr(type(callback), event) is not getattr(keras.callbacks.Callback, event)
        for event in _BATCH_EVENTS
    )
