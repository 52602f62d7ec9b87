"""When things happen: several trainings, one after the other, inside one `fit`."""

from collections.abc import Sequence
from typing import Any

from tf_lottery import keras_training
from tf_lottery.callbacks.level import ENDED, Level
from tf_lottery.core.steps import to_steps
from tf_lottery.core.timetable import Timetable
from tf_lottery.keras_api import keras

_NEVER = 10**15  # no batch has this number, and no epoch so many batches


class LevelsInFit(keras.callbacks.Callback):
    """Divides the epochs of one `fit` into levels; what happens at their borders is for subclasses to say.

    An epoch is cut short by `stop_training` at the end of a batch, which is taken back at the end of the epoch: so
    validation, History and all other callbacks see it like any other epoch.

    Args:
        epochs_per_level: Epochs of level 0; the others begin in the epoch of step k.
        rewind_to: Step k.
        counts_on: Whether the epochs of a level go on from those of the level before.
        callbacks: Keras callbacks that live one level each.
    """

    def __init__(self, epochs_per_level: int, rewind_to: int | str, counts_on: bool, callbacks: Sequence[Any]):
        super().__init__()
        self._supports_tf_logs = True  # or legacy Keras would fetch the logs of every batch
        self.epochs_per_level, self.rewind_to, self.callbacks = epochs_per_level, rewind_to, tuple(callbacks)
        self._counts_on = counts_on

    def _next_level(self) -> int | None:
        """The number of the level to train next; None if all are done."""
        raise NotImplementedError

    def _begin_level(self, number: int) -> None:
        """Puts the model where the level starts."""
        raise NotImplementedError

    def _reach_rewind_step(self) -> None:
        """Step k of level 0 is done."""
        raise NotImplementedError

    def _end_level(self, level: Level, metrics: dict[str, Any]) -> None:
        """The level is trained; `metrics` are the logs of the epoch whose weights the model has."""
        raise NotImplementedError

    def _plan(self, steps_per_epoch: int) -> None:
        """Settles the epoch's length; raises ConfigError where step k does not fit it."""
        spe = keras_training.steps_per_execution(self.model)
        self.table = Timetable.plan(steps_per_epoch, self.epochs_per_level, self.rewind_to, spe)
        self._is_planned = True

    def on_train_begin(self, logs: Any = None) -> None:
        self._level: Level | None = None
        self._listen_to_batches(False)
        self._event, self._batches, self._is_planned = _NEVER, 0, False
        if steps := self.params.get("steps"):
            self._plan(steps)
        else:  # a generator: its length is known when it has ended once
            self.table = Timetable(_NEVER, self.epochs_per_level, to_steps(self.rewind_to, _NEVER))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        is_new = self._level is None
        if is_new and (number := self._next_level()) is None:
            self._event = 0  # `fit` cannot be ended before its first batch
            return
        if is_new:
            self._begin_level(number)
            epochs = self.table.epochs_of(number, self._counts_on)
            self._level = Level(number, self.model, self.callbacks, epochs)
        level, table = self._level, self.table
        position = table.rewind % table.steps_per_epoch
        is_in_epoch_of_k = level.number == 0 and level.epoch == table.first_epoch
        if is_in_epoch_of_k and position == 0:
            self._reach_rewind_step()
        if is_new:
            level.begin()
            self._listen_to_batches(level.wants_batches or not self._is_planned)
        if is_in_epoch_of_k and position:
            self._event = position - 1
        elif is_new and level.number and table.first_length < table.steps_per_epoch:
            self._event = table.first_length - 1
        level.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch >= self._event:
            self._at_event()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._event = _NEVER
        if (level := self._level) is None:
            return
        if not self._is_planned:
            self._plan(self._batches)
            self._listen_to_batches(level.wants_batches)
        if self.model.stop_training is ENDED:
            self.model.stop_training = False
        is_fit_over = self.model.stop_training
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

    def _at_event(self) -> None:
        self._event = _NEVER
        if self._level is not None and self._level.number == 0:
            self._reach_rewind_step()
        else:
            self.model.stop_training = ENDED

    def _listen_to_batches(self, each: bool) -> None:
        """Python at every batch only where somebody asked for it."""
        for event, method in (("on_train_batch_begin", self._begin_batch), ("on_train_batch_end", self._end_batch)):
            if each:
                setattr(self, event, method)
            else:
                self.__dict__.pop(event, None)

    def _begin_batch(self, batch: int, logs: Any = None) -> None:
        self._level.begin_batch(batch, logs)

    def _end_batch(self, batch: int, logs: Any = None) -> None:
        self._batches = batch + 1
        LevelsInFit.on_train_batch_end(self, batch, logs)
        self._level.end_batch(batch, logs)
