"""The transition from one level to the next: which weights are pruned, and where the next level starts to train.

`callbacks.LotteryTicket` and the experiments of the command line both use these functions.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.core import controls, pruning, schedules
from tf_lottery.core.controls import CONTROLS
from tf_lottery.core.criteria import Criterion
from tf_lottery.core.masks import Arrays
from tf_lottery.core.pruning import Share
from tf_lottery.core.start_points import REWINDS, StartPoint
from tf_lottery.keras_compat import Model, Optimizer, keras
from tf_lottery.masking import state
from tf_lottery.masking.state import Optimizers, State


@dataclass(frozen=True)
class Transition:
    """Rules for the transition from one level to the next.

    Attributes:
        fraction_at: The fraction of the kept weights to remove, as a function of the level; see `fraction_schedule`.
        criterion: The name of a criterion, or a function like those of `core.criteria`.
        scope, min_density: See `core.pruning.next_masks`.
        rewind: One of `core.start_points.REWINDS`.
        reset_optimizer: Whether a level that rewinds starts with a new optimizer.
    """

    fraction_at: schedules.Schedule
    criterion: str | Criterion = "magnitude"
    scope: str = "global"
    min_density: Share | None = None
    rewind: str = "weights"
    reset_optimizer: bool = False

    def next_masks(
        self, level: int, *, initial: Arrays, trained: Arrays, masks: Arrays, seed: int
    ) -> dict[str, np.ndarray]:
        """Return the masks of a level.

        Args:
            level: The number of the level, from 1.
            initial, trained: The weights with which the previous level started and ended, by name.
            masks: The masks of the previous level.
            seed: Seed of criteria that draw random numbers.

        Raises:
            PruningError: a weight is NaN or infinite, or the criterion does not return one score for each weight.
            ExhaustedError: pruning would remove all weights of a layer; after `check`, only with `scope="global"` and
                `min_density=0`.
        """
        return pruning.next_masks(
            initial,
            trained,
            masks,
            criterion=self.criterion,
            fraction=self.fraction_at(level),
            scope=self.scope,
            rng=np.random.default_rng(seed),
            min_density=self.min_density,
        )

    def check(self, masks: Arrays, levels: int) -> None:
        """Raise PruningError if a level would run out of weights; see `core.pruning.check_levels`.

        Args:
            masks: The masks of level 0.
            levels: The number of pruned levels.
        """
        pruning.check_levels(masks, self.fraction_at, levels, scope=self.scope, min_density=self.min_density)

    def report_minimum(self, before: Arrays, masks: Arrays) -> str:
        """Return a sentence on the arrays that a level has brought to the default minimum, or `""`.

        Args:
            before, masks: The masks of the previous level and of this one.
        """
        has_default = self.scope == "global" and self.min_density is None
        return pruning.report_minimum(before, masks) if has_default else ""

    def start_point(self, level: int, control: str = "") -> StartPoint:
        """Return the start point of a level or of its control.

        For level 0, this is step k of the dense network, from which stability runs train it again.
        """
        start = CONTROLS[control] if control else REWINDS[self.rewind if level else "weights"]
        is_reset = self.reset_optimizer and start.optimizer == "rewind"
        return replace(start, optimizer="new") if is_reset else start


def fraction_schedule(fraction: Share, *, rates: Sequence[str], weight_names: Iterable[str]) -> schedules.Schedule:
    """Return a schedule: the fraction of the kept weights to remove, as a function of the level.

    Args:
        fraction: The fraction for all weights without a rate.
        rates: Different fractions for some weights, as `"regex=fraction"`; see `schedules.with_rates`. They need
            `scope="layerwise"`.
        weight_names: The names of all prunable weights.

    Raises:
        PruningError: a rate matches no weight.
    """
    return schedules.with_rates(fraction, rates, weight_names) if rates else schedules.constant(fraction)


def begin(
    model: Model,
    optimizers: Optimizers,
    masks: Arrays,
    start: StartPoint,
    *,
    read: Callable[[str], State],
    new: Arrays | None = None,
    control: str = "",
    seed: int = 0,
) -> Arrays:
    """Set a model and its optimizers to the start point of a level or a control.

    Args:
        model: A prunable model.
        optimizers: Its built optimizer, or all its optimizers by path.
        masks: The masks of the level. Pruned weights are set to +0.0.
        start: The start point, from `Transition.start_point`.
        read: A function that returns a stored state, `{"weights": …, "optimizer": …}`. `read("rewind")` returns the
            state of the dense network at step k, `read("final")` the state at the end of the previous level. Only the
            states that are needed are read. If the state at step k has the group `"start"`, new optimizers of start
            points at step 0 take their step counters and rates from it.
        new: All variables of a newly initialised network; needed by start points with new weights. Defaults to None.
        control: One of `core.controls.CONTROLS`, or `""` for the level itself. Defaults to `""`.
        seed: Seed of controls that draw random weights. Defaults to 0.

    Returns:
        The weights that the model starts with, by name.
    """
    read = functools.cache(read)
    weights: Arrays
    if control:
        weights = controls.start_weights(control, read("rewind")["weights"], masks, seed=seed, new=new)
    else:
        weights = (new or {}) if start.weights == "new" else read(start.weights)["weights"]
    if start.optimizer != "new":
        full = {**read(start.optimizer), "weights": weights}
        if start.optimizer == "final":  # which goes on as it is
            full = {"unlisted": state.unlisted(model)} | full
        return state.restore(full, model, optimizers, masks)
    written = state.set_weights(weights, model, masks)
    if start.weights == "rewind" or (start.weights == "final" and "unlisted" in read("final")):
        state.set_unlisted(read(start.weights), model)
    clock: Arrays | None = None
    if control or not start.at_zero:
        clock = read("rewind").get("start") if start.at_zero else read("rewind")["optimizer"]
    state.restore_optimizer(state.new_optimizer_state(model, optimizers, clock), optimizers)
    return written


@keras.saving.register_keras_serializable(package="tf_lottery")
class HoldableRate(keras.optimizers.schedules.LearningRateSchedule):
    """Follow another learning rate schedule up to a step, then hold the rate of that step.

    Fine-tuning trains later levels at the learning rate with which the first level ended.

    Args:
        schedule: The schedule to follow.
        last_step: The step whose rate is held. Defaults to None: no rate is held until `hold` is called.
    """

    def __init__(self, schedule: Any, last_step: int | None = None):
        self.schedule = schedule
        self._last_step = tf.Variable(tf.int64.max if last_step is None else last_step, dtype=tf.int64, trainable=False)

    def hold(self, last_step: int) -> None:
        """Hold the rate of `last_step` from now on, unless the rate of an earlier step is already held."""
        self._last_step.assign(min(last_step, int(self._last_step.numpy())))

    def __call__(self, step: Any) -> Any:
        return self.schedule(tf.minimum(tf.cast(step, tf.int64), self._last_step))

    def get_config(self) -> dict[str, Any]:
        last_step = int(self._last_step.numpy())
        held = None if last_step == tf.int64.max else last_step
        return {"schedule": keras.optimizers.schedules.serialize(self.schedule), "last_step": held}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "HoldableRate":
        return cls(keras.optimizers.schedules.deserialize(config["schedule"]), config["last_step"])


def make_rates_holdable(model: Model, optimizers: Mapping[str, Optimizer]) -> dict[str, list[HoldableRate]]:
    """Replace each learning rate schedule of a model's optimizers by a HoldableRate that follows it.

    Call it from a running `fit`, before its first step.

    Returns:
        The HoldableRates by path of the optimizer. Rates that follow no schedule are constant anyway.
    """
    found: dict[str, list[HoldableRate]] = {}
    is_new = False
    for path, optimizer in optimizers.items():
        for plain, schedule in keras_compat.schedules_of(optimizer):
            if not isinstance(schedule, HoldableRate):
                plain.learning_rate = schedule = HoldableRate(schedule)
                is_new = True
            found.setdefault(path, []).append(schedule)
    if is_new:
        keras_compat.retrace_training(model)
    return found


def written_rates(optimizers: Mapping[str, Optimizer]) -> Any:
    """Return the learning rates of optimizers as JSON values: numbers, or the configs of schedules.

    A single rate is returned itself; several are returned by path and number.
    """
    rates = {
        f"{path}/{number}": _written(rate)
        for path, optimizer in optimizers.items()
        for number, rate in enumerate(keras_compat.learning_rates(optimizer))
    }
    return next(iter(rates.values())) if len(rates) == 1 else rates


def _written(rate: Any) -> Any:
    if isinstance(rate, HoldableRate):
        return _written(rate.schedule)
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return keras.optimizers.schedules.serialize(rate)
    return float(rate.numpy()) if hasattr(rate, "numpy") else getattr(rate, "__qualname__", type(rate).__qualname__)
