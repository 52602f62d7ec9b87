"""Levels that prune and rewind: what happens when one begins, reaches step k and ends, and how `fit` resumes."""

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_lottery import keras_compat, rewinding
from tf_lottery.callbacks import averages, compilation, learning_rates, other_callbacks
from tf_lottery.callbacks.compilation import Compilation
from tf_lottery.callbacks.level_optimizers import LevelOptimizers
from tf_lottery.callbacks.level_store import LevelStore
from tf_lottery.callbacks.levels_in_fit import Level, LevelsInFit
from tf_lottery.callbacks.settings import Settings
from tf_lottery.core import masks as masks_lib, seeds
from tf_lottery.core.masks import Arrays
from tf_lottery.core.steps import to_steps
from tf_lottery.errors import ConfigError, ExhaustedError, RunError
from tf_lottery.keras_compat import Callback, Model, Optimizer
from tf_lottery.masking import model_masks, model_tickets, state, tfmot_bridge
from tf_lottery.masking.ticket import Ticket


class PrunedLevels(LevelsInFit):
    """Prune at the end of each level, and begin the next one at its start point; `LotteryTicket` adds the results.

    Args:
        settings: What decides the results.
        callbacks: Keras callbacks that see each level as a separate training run.
        directory: The directory in which levels are stored; None for memory.
    """

    def __init__(
        self, settings: Settings, callbacks: Sequence[Callback], directory: str | os.PathLike[str] | None = None
    ):
        super().__init__(
            settings.epochs_per_level,
            settings.rewind_to,
            continues_epochs=settings.rewind == "none",
            callbacks=callbacks,
        )
        self.settings, self.directory = settings, directory
        self._store = LevelStore(directory)
        self._has_begun = self._is_finished = False
        self._thread: threading.Thread | None = None  # in which `fit` runs
        self._at_start: Any = None  # the Compilation with which `fit` began
        self._at_k: Any = None  # that of step k, once it is reached in this process

    def on_level_end(self, level: int, record: dict[str, Any]) -> None:
        """Override this hook to act when a level is finished and stored, before the next one begins.

        Args:
            level: The number of the level.
            record: The entry of the level in `records`.
        """

    def set_model(self, model: Model) -> None:
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and thread.is_alive():
            raise ConfigError(
                f"This LotteryTicket takes part in a `fit` that runs in the thread {thread.name!r}: use another "
                "LotteryTicket in each `fit`."
            )
        super().set_model(model)

    def on_train_begin(self, logs: Any = None) -> None:
        self._check_use()
        tfmot_bridge.refuse_patterns(self.model)
        tfmot_bridge.adopt(self.model)
        self._masks: Any = model_masks.get_masks(self.model)  # None when no level is left
        outer = keras_compat.callbacks_of_fit(self)
        other_callbacks.check(outer, self.callbacks, is_at_start=to_steps(self.rewind_to, 1) == 0)
        self._transition = self.settings.transition(self._masks)
        optimizers = keras_compat.build_optimizers(self.model)
        if not self._store.records:
            self._check_start(self._masks)
        super().on_train_begin(logs)
        self._store.hold()
        self._open_store(self._masks, optimizers)
        learning_rates.begin(optimizers)
        self._thread = threading.current_thread()
        self._at_start, self._start_clock = Compilation.of(self.model), state.clock(optimizers)
        self._zeros = averages.Zeros(self.model)
        self._swapping = averages.swapping(self.model, [*outer, *self.callbacks])
        if self.settings.rewind == "none":
            rewinding.make_rates_holdable(self.model, optimizers)
        if self._store.records:
            self._resume(optimizers)
        if self._masks is None:
            keras_compat.warn(
                f"All levels of {self._place} are finished: `fit` ends after one batch, which changes nothing. The "
                "model gets the weights of the last level."
            )
        self._had_no_level = self._masks is None
        self._has_enough_epochs: bool | None = None  # unknown until the first epoch begins

    @property
    def _place(self) -> str:
        return str(self.directory or "this LotteryTicket")

    def _check_use(self) -> None:
        if "epochs" not in (getattr(self, "params", None) or {}) or self.model is None:
            raise ConfigError(
                "A LotteryTicket works inside `model.fit(…, callbacks=[tickets])`, which tells it the model and "
                "the number of epochs. Received: on_train_begin() outside `fit`."
            )
        if self._is_finished:
            raise ConfigError("This LotteryTicket has trained all its levels: create a new one for another `fit`.")

    def _check_start(self, masks: Arrays) -> None:
        self._transition.check(masks, self.settings.levels)
        if (density := masks_lib.density(masks)) < 1:
            keras_compat.warn(
                f"The model is pruned already: level 0 trains {density:.1%} of its weights and not the dense network. "
                "`best` and controls compare with that."
            )
        if self._has_begun:
            keras_compat.warn(
                "Level 0 was interrupted and begins again with the weights, optimizer and rates that it left: to "
                "begin with the initial ones, make and compile the model anew, with a new LotteryTicket."
            )

    def _open_store(self, masks: Arrays, optimizers: Mapping[str, Optimizer]) -> None:
        """Resume the stored levels, if there are any."""
        settings = self.settings.as_json(masks, self._transition) | compilation.as_json(self.model, optimizers)
        if self._at_k is not None:  # in this process: `trainable` comes back at each level
            settings["frozen"] = self._store.stored("frozen")
        rate = learning_rates.asked(optimizers, self._store.stored("learning_rate") if self._store.records else None)
        self._store.open(settings | rate)
        if self._store.records:  # the model may have the masks of the level that was interrupted
            self._transition.check(self._store.ticket(0).masks, self.settings.levels)

    def _resume(self, optimizers: Mapping[str, Optimizer]) -> None:
        """Resume after the last level that is stored."""
        at_k = self._store.read("rewind").metadata
        length = at_k["steps_per_epoch"]
        if self._is_planned and length != self.timetable.steps_per_epoch:
            raise RunError(
                f"The levels of {self._place} have epochs of {length} steps; this `fit` has "
                f"{self.timetable.steps_per_epoch}. Use the same data and batch size, or choose another "
                f"{'directory' if self.directory else 'LotteryTicket'}."
            )
        self._plan(length)
        if self._at_k is None:
            if at_k.get("is_compiled_in_fit"):
                raise RunError(
                    f"{self.directory} cannot be resumed: a callback called `compile` before step k, so that the "
                    "optimizer of step k does not exist in this process. Choose a smaller `rewind_to` and another "
                    "directory."
                )
            self._at_k = self._at_start
        state.build_optimizers(self.model, optimizers, at_k.get("built_on", {}))
        last = self._store.ticket(len(self._store.records) - 1)
        if self.settings.rewind == "none":
            self._last_steps = last.metadata.get("last_steps", {"": self._store.records[0]["step"] - 1})
            self._hold_rates()
        self._state_at_k = last.metadata["state_at_k"]
        self._masks = self._masks_after(last)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        keras_compat.swap_averages_out(self._swapping)
        if self._has_enough_epochs is None:
            epochs = self.params["epochs"] - epoch
            self._has_enough_epochs = other_callbacks.has_enough_epochs(epochs, self._epochs_needed())
        super().on_epoch_begin(epoch, logs)

    def _next_level(self) -> int | None:
        return None if self._masks is None else len(self._store.records)

    def _begin_level(self, number: int) -> None:
        self._start_weights: Arrays
        if number == 0:
            self._has_begun = True
            self._store.forget("rewind")  # left by an interrupted `fit`
            self._at_k = None
            self._start_weights = state.weights(self.model)
        else:
            self._start_weights = self._rewind(number)
        self._optimizers = LevelOptimizers(self.model, is_first=number == 0)

    def _rewind(self, number: int) -> Arrays:
        start = self._transition.start_point(number)
        if start.optimizer != "final":
            self._at_k.bring_back(self.model)
        elif rewinding.make_rates_holdable(self.model, keras_compat.owned_optimizers(self.model)):
            self._hold_rates()
        return rewinding.begin(
            self.model,
            keras_compat.owned_optimizers(self.model),
            self._masks,
            start,
            read=lambda moment: self._store.state_before(number, moment),
        )

    def _reach_rewind_step(self) -> None:
        self._at_k = Compilation.of(self.model)
        optimizers = self._at_k.optimizers
        snapshot = state.capture(self.model, optimizers)
        self._start_weights = snapshot["weights"]
        metadata: dict[str, Any] = {"steps_per_epoch": self.timetable.steps_per_epoch}
        metadata |= state.settings_left_out(self.model, optimizers)
        if any(self._at_start.optimizers.get(path) is not optimizer for path, optimizer in optimizers.items()):
            metadata["is_compiled_in_fit"] = True
        self._store.write("rewind", Ticket({}, {**snapshot, "start": self._start_clock}, metadata))
        self._state_at_k = self._store.digest("rewind")

    def _end_level(self, level: Level, metrics: dict[str, Any]) -> None:
        if not self._store.has("rewind"):
            raise ConfigError(
                f"Level 0 ended after {level.epochs_trained} epochs, before step {self.timetable.rewind}, to which "
                "later levels rewind. Choose an earlier `rewind_to`, or let level 0 train longer."
            )
        self._check_masks(level)
        self._check_optimizers(level)
        optimizers = keras_compat.owned_optimizers(self.model)
        if level.number == 0:
            self._last_steps = {path: keras_compat.batches_trained(one) - 1 for path, one in optimizers.items()}
        record, ticket = self._record(level, metrics), self._ticket(level)
        self._store.add(record, ticket, self._rest(optimizers))
        if self.settings.rewind == "none":
            self._hold_rates()
        self.on_level_end(level.number, record)
        self._masks = self._masks_after(ticket)

    def _check_masks(self, level: Level) -> None:
        """Raise ConfigError if a callback has changed the masks of the level."""
        now = model_masks.get_masks(self.model)
        if other := [name for name, mask in self._masks.items() if not np.array_equal(now[name], mask)]:
            raise ConfigError(
                f"The model does not have the masks of level {level.number} any more ({', '.join(other)}): a callback "
                "has changed them, as one does that loads weights from another level. The level is not stored. Let "
                "callbacks load only weights of the same level; `tickets.restore(model, level)` gives a model those of "
                "any level after `fit`."
            )

    def _check_optimizers(self, level: Level) -> None:
        """Warn of optimizers that cannot be rewound, and of a `compile` in `fit` that levels do not share."""
        is_compiled = self._optimizers.is_compiled_anew()
        if level.number == 0:
            self._optimizers.warn_of_unseen()
            self._is_compiled_in_level = is_compiled
        elif is_compiled != getattr(self, "_is_compiled_in_level", is_compiled):
            self._is_compiled_in_level = is_compiled
            keras_compat.warn(
                f"`compile` was called in level 0 {'but not' if not is_compiled else 'not, but'} in level "
                f"{level.number}, so that the two train differently. Pass the callback that calls it to "
                "LotteryTicket(callbacks=[…]): it then sees the epochs of each level."
            )

    def _record(self, level: Level, metrics: Mapping[str, Any]) -> dict[str, Any]:
        start = self.timetable.rewind if level.number else 0
        if level.number and self.settings.rewind == "none":
            start = self._store.records[-1]["step"]
        return {
            "level": level.number,
            "density": masks_lib.density(self._masks),
            "density_by_weight": masks_lib.density_by_weight(self._masks),
            "epochs": level.epochs_trained,
            "step": self._optimizers.step(otherwise=start + level.batches),
            "metrics": {name: float(value) for name, value in metrics.items() if np.ndim(value) == 0},
        }

    def _ticket(self, level: Level) -> Ticket:
        if not level.is_restored:
            keras_compat.swap_averages_in(self._swapping)
        final = state.trained_weights(self.model)
        keras_compat.swap_averages_out(self._swapping)
        origin: dict[str, Any] = {
            "level": level.number,
            "rewind_step": self.timetable.rewind,
            "rewind": self.settings.rewind,
            "state_at_k": self._state_at_k,
        }
        if self.settings.rewind == "none":
            origin["last_steps"] = self._last_steps
        return Ticket(self._masks, {"rewind": self._start_weights, "final": final}, origin)

    def _rest(self, optimizers: Mapping[str, Optimizer]) -> dict[str, Arrays]:
        """Return what the next level does not rewind, besides the weights."""
        rest: dict[str, Arrays] = {}
        if self.settings.rewind == "none":
            rest["optimizer"] = state.capture(self.model, optimizers)["optimizer"]
        if self.settings.rewind != "weights" and (unlisted := state.unlisted(self.model)):
            rest["unlisted"] = unlisted
        return rest

    def _hold_rates(self) -> None:
        """Hold the rates with which level 0 ended."""
        optimizers = keras_compat.owned_optimizers(self.model)
        for path, rates in rewinding.make_rates_holdable(self.model, optimizers).items():
            for rate in rates if path in self._last_steps else ():
                rate.hold(self._last_steps[path])

    def _masks_after(self, ticket: Ticket) -> dict[str, np.ndarray] | None:
        """Return the masks of the level that follows `ticket`, or None if there is no such level."""
        level = len(self._store.records)
        if level > self.settings.levels:
            return None
        try:
            masks = self._transition.next_masks(
                level,
                initial=ticket.weights["rewind"],
                trained=ticket.weights["final"],
                masks=ticket.masks,
                seed=seeds.derive(self.settings.seed, "criterion", level),
            )
        except ExhaustedError as error:
            keras_compat.warn(f"The run ends with level {level - 1}: level {level} {error}")
            return None
        if names := self._transition.report_minimum(ticket.masks, masks):
            keras_compat.warn(f"Level {level}: {names}")
        return masks

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = {} if logs is None else logs
        self._zeros.keep()
        level, masks = self._level, self._masks
        super().on_epoch_end(epoch, logs)
        if level is not None:
            logs |= {"level": level.number, "density": masks_lib.density(masks)}

    def on_test_begin(self, logs: Any = None) -> None:
        if self._level is not None:
            self._zeros.keep()
        super().on_test_begin(logs)

    def on_train_end(self, logs: Any = None) -> None:
        super().on_train_end(logs)
        self._zeros.keep()  # Keras has written them over the weights
        learning_rates.end(keras_compat.owned_optimizers(self.model))
        self._thread = None
        if self._masks is not None and self._has_enough_epochs and not self.model.stop_training:
            keras_compat.warn(
                f"`fit` ended before level {len(self._store.records)} was finished: did its data run out?"
            )
        self._store.release()
        if self._masks is None:
            self._is_finished = True
            # A `fit` with no level left has still trained one batch. If averages were in the model when `fit` ended,
            # Keras has overwritten them with the weights.
            if self._had_no_level or keras_compat.averages_are_in_model(self._swapping):
                last = self._store.ticket(len(self._store.records) - 1)
                model_tickets.restore_ticket(self.model, last, "final")

    def _epochs_needed(self) -> int:
        """Return how many epochs the levels that are left can need."""
        if self._masks is None:
            return 0
        levels = range(len(self._store.records), self.settings.levels + 1)
        if not self._is_planned:  # the length of epochs is unknown
            return (self.settings.levels + 1) * self.epochs_per_level
        return sum(len(self.timetable.epochs_of(level)) for level in levels)
