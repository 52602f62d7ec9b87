"""LotteryTicket: iterative magnitude pruning with rewinding inside `model.fit`."""

import copy
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tf_lottery import keras_compat, rewinding
from tf_lottery.callbacks import comparisons, other_callbacks
from tf_lottery.callbacks.level_store import LevelStore
from tf_lottery.callbacks.levels_in_fit import Level, LevelsInFit
from tf_lottery.callbacks.settings import Settings
from tf_lottery.core import masks as masks_lib, schedules, seeds
from tf_lottery.core.criteria import Criterion
from tf_lottery.core.masks import Arrays
from tf_lottery.core.pruning import Share
from tf_lottery.errors import ConfigError, ExhaustedError, RunError
from tf_lottery.keras_compat import Callback, Model, keras
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
    if k is inside an epoch.) Optimizers other than the compiled one are not rewound. Random numbers are not rewound
    either if a layer draws them from a global state instead of its own seed generator.

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
        callbacks: Keras callbacks that see each level as a separate training run, and can end it. Callbacks that are
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
        callbacks = [callbacks] if isinstance(callbacks, keras.callbacks.Callback) else callbacks
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
        self._is_finished = False

    @property
    def records(self) -> list[dict[str, Any]]:
        """Return copies of the records of all finished levels, one dict for each level.

        The keys are `level`, `density`, `density_by_weight`, `epochs` (the number of epochs trained), `step` (the
        optimizer step, not counting steps that loss scaling skipped) and `metrics` (the logs of the epoch whose weights
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
            masks=store.ticket(level).masks,
            at_k=store.state_before(level, "rewind"),
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

    def on_train_begin(self, logs: Any = None) -> None:
        if self._is_finished:
            raise ConfigError("This LotteryTicket has trained all its levels: create a new one for another `fit`.")
        tfmot_bridge.adopt(self.model)
        masks = model_masks.get_masks(self.model)
        other_callbacks.check(keras_compat.callbacks_of_fit(self), self.callbacks)
        transition = self.settings.transition(masks)
        if not self.records:
            transition.check(masks, self.settings.levels)
        optimizer = keras_compat.build_optimizer(self.model)
        super().on_train_begin(logs)
        self._store.open(self.settings.as_json(masks, transition) | {"optimizer": type(optimizer).__name__})
        if self.records:  # the model may have the masks of the level that was interrupted
            transition.check(self._store.ticket(0).masks, self.settings.levels)
        self._transition, self._optimizer = transition, optimizer
        self._held_rate = rewinding.make_rate_holdable(self.model) if self.settings.rewind == "none" else None
        self._masks: Arrays | None = masks
        if self.records:
            self._resume()
        self._has_enough_epochs: bool | None = None  # unknown until the first epoch begins

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._has_enough_epochs is None:
            epochs = self.params["epochs"] - epoch
            self._has_enough_epochs = other_callbacks.has_enough_epochs(epochs, self._epochs_needed())
        super().on_epoch_begin(epoch, logs)

    def _next_level(self) -> int | None:
        return None if self._masks is None else len(self._store.records)

    def _begin_level(self, number: int) -> None:
        self._start_weights: Arrays
        if number == 0:
            self._store.forget("rewind")  # left by an interrupted `fit`
            self._start_weights = state.weights(self.model)
            return
        self._start_weights = rewinding.begin(
            self.model,
            self._optimizer,
            self._masks,
            self._transition.start_point(number),
            read=lambda moment: self._store.state_before(number, moment, with_optimizer=self.settings.rewind == "none"),
        )

    def _reach_rewind_step(self) -> None:
        snapshot = state.capture(self.model, self._optimizer)
        self._start_weights = snapshot["weights"]
        self._store.write("rewind", Ticket({}, snapshot, {"steps_per_epoch": self.timetable.steps_per_epoch}))
        self._state_at_k = self._store.digest("rewind")

    def _end_level(self, level: Level, metrics: dict[str, Any]) -> None:
        if not self._store.has("rewind"):
            raise ConfigError(
                f"Level 0 ended after {level.epochs_trained} epochs, before step {self.timetable.rewind}, to which "
                "later levels rewind. Choose an earlier `rewind_to`, or let level 0 train longer."
            )
        final = state.weights(self.model) if level.is_restored else state.trained_weights(self.model, self._optimizer)
        record: dict[str, Any] = {
            "level": level.number,
            "density": masks_lib.density(self._masks),
            "density_by_weight": masks_lib.density_by_weight(self._masks),
            "epochs": level.epochs_trained,
            "step": keras_compat.batches_trained(self._optimizer),
            "metrics": {name: float(value) for name, value in metrics.items() if np.ndim(value) == 0},
        }
        origin = {
            "level": level.number,
            "rewind_step": self.timetable.rewind,
            "rewind": self.settings.rewind,
            "state_at_k": self._state_at_k,
        }
        ticket = Ticket(self._masks, {"rewind": self._start_weights, "final": final}, origin)
        is_continued = self.settings.rewind == "none"
        optimizer = state.capture(self.model, self._optimizer)["optimizer"] if is_continued else None
        self._store.add(record, ticket, optimizer)
        if self._held_rate is not None:
            self._held_rate.hold(record["step"] - 1)
        self.on_level_end(level.number, record)
        self._masks = self._masks_after(ticket)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = {} if logs is None else logs
        level, masks = self._level, self._masks
        super().on_epoch_end(epoch, logs)
        if level is not None:
            logs |= {"level": level.number, "density": masks_lib.density(masks)}

    def on_train_end(self, logs: Any = None) -> None:
        super().on_train_end(logs)
        if self._masks is not None and self._has_enough_epochs and not self.model.stop_training:
            keras_compat.warn(f"`fit` ended before level {len(self.records)} was finished: did its data run out?")
        if self._masks is None:  # a `fit` with no level left to train has still trained one batch: undo it
            self.restore(self.model, len(self.records) - 1)
            self._is_finished = True

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

    def _resume(self) -> None:
        """Resume after the last level that is stored."""
        length = self._store.read("rewind").metadata["steps_per_epoch"]
        if self._is_planned and length != self.timetable.steps_per_epoch:
            raise RunError(
                f"{self.directory} was created with epochs of {length} steps; this `fit` has "
                f"{self.timetable.steps_per_epoch}. Use the same data and batch size, or choose another directory."
            )
        self._plan(length)
        if self._held_rate is not None:
            self._held_rate.hold(self.records[0]["step"] - 1)
        last = self._store.ticket(len(self.records) - 1)
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
