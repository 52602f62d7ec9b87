"""LotteryTicket: iterative magnitude pruning with rewinding inside `model.fit`."""

import copy
import os
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tf_lottery import keras_compat, rewinding
from tf_lottery.callbacks import averages, comparisons, learning_rates, other_callbacks
from tf_lottery.callbacks.compilation import Compilation, UnseenOptimizers
from tf_lottery.callbacks.level_store import LevelStore
from tf_lottery.callbacks.levels_in_fit import Level, LevelsInFit
from tf_lottery.callbacks.settings import Settings
from tf_lottery.core import masks as masks_lib, schedules, seeds
from tf_lottery.core.criteria import Criterion
from tf_lottery.core.masks import Arrays
from tf_lottery.core.pruning import Share
from tf_lottery.core.steps import to_steps
from tf_lottery.errors import ConfigError, ExhaustedError, RunError
from tf_lottery.keras_compat import Callback, Model, Optimizer
from tf_lottery.masking import model_masks, model_tickets, state, tfmot_bridge
from tf_lottery.masking.ticket import Ticket


class LotteryTicket(LevelsInFit):
    """Find lottery tickets in one `fit`: train, prune, rewind and train again, level by level.

    Level 0 trains the dense network for `epochs_per_level` epochs and stores its full state at step k. At the end of a
    level the smallest weights are pruned. The next level rewinds the remaining weights, and everything else that
    training changes, to their values at step k, and trains to the step at which level 0 ended (Frankle et al. 2019,
    arXiv 1903.01611, Algorithm 1).

    A callback cannot rewind your data, neither the position in it nor the order in which `fit` shuffles it. Every level
    therefore begins with a new pass over the data. (With legacy Keras and arrays, it continues in the middle of a pass
    if k is inside an epoch.) All optimizers that the model or a layer inside it holds as attributes are rewound; one
    that only a closure holds is named in a warning. Random numbers are not rewound if a layer draws them from a global
    state instead of its own seed generator.

    If the optimizer averages weights (`use_ema`), tickets hold the weights that `fit` validates: the averages with
    `SwapEMAWeights`, in `fit` or in `callbacks`, and otherwise the weights themselves, although Keras writes the
    averages into the model when `fit` ends. An EarlyStopping that restores weights restores those that it has seen:
    put it after `SwapEMAWeights(swap_on_epoch=True)`.

    Args:
        levels: Number of pruned levels. `fit` trains levels 0 (the dense network) to `levels`.
        fraction: Fraction of the kept weights that each level removes, in [0, 1); or a function of the level, such as
            `tfl.schedules.to_target_density(0.05, levels=10)` or `tfl.schedules.one_shot(0.05)`. Defaults to 0.2.
        epochs_per_level: Number of epochs of level 0. Later levels begin in the epoch that contains step k.
        rates: Different fractions for some weights, by a regex that is searched in the weight name:
            `{"^output/": 0.1}`. Needs `scope="layerwise"`. Defaults to none.
        scope: `"global"` ranks all weights together, `"layerwise"` each array by itself. Defaults to `"global"`.
        criterion: The name of a criterion in `tfl.criteria.CRITERIA`, or a function `(initial, trained, rng) -> scores`
            that takes and returns dicts of arrays by weight name. Weights with the highest scores are kept. Defaults to
            `"magnitude"`.
        rewind: `"weights"`: everything goes back to step k, as in the paper. `"learning_rate"`: the weights stay, the
            step counter and the learning rate go back to step k, and the optimizer is new. `"none"`: fine-tuning;
            everything stays, the learning rate is held, and the epoch numbers continue. With all three, a level trains
            for the same number of steps. Defaults to `"weights"`.
        rewind_to: Step k: `"500it"` (optimizer steps), `"2ep"` (epochs), or a number of steps. Defaults to 0.
        reset_optimizer: Whether levels start with a new optimizer instead of its state at step k. Defaults to False.
        min_density: Fraction of each array that global pruning always keeps, in [0, 1); other arrays lose more, so that
            a level removes as many weights as without a minimum. With 0 there is no minimum, and `fit` ends before a
            level that would remove all weights of an array. Defaults to None: one weight of each array is kept, and a
            warning names the arrays of which no more is left. These are often depthwise kernels, which are better
            excluded: `make_prunable(model, exclude=[re.compile("depthwise")])`.
        callbacks: Keras callbacks that see each level as a separate training run, and can end it. One that calls
            `compile`, such as to unfreeze layers, belongs here: the optimizer and the frozen layers of step k come
            back at each level. What callbacks count themselves begins anew at step k. Callbacks that are
            passed to `fit` see all levels as one run; pass callbacks that write files there. Defaults to none.
        directory: The directory in which everything is stored, in files such as `level_02.tfl`, which
            `tfl.load_ticket` reads. To resume after the last finished level, run the same script again, with the same
            data and learning rate. With several workers, each needs its own directory. Defaults to None: everything
            stays in memory.
        seed: Seed of criteria and controls that draw random numbers. Defaults to 0.

    Raises:
        LotteryError: an argument is invalid or, when `fit` begins, does not suit the model or the other callbacks.

    Source:
        Frankle, Dziugaite, Roy, Carbin 2019 (arXiv 1903.01611), Algorithm 1; with `rewind_to=0` Frankle, Carbin 2019
        (arXiv 1803.03635), section 1. `rewind="learning_rate"` and `"none"`: Renda, Frankle, Carbin 2020 (arXiv
        2003.02389).

    Examples:
        >>> import numpy as np
        >>> import tf_lottery as tfl
        >>> x, y = np.random.rand(64, 8, 8, 1), np.random.rand(64, 10)
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))  # or any model of yours
        >>> model.compile("adam", "mse")
        >>> tickets = tfl.callbacks.LotteryTicket(levels=2, fraction=0.5, rewind_to="1ep", epochs_per_level=2)
        >>> history = model.fit(x, y, epochs=tickets.total_epochs, callbacks=[tickets], verbose=0)
        >>> tickets.to_frame()[["level", "density", "epochs"]]
           level  density  epochs
        0      0     1.00       2
        1      1     0.50       1
        2      2     0.25       1
        >>> sparse = tickets.restore(model, level=2)
    """

    def __init__(
        self,
        levels: int,
        fraction: Share | schedules.Schedule = 0.2,
        *,
        epochs_per_level: int,
        rates: Mapping[str | re.Pattern[str], Share] | Sequence[str] = (),
        scope: str = "global",
        criterion: str | Criterion = "magnitude",
        rewind: str = "weights",
        rewind_to: int | str = 0,
        reset_optimizer: bool = False,
        min_density: Share | None = None,
        callbacks: Callback | Sequence[Callback] = (),
        directory: str | os.PathLike[str] | None = None,
        seed: int = 0,
    ):
        levels, epochs_per_level, rewind_to, seed = map(_plain, (levels, epochs_per_level, rewind_to, seed))
        callbacks = other_callbacks.as_list(callbacks)
        super().__init__(epochs_per_level, rewind_to, continues_epochs=rewind == "none", callbacks=callbacks)
        self.settings = Settings(
            levels=levels,
            fraction=fraction,
            epochs_per_level=epochs_per_level,
            rates=rates,
            scope=scope,
            criterion=criterion,
            rewind=rewind,
            rewind_to=rewind_to,
            reset_optimizer=reset_optimizer,
            min_density=min_density,
            seed=seed,
        )
        self.directory = directory
        self._store = LevelStore(directory)
        self._is_finished = self._has_begun = False
        self._thread: threading.Thread | None = None  # in which `fit` runs
        self._at_start: Compilation | None = None
        self._at_k: Compilation | None = None

    @property
    def records(self) -> list[dict[str, Any]]:
        """Return copies of the records of all finished levels, one dict for each level.

        The keys are `level`, `density`, `density_by_weight`, `epochs` (the number of epochs trained), `step` (the
        optimizer step, not counting steps that loss scaling skipped; the number of batches if the compiled optimizer
        does not train, or was replaced) and `metrics` (the logs of the epoch whose weights
        the ticket holds).
        """
        return copy.deepcopy(self._store.records)

    @property
    def total_epochs(self) -> int:
        """Return the largest number of epochs that `fit` can need; it ends by itself after the last level."""
        return (self.settings.levels + 1) * self.epochs_per_level

    def to_frame(self) -> pd.DataFrame:
        """Return `records` as a table: level, density, epochs, step, and a column for each metric."""
        columns = ("level", "density", "epochs", "step")
        rows = [{name: record[name] for name in columns} | record["metrics"] for record in self.records]
        return pd.DataFrame(rows, columns=None if rows else columns)

    def ticket(self, level: int) -> Ticket:
        """Return the ticket of a finished level: its masks, its `"rewind"` weights and its `"final"` weights.

        The level started with the weights `"rewind"` and ended with the weights `"final"`. The `"rewind"` weights of
        level 0 are W_k, the weights of the dense network at step k.

        Args:
            level: The number of the level; 0 is the dense network.

        Raises:
            ConfigError: no level is finished yet.
            TicketError: there is no such level.
        """
        return self._store_with_levels().ticket(level)

    def restore(self, model: Model, level: int, weights: str = "final") -> Model:
        """Give `model` the masks and weights of a finished level; see `tfl.restore_ticket`.

        Args:
            model: The model of `fit`, or another prunable model of the same architecture.
            level: A finished level.
            weights: `"final"` for the weights that the level ended with, `"rewind"` for the weights that it started
                with. Defaults to `"final"`.

        Returns:
            `model`.
        """
        return model_tickets.restore_ticket(model, self.ticket(level), weights)

    def best(self, within: float = 0.0, monitor: str | None = None, mode: str | None = None) -> int:
        """Return the sparsest level that performs as well as the dense network.

        Args:
            within: How much worse than level 0 the level may be, at least 0, in the unit of the metric: 0.01 is one
                percentage point of accuracy. Defaults to 0.
            monitor: Name of the metric. Defaults to the first of `val_accuracy`, other `val_…accuracy`, `val_loss`,
                `accuracy`, `loss` that was measured.
            mode: `"max"` or `"min"`. Defaults to `"min"` for losses and errors, and to `"max"` for other metrics.

        Returns:
            The number of the level; 0 if no ticket performs as well.

        Raises:
            ConfigError: there is no such metric, or `within` is invalid.
        """
        self._store_with_levels()
        return comparisons.best_level(self.records, within, monitor, mode)

    def control(self, kind: str, level: int, model: Model | None = None) -> Model:
        """Return a compiled model, ready to train as a control for a level: a baseline that its ticket has to beat.

        Train it with `fit` for as many epochs as the level, or as level 0 if the control starts at step 0.

        Args:
            kind: `"random_mask"`: random masks that keep as many weights of each layer as the ticket, on the dense
                weights of step k. `"reinit"`: the ticket's masks on newly initialised weights, from step 0.
                `"reinit_signs"`: the same, with the signs of step k. `"reshuffle"` and `"constant"`: the ticket's masks
                on altered weights of step k, with the kept weights of each layer in random order, or with all weights
                of a layer set to one magnitude and random signs. `"reshuffle_signs"` and `"constant_signs"`: the same,
                with the signs of step k.
            level: A finished level.
            model: A prunable, compiled, newly initialised model to use. Needed if the model of `fit` cannot be
                recreated from its config. Defaults to None: a new model is created.

        Returns:
            A new compiled model, or `model`.

        Raises:
            ConfigError: there is no such control, or `fit` has not been called in this process yet.
            ModelError: the model cannot be recreated from its config, or is always initialised with the same weights.

        Source:
            Frankle, Dziugaite, Roy, Carbin 2019 (arXiv 1903.01611), section 3; Frankle, Carbin 2019 (arXiv 1803.03635),
            section 2; Zhou, Lan, Liu, Yosinski 2019 (arXiv 1905.01067), section 4.
        """
        store = self._store_with_levels()
        if self.model is None and model is None:
            raise ConfigError(
                "`fit` has not been called in this process yet: pass a new prunable model, `control(…, model=…)`."
            )
        dense = store.ticket(0).masks
        return comparisons.control_model(
            kind,
            level,
            like=self.model,
            compiled={"start": self._at_start, "rewind": self._at_k} if model is None else {},
            masks=store.ticket(level).masks,
            at_k=store.read("rewind"),
            transition=self.settings.transition(dense),
            seed=self.settings.seed,
            new=model,
        )

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
        if "epochs" not in (getattr(self, "params", None) or {}) or self.model is None:
            raise ConfigError(
                "A LotteryTicket works inside `model.fit(…, callbacks=[tickets])`, which tells it the model and "
                "the number of epochs. Received: on_train_begin() outside `fit`."
            )
        if self._is_finished:
            raise ConfigError("This LotteryTicket has trained all its levels: create a new one for another `fit`.")
        tfmot_bridge.refuse_patterns(self.model)
        tfmot_bridge.adopt(self.model)
        masks = model_masks.get_masks(self.model)
        outer = keras_compat.callbacks_of_fit(self)
        other_callbacks.check(outer, self.callbacks, is_at_start=to_steps(self.rewind_to, 1) == 0)
        transition = self.settings.transition(masks)
        optimizers = keras_compat.build_optimizers(self.model)
        if not self.records:
            transition.check(masks, self.settings.levels)
            if self._has_begun:
                keras_compat.warn(
                    "Level 0 was interrupted and begins again with the weights, optimizer and rates that it left: to "
                    "begin with the initial ones, make and compile the model anew, with a new LotteryTicket."
                )
        super().on_train_begin(logs)
        kinds = {
            "optimizer": ", ".join(type(optimizer).__name__ for optimizer in optimizers.values()),
            "optimizer_settings": {path: keras_compat.plain_settings(one) for path, one in optimizers.items()},
        }
        rate = learning_rates.asked(optimizers, self._store.stored("learning_rate") if self.records else None)
        self._store.open(self.settings.as_json(masks, transition) | kinds | rate)
        if self.records:  # the model may have the masks of the level that was interrupted
            transition.check(self._store.ticket(0).masks, self.settings.levels)
        learning_rates.begin(optimizers)
        self._thread = threading.current_thread()
        self._transition, self._masks = transition, masks
        self._at_start, self._start_clock = Compilation.of(self.model), state.clock(optimizers)
        self._set_up_averages(outer)
        if self.settings.rewind == "none":
            rewinding.make_rates_holdable(self.model, optimizers)
        if self.records:
            self._resume(optimizers)
        if self._masks is None:
            keras_compat.warn(
                f"All levels of {self.directory or 'this LotteryTicket'} are finished: `fit` ends after one batch, "
                "which changes nothing. The model gets the weights of the last level."
            )
        self._had_no_level = self._masks is None
        self._has_enough_epochs: bool | None = None  # unknown until the first epoch begins

    def _set_up_averages(self, callbacks: Sequence[Any]) -> None:
        """Find the callbacks that put averages of weights into the model, if there are averages."""
        exist = averages.exist(self.model)
        self._swapping = keras_compat.swapping_callbacks([*callbacks, *self.callbacks]) if exist else []
        if exist and not self._swapping:
            way_out = "" if keras_compat.LEGACY else " For averages, add `SwapEMAWeights(swap_on_epoch=True)`."
            keras_compat.warn(
                "With `use_ema`, `fit` validates the weights themselves, so tickets hold these and not their averages, "
                f"which Keras writes into the model when `fit` ends.{way_out}"
            )

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
            self._unseen = UnseenOptimizers(self.model)
            self._start_weights = state.weights(self.model)
        else:
            self._start_weights = self._rewind(number)
        self._compiled_at_begin = Compilation.of(self.model)
        self._count_at_begin = self._count()

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
            read=lambda moment: self._store.state_before(number, moment, with_optimizer=start.optimizer == "final"),
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
        if not level.is_restored:
            keras_compat.swap_averages_in(self._swapping)
        final = state.trained_weights(self.model)
        keras_compat.swap_averages_out(self._swapping)
        self._check_what_trained(level)
        record: dict[str, Any] = {
            "level": level.number,
            "density": masks_lib.density(self._masks),
            "density_by_weight": masks_lib.density_by_weight(self._masks),
            "epochs": level.epochs_trained,
            "step": self._step_after(level),
            "metrics": {name: float(value) for name, value in metrics.items() if np.ndim(value) == 0},
        }
        origin = {
            "level": level.number,
            "rewind_step": self.timetable.rewind,
            "rewind": self.settings.rewind,
            "state_at_k": self._state_at_k,
        }
        optimizer = None
        if self.settings.rewind == "none":
            optimizers = keras_compat.owned_optimizers(self.model)
            if level.number == 0:
                self._last_steps = {path: keras_compat.batches_trained(one) - 1 for path, one in optimizers.items()}
            origin["last_steps"] = self._last_steps
            optimizer = state.capture(self.model, optimizers)["optimizer"]
        ticket = Ticket(self._masks, {"rewind": self._start_weights, "final": final}, origin)
        self._store.add(record, ticket, optimizer)
        if optimizer is not None:
            self._hold_rates()
        self.on_level_end(level.number, record)
        self._masks = self._masks_after(ticket)

    def _hold_rates(self) -> None:
        """Hold the rates with which level 0 ended."""
        optimizers = keras_compat.owned_optimizers(self.model)
        for path, rates in rewinding.make_rates_holdable(self.model, optimizers).items():
            for rate in rates if path in self._last_steps else ():
                rate.hold(self._last_steps[path])

    def _count(self) -> int:
        """Return how many batches the compiled optimizer has seen."""
        optimizer = self._compiled_at_begin.optimizers.get("")
        return 0 if optimizer is None else keras_compat.batches_trained(optimizer)

    def _step_after(self, level: Level) -> int:
        """Return the step that a level has reached: the number of batches, if the compiled optimizer trains nothing."""
        is_counting = self.model.optimizer is self._compiled_at_begin.optimizers.get("")
        if is_counting and (count := self._count()) != self._count_at_begin:
            return count
        if level.number == 0:
            return level.batches
        start = self.records[-1]["step"] if self.settings.rewind == "none" else self.timetable.rewind
        return start + level.batches

    def _check_what_trained(self, level: Level) -> None:
        """Warn of optimizers that cannot be rewound, and of a `compile` in `fit` that levels do not share."""
        now = keras_compat.owned_optimizers(self.model)
        is_compiled = any(now.get(path) is not one for path, one in self._compiled_at_begin.optimizers.items())
        if level.number == 0:
            self._unseen.warn_if_trained(self.model)
            self._is_compiled_in_level = is_compiled
        elif is_compiled != getattr(self, "_is_compiled_in_level", is_compiled):
            self._is_compiled_in_level = is_compiled
            keras_compat.warn(
                f"`compile` was called in level 0 {'but not' if not is_compiled else 'not, but'} in level "
                f"{level.number}, so that the two train differently. Pass the callback that calls it to "
                "LotteryTicket(callbacks=[…]): it then sees the epochs of each level."
            )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = {} if logs is None else logs
        averages.mask(self.model)
        level, masks = self._level, self._masks
        super().on_epoch_end(epoch, logs)
        if level is not None:
            logs |= {"level": level.number, "density": masks_lib.density(masks)}

    def on_test_begin(self, logs: Any = None) -> None:
        if self._level is not None:
            averages.mask(self.model)
        super().on_test_begin(logs)

    def on_train_end(self, logs: Any = None) -> None:
        super().on_train_end(logs)
        averages.mask(self.model)  # Keras has written them over the weights
        learning_rates.end(keras_compat.owned_optimizers(self.model))
        self._thread = None
        if self._masks is not None and self._has_enough_epochs and not self.model.stop_training:
            keras_compat.warn(f"`fit` ended before level {len(self.records)} was finished: did its data run out?")
        if self._masks is None:
            self._is_finished = True
            # A `fit` with no level left has still trained one batch. If averages were in the model when `fit` ended,
            # Keras has overwritten them with the weights.
            if self._had_no_level or keras_compat.averages_are_in_model(self._swapping):
                self.restore(self.model, len(self.records) - 1)

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

    def _resume(self, optimizers: Mapping[str, Optimizer]) -> None:
        """Resume after the last level that is stored."""
        at_k = self._store.read("rewind").metadata
        length = at_k["steps_per_epoch"]
        if self._is_planned and length != self.timetable.steps_per_epoch:
            raise RunError(
                f"{self.directory or 'This LotteryTicket'} was created with epochs of {length} steps; this `fit` has "
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
        last = self._store.ticket(len(self.records) - 1)
        if self.settings.rewind == "none":
            self._last_steps = last.metadata.get("last_steps", {"": self.records[0]["step"] - 1})
            self._hold_rates()
        self._state_at_k = last.metadata["state_at_k"]
        self._masks = self._masks_after(last)

    def _store_with_levels(self) -> LevelStore:
        if not self.records:
            raise ConfigError("No level is finished yet: call `model.fit(…, callbacks=[tickets])` first.")
        return self._store

    def _epochs_needed(self) -> int:
        if self._masks is None:
            return 0
        levels = range(len(self.records), self.settings.levels + 1)
        return sum(len(self.timetable.epochs_of(level)) for level in levels) if self._is_planned else self.total_epochs


def _plain(number: Any) -> Any:
    """Convert a NumPy integer to a Python int; return anything else unchanged."""
    return int(number) if isinstance(number, np.integer) else number
