"""Levels inside one `fit`: when each level begins, reaches step k and ends, and which callbacks see it."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tf_lottery import keras_compat
from tf_lottery.core.steps import Timetable, to_steps
from tf_lottery.keras_compat import keras

_NEVER = 10**15  # larger than the number of any batch

# The value of `stop_training` that cuts an epoch short. It is truthy but differs from True, which other callbacks
# assign to end the whole `fit`; `ENDED | True` differs from it, too, and `ENDED | False` does not.
ENDED = 2**20
_BATCH_EVENTS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
_TEST_BATCH_EVENTS = ("on_test_batch_begin", "on_test_batch_end")
_PREDICT_BATCH_EVENTS = ("on_predict_batch_begin", "on_predict_batch_end")


class Level:
    """A level that is being trained.

    Args:
        number: The number of the level; 0 is the dense network.
        model: The model that `fit` trains.
        callbacks: Keras callbacks; they see the epochs of this level, and may end it with `stop_training`.
        epochs: The range of epoch numbers of this level.
        steps: The number of batches in an epoch; None if it is unknown.

    Attributes:
        epoch: The number of the current or next epoch.
        batches: The number of batches trained, up to the end of the last epoch.
        is_stopped: Whether one of the callbacks ended the level.
        is_restored: Whether a callback restored the best epoch's weights when the level ended.
        wants_batches: Whether one of the callbacks has to be called at every batch.
    """

    def __init__(self, number: int, model: Any, callbacks: Sequence[Any], epochs: range, steps: int | None = None):
        self.number, self.model, self.epoch, self._end = number, model, epochs.start, epochs.stop
        self.is_stopped = self.is_restored = False
        self.batches = 0
        self.wants_batches = any(keras_compat.implements(callback, _BATCH_EVENTS) for callback in callbacks)
        params = {"epochs": epochs.stop, "steps": steps, "verbose": 0}
        self._callbacks = keras.callbacks.CallbackList(list(callbacks), model=model, **params)
        self._logs: dict[int, dict[str, Any]] = {}

    @property
    def is_over(self) -> bool:
        return self.is_stopped or self.epoch >= self._end

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
        with self._detecting_stop():
            self._callbacks.on_train_batch_end(batch, logs)

    def tell(self, event: str, *arguments: Any, **named: Any) -> None:
        """Call an event of validation or prediction of the callbacks."""
        getattr(self._callbacks, event)(*arguments, **named)

    def end_epoch(self, logs: dict[str, Any]) -> None:
        with self._detecting_stop():
            self._callbacks.on_epoch_end(self.epoch, logs)
        self._logs[self.epoch] = dict(logs)
        self.epoch += 1

    def end(self) -> dict[str, Any]:
        """Call `on_train_end` of the callbacks, and return the logs of the epoch whose weights the model then has."""
        last = self._logs.get(self.epoch - 1, {})
        self._callbacks.on_train_end(last)
        restored = [keras_compat.restored_epoch(callback) for callback in self._callbacks.callbacks]
        self.is_restored = any(epoch in self._logs for epoch in restored)
        return next((self._logs[epoch] for epoch in restored if epoch in self._logs), last)

    @contextlib.contextmanager
    def _detecting_stop(self) -> Iterator[None]:
        before = self.model.stop_training
        yield
        if self.model.stop_training and not before:
            self.is_stopped, self.model.stop_training = True, ENDED


class LevelsInFit(keras.callbacks.Callback):
    """Divide the epochs of one `fit` into levels; subclasses define what happens when a level begins and ends.

    To cut an epoch short, `stop_training` is set at the end of a batch and reset at the end of the epoch. Validation,
    History and all other callbacks treat it like any other epoch.

    Args:
        epochs_per_level: Number of epochs of level 0. Later levels begin in the epoch that contains step k.
        rewind_to: Step k.
        continues_epochs: Whether the epoch numbers of a level continue those of the previous level.
        callbacks: Keras callbacks that see each level as a separate training run.
    """

    def __init__(self, epochs_per_level: int, rewind_to: int | str, continues_epochs: bool, callbacks: Sequence[Any]):
        super().__init__()
        self._supports_tf_logs = True  # otherwise legacy Keras fetches the logs of every batch
        self.epochs_per_level, self.rewind_to, self.callbacks = epochs_per_level, rewind_to, tuple(callbacks)
        self._continues_epochs = continues_epochs
        # Now, because Keras looks for them before `fit` begins; each costs time at every batch.
        for events in (_TEST_BATCH_EVENTS, _PREDICT_BATCH_EVENTS):
            if any(keras_compat.implements(callback, events) for callback in self.callbacks):
                for event in events:  # both, because legacy Keras takes the time between the two
                    setattr(self, event, functools.partial(self._tell, event))

    def _next_level(self) -> int | None:
        """Return the number of the level to train next; None if all are finished."""
        raise NotImplementedError

    def _begin_level(self, number: int) -> None:
        """Set the model to the start point of the level."""
        raise NotImplementedError

    def _reach_rewind_step(self) -> None:
        """Record the state at step k; called when level 0 has reached it."""
        raise NotImplementedError

    def _end_level(self, level: Level, metrics: dict[str, Any]) -> None:
        """Store a trained level.

        Args:
            level: The level.
            metrics: The logs of the epoch whose weights the model has.
        """
        raise NotImplementedError

    def _plan(self, steps_per_epoch: int) -> None:
        """Create the timetable for epochs of this length; raise ConfigError if step k does not fit into it."""
        steps_per_execution = keras_compat.steps_per_execution(self.model)
        self.timetable = Timetable.plan(steps_per_epoch, self.epochs_per_level, self.rewind_to, steps_per_execution)
        self._is_planned = True

    def on_train_begin(self, logs: Any = None) -> None:
        self._level: Level | None = None
        self._listen_to_batches(False)
        self._event, self._batches, self._is_planned = _NEVER, 0, False
        if steps := self.params.get("steps"):
            self._plan(steps)
        else:  # the length of a generator is known only after its first epoch
            self.timetable = Timetable(_NEVER, self.epochs_per_level, to_steps(self.rewind_to, _NEVER))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._batches = 0
        is_new = self._level is None
        if is_new and (number := self._next_level()) is None:
            self._event = 0  # end `fit` after its first batch, the earliest point at which it can end
            return
        if is_new:
            self._begin_level(number)
            epochs = self.timetable.epochs_of(number, self._continues_epochs)
            self._level = Level(number, self.model, self.callbacks, epochs, self.params.get("steps"))
        level, timetable = self._level, self.timetable
        position = timetable.rewind % timetable.steps_per_epoch
        is_in_epoch_of_k = level.number == 0 and level.epoch == timetable.first_epoch
        if is_in_epoch_of_k and position == 0:
            self._reach_rewind_step()
        if is_new:
            level.begin()
            self._listen_to_batches(level.wants_batches or not self._is_planned)
        if is_in_epoch_of_k and position:
            self._event = position - 1
        elif is_new and level.number and timetable.first_length < timetable.steps_per_epoch:
            self._event = timetable.first_length - 1
        level.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batches = batch + 1
        if batch >= self._event:
            self._at_event()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._event = _NEVER
        if (level := self._level) is None:
            return
        if not self._is_planned:
            self._plan(self._batches)
            self._listen_to_batches(level.wants_batches)
        stop = self.model.stop_training
        if isinstance(stop, int | np.integer) and stop == ENDED:  # a tensor cannot be compared with a number
            self.model.stop_training = False
        is_fit_over = self.model.stop_training
        level.batches += self._batches
        level.end_epoch({} if logs is None else logs)
        self.model.stop_training = is_fit_over
        if level.is_over:
            self._level = None
            self._listen_to_batches(False)
            self._end_level(level, level.end())
            if self._next_level() is None:
                self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        if self._level is not None:
            self._level.end()
            self._level = None
            self._listen_to_batches(False)

    def on_test_begin(self, logs: Any = None) -> None:
        self._tell("on_test_begin", logs)

    def on_test_end(self, logs: Any = None) -> None:
        self._tell("on_test_end", logs)

    def on_predict_begin(self, logs: Any = None) -> None:
        self._tell("on_predict_begin", logs)

    def on_predict_end(self, logs: Any = None) -> None:
        self._tell("on_predict_end", logs)

    def _tell(self, event: str, *arguments: Any, **named: Any) -> None:
        if (level := getattr(self, "_level", None)) is not None:
            level.tell(event, *arguments, **named)

    def _at_event(self) -> None:
        self._event = _NEVER
        if self._level is not None and self._level.number == 0:
            self._reach_rewind_step()
        else:
            self.model.stop_training = ENDED

    def _listen_to_batches(self, each: bool) -> None:
        """Turn the calls at every batch on or off; keep them off unless a callback needs them."""
        for event, method in (("on_train_batch_begin", self._begin_batch), ("on_train_batch_end", self._end_batch)):
            if each:
                setattr(self, event, method)
            else:
                self.__dict__.pop(event, None)

    def _begin_batch(self, batch: int, logs: Any = None) -> None:
        self._level.begin_batch(batch, logs)

    def _end_batch(self, batch: int, logs: Any = None) -> None:
        LevelsInFit.on_train_batch_end(self, batch, logs)
        self._level.end_batch(batch, logs)
