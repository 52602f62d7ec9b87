"""ScheduledPruning: gradual pruning in one training run, by a schedule such as those of tfmot."""

import inspect
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.callbacks import other_callbacks
from tf_lottery.callbacks.averages import Zeros
from tf_lottery.core import masks as masks_lib, pruning
from tf_lottery.core.criteria import Criterion
from tf_lottery.core.masks import Arrays
from tf_lottery.core.pruning import criterion_named
from tf_lottery.errors import PruningError
from tf_lottery.keras_compat import Optimizer, keras
from tf_lottery.masking import model_masks, tfmot_bridge

Schedule = Callable[[Any], tuple[Any, Any]]

_LOOK_AHEAD = 1000  # steps


class ScheduledPruning(keras.callbacks.Callback):
    """Prunes a model while it trains, to the sparsities of a schedule.

    If the schedule prunes at step s, the masks reach its sparsity before step s runs (the first step is 0), or, with
    `steps_per_execution` > 1, after the first execution that ends at or after s. Counts are exact: of all prunable
    weights `round(size * (1 - sparsity))` stay, and at least one of each array; a warning names arrays of which global
    pruning leaves no more. Unlike in tfmot, pruned weights never return: a sparsity below the current one changes
    nothing. The logs of each epoch get the entry `density`.

    Steps are batches. A `fit` begins at the step that the compiled optimizer has reached, so a second `fit`, or one
    with a restored optimizer, continues in the schedule.

    Args:
        schedule: `tfmot.sparsity.keras.PolynomialDecay`, `ConstantSparsity`, a `PruningSchedule` of your own, or any
            function `schedule(step) -> (should_prune, sparsity)`. It is called for 1000 steps ahead. A sparsity is read
            as the shortest decimal for its float32: 0.9 is exactly nine tenths.
        scope: `"layerwise"` brings each weight array to the sparsity, `"global"` all together. Defaults to
            `"layerwise"`.
        criterion: The name of a criterion in `tfl.criteria.CRITERIA`, or a function `(initial, trained, rng) -> scores`
            of arrays by weight name; the highest scores are kept. `initial` are the weights at the start of `fit`.
            Defaults to `"magnitude"`.
        seed: Seed of criteria that draw random numbers. Defaults to 0.

    Raises:
        PruningError: an argument is invalid; in `fit`: the schedule returns no pair, or a sparsity that is not in
            [0, 1), or a weight is NaN.
        ConfigError: in `fit`: another callback prunes, too.
        ModelError: in `fit`: the model has no masks, or tfmot has wrapped it with a pattern or several schedules.

    Source:
        Zhu, Gupta 2017 (arXiv 1710.01878), section 3, with tfmot's `PolynomialDecay`.

    Examples:
        >>> import numpy as np
        >>> import tf_lottery as tfl
        >>> x, y = np.random.rand(64, 8, 8, 1), np.random.rand(64, 10)
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> model.compile("adam", "mse")
        >>> pruning = tfl.callbacks.ScheduledPruning(lambda step: (step == 2, 0.75))  # once, before step 2
        >>> history = model.fit(x, y, batch_size=16, callbacks=[pruning], verbose=0)
        >>> tfl.density(model)
        0.25
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        scope: str = "layerwise",
        criterion: str | Criterion = "magnitude",
        seed: int = 0,
    ):
        super().__init__()
        _check_schedule(schedule)
        if scope not in pruning.SCOPES:
            raise PruningError(f"`scope` must be one of {', '.join(pruning.SCOPES)}. Received: scope={scope!r}")
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
            raise PruningError(f"`seed` must be a whole number, at least 0. Received: seed={seed!r}")
        self.schedule = schedule
        self.scope = scope
        self.criterion = criterion_named(criterion)
        self.seed = seed
        self._supports_tf_logs = True  # otherwise legacy Keras fetches the metrics of every batch

    def on_train_begin(self, logs: Any = None) -> None:
        others = keras_compat.callbacks_of_fit(self)
        other_callbacks.refuse_second_pruner(others)
        other_callbacks.warn_of_restored_weights(others)
        tfmot_bridge.refuse_patterns(self.model)
        tfmot_bridge.adopt(self.model)
        self._initial = model_masks.prunable_weights(self.model)
        self._look_ahead = _look_ahead(self.schedule)
        self._done = -1
        self._zeros = Zeros(self.model)
        self._count_at_end: tuple[Optimizer | None, int] | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        count, before = self._count(), self._count_at_end
        is_set_back = before is not None and before[0] is count[0] and before[1] != count[1]
        if self._done >= 0 and not is_set_back:
            # Not the count: a model may have several optimizers, or train several times on a batch.
            self._start = self._done
            return
        self._start = count[1]
        self._planned: dict[int, np.float32] = {}
        self._planned_to = self._start
        self._catch_up(self._start)

    def _count(self) -> tuple[Optimizer | None, int]:
        """Return the compiled optimizer, and how many batches it has seen."""
        optimizer = getattr(self.model, "optimizer", None)
        return optimizer, 0 if optimizer is None else keras_compat.batches_trained(optimizer)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._done = self._start + batch + 1
        if self._done >= self._next:
            self._catch_up(self._done)

    def on_test_begin(self, logs: Any = None) -> None:
        self._zeros.keep()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._zeros.keep()
        self._count_at_end = self._count()
        if logs is not None:
            logs["density"] = model_masks.density(self.model)

    def on_train_end(self, logs: Any = None) -> None:
        self._zeros.keep()  # Keras has written them over the weights

    def _catch_up(self, done: int) -> None:
        """Prune to the largest sparsity of the steps up to `done`, and look up the next step that prunes."""
        while self._planned_to <= done:
            self._planned |= self._look_ahead(self._planned_to)
            self._planned_to += _LOOK_AHEAD
        due = [self._planned.pop(step) for step in sorted(self._planned) if step <= done]
        self._next = min(self._planned, default=self._planned_to)
        if due:
            self._prune(max(map(_exact, due)), done)

    def _prune(self, sparsity: Fraction, step: int) -> None:
        masks = model_masks.get_masks(self.model)
        share: Fraction | dict[str, Fraction]
        if self.scope == "global":
            share = _share_to_remove(masks, sparsity)
        else:
            share = {name: _share_to_remove({name: mask}, sparsity) for name, mask in masks.items()}
        weights, rng = model_masks.prunable_weights(self.model), np.random.default_rng((self.seed, step))
        scores = self.criterion(self._initial, weights, rng)
        minimum = None if self.scope == "global" else 0
        pruned = pruning.prune(scores, masks, share, scope=self.scope, min_density=minimum)
        if self.scope == "global" and (names := pruning.report_minimum(masks, pruned)):
            keras_compat.warn(f"Step {step}: {names}")
        model_masks.set_masks(self.model, pruned)


def _check_schedule(schedule: Any) -> None:
    """Raise PruningError for what cannot be a schedule: not a function of one argument, or meant for something else."""
    others = (keras.layers.Layer, keras.optimizers.schedules.LearningRateSchedule)
    if (
        not callable(schedule)
        or inspect.isclass(schedule)
        or isinstance(schedule, others)
        or not _takes_a_step(schedule)
    ):
        raise PruningError(
            f"`schedule` must be a function `schedule(step) -> (should_prune, sparsity)`. Received: {schedule!r}"
        )


def _takes_a_step(schedule: Schedule) -> bool:
    try:
        inspect.signature(schedule).bind(0)
    except TypeError:
        return False
    except ValueError:  # a function of C has no signature
        return True
    return True


def _share_to_remove(masks: Arrays, sparsity: Fraction) -> Fraction:
    """Return the share of the kept weights to remove to reach `sparsity`; 0 if it is reached already."""
    size, kept = sum(mask.size for mask in masks.values()), masks_lib.kept(masks)
    target = max(round(size * (1 - sparsity)), sum(bool(mask.any()) for mask in masks.values()))
    return Fraction(kept - target, kept) if kept > target else Fraction(0)


def _exact(sparsity: np.float32) -> Fraction:
    if not 0 <= sparsity < 1:
        raise PruningError(f"A schedule must return sparsities in [0, 1). Received: sparsity={sparsity}")
    return Fraction(str(sparsity))


def _look_ahead(schedule: Schedule) -> Callable[[int], Mapping[int, np.float32]]:
    """Return a function from a step to the steps, from it on, at which to prune, and their sparsities."""
    try:
        ask = _ask_at_once(schedule)
    except Exception:  # It may not work with tensors; an error of its own is raised again with plain numbers.
        ask = _ask_one_by_one(schedule)

    def sparsities(start: int) -> dict[int, np.float32]:
        should_prune, sparsity = map(np.asarray, ask(start))
        return {start + int(offset): sparsity[offset] for offset in np.flatnonzero(should_prune)}

    return sparsities


def _ask_at_once(schedule: Schedule) -> Any:
    def ask(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        should_prune, sparsity = schedule(step)
        return tf.cast(should_prune, tf.bool), tf.cast(sparsity, tf.float32)

    # In plain Python a schedule of tfmot takes 40 times as long.
    @tf.function(input_signature=[tf.TensorSpec((), tf.int64)], autograph=False)
    def ask_all(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        steps = start + tf.range(_LOOK_AHEAD, dtype=tf.int64)
        scope = tf.compat.v1.get_variable_scope()
        try:
            return tf.map_fn(ask, steps, fn_output_signature=(tf.bool, tf.float32))
        finally:  # A map_fn that fails leaves a caching device, with which no strategy can be entered any more.
            scope.set_caching_device(None)

    ask_all.get_concrete_function()
    return ask_all


def _ask_one_by_one(schedule: Schedule) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    def ask(step: int) -> tuple[Any, Any]:
        answer = schedule(step)
        try:
            should_prune, sparsity = answer
        except (TypeError, ValueError):
            raise PruningError(
                f"`schedule` must return a pair (should_prune, sparsity). Received, for step {step}: {answer!r}"
            ) from None
        return should_prune, sparsity

    def ask_all(start: int) -> tuple[np.ndarray, np.ndarray]:
        should_prune, sparsity = zip(*map(ask, range(start, start + _LOOK_AHEAD)), strict=True)
        return np.array(should_prune, bool), np.array(sparsity, np.float32)

    return ask_all
