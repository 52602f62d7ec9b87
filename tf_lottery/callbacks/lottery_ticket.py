"""Iterative magnitude pruning with rewinding, in anyone's `model.fit`."""

import copy
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tf_lottery import keras_compat
from tf_lottery.callbacks import controls, held_rate, other_callbacks
from tf_lottery.callbacks.level_store import LevelStore
from tf_lottery.callbacks.levels_in_fit import Level, LevelsInFit
from tf_lottery.callbacks.rewinding import REWINDS, Start
from tf_lottery.callbacks.settings import Settings
from tf_lottery.core import masks as masks_lib, schedules, seeds
from tf_lottery.core.criteria import Criterion
from tf_lottery.core.masks import Arrays
from tf_lottery.core.pruning import Share, next_masks
from tf_lottery.errors import ConfigError, ExhaustedError, RunError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import model_masks, model_tickets, state, tfmot_bridge
from tf_lottery.masking.ticket import Ticket


class LotteryTicket(LevelsInFit):
    """Finds lottery tickets: trains, prunes, rewinds and trains again, level by level, in one `fit`.

    Level 0 is the dense network. It is trained for `epochs_per_level` epochs; its full state at step k is kept. At a
    level's end the smallest weights are pruned; the next level starts with the others, and with everything else that
    training changes, at step k, and trains to where level 0 ends if nothing stops it early (Frankle et al. 2019, arXiv
    1903.01611, Algorithm 1). What a callback cannot set back is the position in your data and the order in which `fit`
    shuffles it: a level begins with a new pass (legacy Keras goes on in arrays where the first epoch of the level
    before was cut short, if k is not where an epoch begins). Not rewound either are optimizers besides the compiled
    one, and what layers draw from a global random state instead of a seed generator of their own.

    Args:
        levels: Number of prunings; levels 0 to `levels` are trained.
        fraction: Share of the kept weights that each level removes, in [0, 1); or a function of the level, such as
            `tfl.schedules.to_target_density(0.05, levels=10)` or `tfl.schedules.one_shot(0.05)`. Default 0.2.
        epochs_per_level: Epochs of level 0. The others begin in the epoch of step k.
        rates: Other shares for some weights, by regex searched in the weight name: `{"^output/": 0.1}`. Needs
            `scope="layerwise"`.
        scope: `"global"` (default) ranks all weights together, `"layerwise"` each by itself.
        criterion: What is kept: `"magnitude"` (default), another of `tfl.criteria.CRITERIA`, or a function
            `(initial, trained, rng) -> scores`, all by weight name.
        rewind: `"weights"` (default, the paper): back to step k with everything. `"learning_rate"`: weights stay, step
            counter and learning rate go back to k, slots start afresh. `"none"`: fine-tuning, everything stays, the
            learning rate is held and epochs are counted on. All train as many steps.
        rewind_to: Step k: `"500it"`, `"2ep"`, or a number of steps. Default 0.
        reset_optimizer: Start levels with fresh optimizer slots instead of those of step k.
        min_density: Share of each weight array that global pruning leaves. Without it, `fit` ends before a level that
            would leave nothing of a layer.
        callbacks: Keras callbacks that live one level each: they see the epochs of one training and can end a level.
            Those that you give to `fit` itself act on the whole of it; there is the place of those that write files.
        directory: Where to keep everything: `level_02.tfl` and the like, tickets that `tfl.load_ticket` reads. The same
            script run again goes on with the level that was not finished; before, the finished levels are there to look
            at. Whether data and learning rate are the same is for you to see to. Several workers need one each.
        seed: For the criteria and controls that draw.

    `records` has one dict a finished level: `level`, `density`, `density_by_weight`, `epochs` (that it was trained;
    after level 0 they begin in the epoch of step k), `step` (the optimizer's count, without the steps that a loss scale
    has skipped) and `metrics` (the logs of the epoch whose weights the ticket has).

    Raises:
        LotteryError: an argument is impossible; or, when `fit` begins, does not fit the model or the other callbacks.

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
        callbacks: Sequence[Any] = (),
        directory: str | os.PathLike[str] | None = None,
        seed: int = 0,
    ):
        levels, epochs_per_level, rewind_to, seed = map(_plain, (levels, epochs_per_level, rewind_to, seed))
        callbacks = [callbacks] if isinstance(callbacks, keras.callbacks.Callback) else callbacks
        super().__init__(epochs_per_level, rewind_to, counts_on=rewind == "none", callbacks=callbacks)
        self.settings = Settings(
            levels,
            fraction,
            epochs_per_level,
            rates,
            scope,
            criterion,
            rewind,
            rewind_to,
            reset_optimizer,
            min_density,
            seed,
        )
        self.directory = directory
        self._store = LevelStore(directory)
        self._has_found_all = False

    @property
    def records(self) -> list[dict[str, Any]]:
        """The finished levels, copies."""
        return copy.deepcopy(self._store.records)

    @property
    def total_epochs(self) -> int:
        """Epochs that `fit` needs at most; it ends by itself when the last level is done."""
        return (self.settings.levels + 1) * self.epochs_per_level

    def to_frame(self) -> pd.DataFrame:
        """Return one row a finished level: level, density, epochs, step, and its metrics; see `records`."""
        columns = ("level", "density", "epochs", "step")
        rows = [{name: record[name] for name in columns} | record["metrics"] for record in self.records]
        return pd.DataFrame(rows, columns=None if rows else columns)

    def ticket(self, level: int) -> Ticket:
        """Return the ticket of a finished level: its masks, and the weights `"rewind"` (it started with) and `"final"`.

        Level 0's `"rewind"` weights are W_k, those of the dense network at step k.

        Args:
            level: Its number; 0 is the dense network.

        Raises:
            ConfigError: no level is done yet.
            TicketError: there is no such level.
        """
        return self._done().ticket(level)

    def restore(self, model: Any, level: int, weights: str = "final") -> Any:
        """Give `model` the masks and weights of a finished level; see `tfl.restore_ticket`.

        Args:
            model: The model of `fit`, or another prunable one of its architecture.
            level: A finished level.
            weights: `"final"` for those at its end, `"rewind"` for those that it started with.

        Returns:
            `model`.
        """
        return model_tickets.restore_ticket(model, self.ticket(level), weights)

    def best(self, within: float = 0.0, monitor: str | None = None, mode: str | None = None) -> int:
        """Return the sparsest level that is as good as the dense network.

        Args:
            within: How much worse than level 0 it may be, at least 0, in the metric's own unit: 0.01 is one percent
                point of an accuracy.
            monitor: Name of the metric. Default: the first of `val_accuracy`, other `val_…accuracy`, `val_loss`,
                `accuracy`, `loss` that was measured.
            mode: `"max"` or `"min"`. Default: `"min"` for losses and errors, else `"max"`.

        Returns:
            The number of the level; 0 where no ticket is as good.

        Raises:
            ConfigError: there is no such metric, or `within` is impossible.
        """
        self._done()
        return controls.best_level(self.records, within, monitor, mode)

    def control(self, kind: str, level: int, model: Any = None) -> Any:
        """Return a model ready to `fit` that a winning ticket has to beat; see the README for the comparison.

        Args:
            kind: `"random_mask"`: as many weights in each layer, chosen at random, with the dense network's weights and
                optimizer state at step k, to be trained from there. `"reinit"`: the ticket's masks on a new random
                initialisation, to be trained from step 0.
            level: A finished level.
            model: Another prunable, compiled, newly initialised model to use; needed where the model of `fit` cannot be
                made again from its config.

        Returns:
            A new compiled model, or `model`.

        Raises:
            ConfigError: an unknown kind, or no `fit` yet in this process.
            ModelError: the model cannot be made again, or always starts with the same weights.

        Source:
            Frankle, Dziugaite, Roy, Carbin 2019 (arXiv 1903.01611), section 3; Frankle, Carbin 2019 (arXiv 1803.03635),
            section 2.
        """
        store = self._done()
        if self.model is None and model is None:
            raise ConfigError(
                "There was no `fit` yet in this process: give `control(…, model=…)` a new prunable model."
            )
        rewind = store.read("rewind").weights
        return controls.control(kind, self.model, store.ticket(level), rewind, level, self.settings.seed, model)

    def on_level_end(self, level: int, record: dict[str, Any]) -> None:
        """Called when a level is trained and kept, before the next one; for subclasses.

        Args:
            level: Its number.
            record: Its entry in `records`.
        """

    def on_train_begin(self, logs: Any = None) -> None:
        if self._has_found_all:
            raise ConfigError("This LotteryTicket has found all its levels: make a new one for another `fit`.")
        tfmot_bridge.adopt(self.model)
        masks = model_masks.get_masks(self.model)
        other_callbacks.check(keras_compat.other_callbacks(), self.callbacks)
        fraction_at = self.settings.schedule(masks)
        optimizer = keras_compat.build_optimizer(self.model)
        super().on_train_begin(logs)
        self._store.open(self.settings.as_json(masks) | {"optimizer": type(optimizer).__name__})
        self._fraction_at, self._optimizer = fraction_at, optimizer
        self._held = held_rate.make_holdable(self.model) if self.settings.rewind == "none" else None
        self._masks: Arrays | None = masks
        if self.records:
            self._resume()
        self._has_room: bool | None = None  # not known before `fit` has told its first epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._has_room is None:
            self._has_room = other_callbacks.has_room(self.params["epochs"] - epoch, self._epochs_needed())
        super().on_epoch_begin(epoch, logs)

    def _next_level(self) -> int | None:
        return None if self._masks is None else len(self._store.records)

    def _begin_level(self, number: int) -> None:
        if number:
            rewind, before = self._store.read("rewind").weights, self._store.ticket(number - 1)
            optimizer = self._store.optimizer(number - 1) if self.settings.rewind == "none" else {}
            start = Start(self._masks, rewind, before.weights["final"], optimizer, self.settings.reset_optimizer)
            self._start = REWINDS[self.settings.rewind](self.model, self._optimizer, start)
        else:
            self._store.forget("rewind")  # of a fit that was broken off
            self._start = state.weights(self.model)

    def _reach_rewind_step(self) -> None:
        snapshot = state.capture(self.model, self._optimizer)
        self._start = snapshot["weights"]
        self._store.write("rewind", Ticket({}, snapshot, {"steps_per_epoch": self.table.steps_per_epoch}))
        self._state_at_k = self._store.digest("rewind")

    def _end_level(self, level: Level, metrics: dict[str, Any]) -> None:
        if not self._store.has("rewind"):
            raise ConfigError(
                f"Level 0 was ended after {level.epochs_trained} epochs, before step {self.table.rewind} that levels "
                "rewind to. Choose an earlier `rewind_to`, or stop later."
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
            "rewind_step": self.table.rewind,
            "rewind": self.settings.rewind,
            "state_at_k": self._state_at_k,
        }
        ticket = Ticket(self._masks, {"rewind": self._start, "final": final}, origin)
        goes_on = self.settings.rewind == "none"
        self._store.add(record, ticket, state.capture(self.model, self._optimizer)["optimizer"] if goes_on else None)
        if self._held is not None:
            self._held.hold(record["step"] - 1)
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
        if self._masks is not None and self._has_room and not self.model.stop_training:
            keras_compat.warn(f"`fit` ended before level {len(self.records)} was done: did its data run out?")
        if self._masks is None:  # what came after the last level's end (a fit that had nothing to do) is undone
            self.restore(self.model, len(self.records) - 1)
            self._has_found_all = True

    def _masks_after(self, ticket: Ticket) -> dict[str, np.ndarray] | None:
        """Return the masks of the level after a ticket's; None if there is to be none."""
        level = len(self._store.records)
        if level > self.settings.levels:
            return None
        rng = np.random.default_rng(seeds.derive(self.settings.seed, "criterion", level))
        try:
            return next_masks(
                ticket.weights["rewind"],
                ticket.weights["final"],
                ticket.masks,
                criterion=self.settings.criterion,
                fraction=self._fraction_at(level),
                scope=self.settings.scope,
                rng=rng,
                min_density=self.settings.min_density or 0,
            )
        except ExhaustedError as error:
            keras_compat.warn(f"The run ends with level {level - 1}: level {level} {error}")
            return None

    def _resume(self) -> None:
        """Go on after the last level of the directory."""
        length = self._store.read("rewind").metadata["steps_per_epoch"]
        if self._is_planned and length != self.table.steps_per_epoch:
            raise RunError(
                f"{self.directory} was made with epochs of {length} steps; this fit has {self.table.steps_per_epoch}. "
                "Give it the same data and batch size, or choose another directory."
            )
        self._plan(length)
        if self._held is not None:
            self._held.hold(self.records[0]["step"] - 1)
        last = self._store.ticket(len(self.records) - 1)
        self._state_at_k = last.metadata["state_at_k"]
        self._masks = self._masks_after(last)

    def _done(self) -> LevelStore:
        if not self.records:
            raise ConfigError("No level is done yet: call `model.fit(…, callbacks=[tickets])` first.")
        return self._store

    def _epochs_needed(self) -> int:
        if self._masks is None:
            return 0
        levels = range(len(self.records), self.settings.levels + 1)
        return sum(len(self.table.epochs_of(level)) for level in levels) if self._is_planned else self.total_epochs


def _plain(number: Any) -> Any:
    """Python's own int for NumPy's; anything else as it is."""
    return int(number) if isinstance(number, np.integer) else number
