"""Comparisons of a ticket: the models of its controls, and the choice of the best level."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tf_lottery import keras_compat, rewinding
from tf_lottery.callbacks import averages
from tf_lottery.callbacks.compilation import Compilation
from tf_lottery.core import controls, seeds
from tf_lottery.core.controls import CONTROLS
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import ConfigError, ModelError
from tf_lottery.keras_compat import Model
from tf_lottery.masking import conversion, model_masks, naming, state, tfmot_bridge
from tf_lottery.masking.ticket import Ticket
from tf_lottery.masking.unlisted import GLOBAL_SEED, unlisted_variables
from tf_lottery.rewinding import Transition

# In the names of metrics; those of Keras and their short forms.
_WORDS = {
    "min": (
        *("loss", "error", "mse", "mae", "mape", "msle", "rmse", "crossentropy", "divergence", "hinge", "poisson"),
        *("logcosh", "log_cosh", "huber", "perplexity", "false_positives", "false_negatives", "kld"),
    ),
    "max": (
        *(
            "acc",
            "accuracy",
            "auc",
            "precision",
            "recall",
            "iou",
            "io_u",
            "f1",
            "f1_score",
            "fbeta_score",
            "f_beta_score",
            "r2_score",
            "bleu",
        ),
        *("cosine_similarity", "true_positives", "true_negatives", "specificity", "sensitivity"),
    ),
}


def control_model(
    kind: str,
    level: int,
    *,
    like: Model | None,
    compiled: Mapping[str, Compilation],
    masks: Arrays,
    at_k: Ticket,
    transition: Transition,
    seed: int,
    new: Model | None = None,
) -> Model:
    """Return a compiled model that is ready to train as a control of a level; see `LotteryTicket.control`.

    Args:
        kind: One of `core.controls.CONTROLS`.
        level: The level whose ticket is compared. Random numbers depend on it and on `seed`.
        like: The model in which the tickets were found. Left unchanged.
        compiled: How it was compiled when the dense network began to train (`"start"`) and at step k (`"rewind"`).
        masks: The masks of the ticket.
        at_k: The state of the dense network at step k, as it is stored.
        transition: The transition between levels that made the ticket.
        seed: The seed of the LotteryTicket.
        new: A newly initialised model to use. Defaults to None: a model is created from the config of `like`.

    Raises:
        ConfigError: there is no such control.
        ModelError: `like` cannot be recreated from its config, or is always initialised with the same weights.
    """
    if kind not in CONTROLS:
        raise ConfigError(f"`kind` must be one of {', '.join(CONTROLS)}. Received: kind={kind!r}")
    start = transition.start_point(level, kind)
    if new is None:
        new = _new_like(like)
        compiled["start" if start.at_zero else "rewind"].compile_like(new)
        if start.weights == "new":
            _check_randomness(like)
    tfmot_bridge.adopt(new)
    if kind == "random_mask":
        masks = controls.random_mask(masks, seeds.derive(seed, "random_mask", level))
    if start.at_zero and not keras_compat.owned_optimizers(new):  # nobody has compiled it yet
        initial = _initial_weights(new, at_k.weights["weights"])
        weights = controls.start_weights(kind, at_k.weights["weights"], masks, seed=seed, new=initial)
        state.set_weights(weights, new, masks)
        return new
    optimizers = keras_compat.build_optimizers(new)
    state.build_optimizers(new, optimizers, at_k.metadata.get("built_on", {}))
    state.exempt_from_decay(new, optimizers, at_k.metadata)
    _warn_of_shared_state(new, like)
    if averages.exist(new):
        keras_compat.warn(
            "The optimizer of this control averages weights (`use_ema`). When its `fit` ends, Keras writes the "
            "averages into it, in which pruned weights are not 0: call `tfl.apply_masks(control)` before you evaluate."
        )
    rewinding.begin(
        new,
        optimizers,
        masks,
        start,
        read=lambda moment: at_k.weights,
        new=_initial_weights(new, at_k.weights["weights"]) if start.weights == "new" else None,
        control=kind,
        seed=seeds.derive(seed, "treatment", level),
    )
    return new


def _warn_of_shared_state(new: Model, like: Model | None) -> None:
    """Warn of variables outside both models that both use: a control sets them back to step k."""
    if like is None or like is new:
        return
    known = {id(variable) for variable in unlisted_variables(like).values()}
    shared = [name for name, variable in unlisted_variables(new).items() if id(variable) in known]
    if named := [name for name in shared if name != GLOBAL_SEED]:
        keras_compat.warn(
            f"The control uses the same {', '.join(named)} as the model of `fit`, and sets it back to step k: train "
            "and evaluate one after the other, or give each model its own."
        )


def _initial_weights(new: Model, at_k: Arrays) -> Arrays:
    """Return the weights of a new model; frozen layers have those of the dense network, because they cannot learn."""
    return state.weights(new) | {name: at_k[name] for name in naming.frozen_variables(new) if name in at_k}


def best_level(records: Sequence[Mapping[str, Any]], within: float, monitor: str | None, mode: str | None) -> int:
    """Return the last level whose metric is at most `within` worse than that of level 0; see `LotteryTicket.best`."""
    dense = records[0]["metrics"]
    monitor = _main_metric({name for record in records for name in record["metrics"]}) if monitor is None else monitor
    if monitor is None:
        raise ConfigError(
            "`best` does not know which metric to compare: level 0 measured no accuracy and no loss. Choose one, as in "
            f"`best(monitor=…, mode='min')`. Measured: {', '.join(dense) or 'nothing'}"
        )
    if monitor not in dense:
        raise ConfigError(
            f"No metric {monitor!r} was measured at the end of level 0 (see `validation_freq`). "
            f"Known: {', '.join(dense) or 'none'}"
        )
    if not within >= 0 or ("accuracy" in monitor and within > 1):
        raise ConfigError(
            f"`within` is how much worse than level 0 {monitor!r} may be, at least 0 and in its own unit: 0.01 is one "
            f"percentage point of an accuracy. Received: within={within!r}"
        )
    if mode not in (None, "min", "max"):
        raise ConfigError(f"`mode` must be 'min' or 'max'. Received: mode={mode!r}")
    sign = {"min": -1, "max": 1}[mode or _direction(monitor)]
    good = [r["level"] for r in records if sign * r["metrics"].get(monitor, np.nan) >= sign * dense[monitor] - within]
    return max(good, default=0)


def _direction(metric: str) -> str:
    """Return `"max"` or `"min"` for a metric that Keras names; raise ConfigError for others."""
    for mode, words in _WORDS.items():
        if re.search(rf"(\A|_)({'|'.join(words)})(_|\Z)", metric):
            return mode
    raise ConfigError(
        f"`best` does not know whether {metric!r} is better if it is larger: write `mode='max'` or `mode='min'`."
    )


def _main_metric(metrics: Collection[str]) -> str | None:
    accuracies = [name for name in sorted(metrics) if name.startswith("val_") and "accuracy" in name]
    names = ["val_accuracy", *accuracies, "val_loss", "accuracy", "loss"]
    return next((name for name in names if name in metrics), None)


def _new_like(model: Model) -> Model:
    try:
        return conversion.new_like(model)
    except ModelError as error:
        raise ModelError(
            "A control needs a new model: give `control(…, model=…)` a prunable one that you have compiled. "
            + str(error)
        ) from error


def _check_randomness(model: Model) -> None:
    """Raise ModelError if two new models start with the same weights: they would not be reinitialised."""
    first, second = (model_masks.prunable_weights(conversion.new_like(model)) for _ in range(2))
    if fixed := [name for name, weight in first.items() if np.ptp(weight) and np.array_equal(weight, second[name])]:
        raise ModelError(f"{', '.join(fixed)} always start with the same weights: their initializers have fixed seeds.")
