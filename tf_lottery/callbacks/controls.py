"""What a ticket must be compared with, and which ticket to take."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tf_lottery import keras_compat
from tf_lottery.core import masks as masks_lib, seeds
from tf_lottery.core.masks import Arrays
from tf_lottery.errors import ConfigError, ModelError
from tf_lottery.masking import conversion, model_masks, state, tfmot_bridge
from tf_lottery.masking.ticket import Ticket

KINDS = ("random_mask", "reinit")


def control(
    kind: str, model: Any, ticket: Ticket, rewind: Mapping[str, Arrays], level: int, seed: int, new: Any = None
) -> Any:
    """Return a compiled model with the masks and weights that the control of a level starts from; see LotteryTicket.control.

    Args:
        kind: `"random_mask"` or `"reinit"`.
        model: The model that tickets were found in; left unchanged.
        ticket: The ticket to be compared with.
        rewind: The dense network's state at step k.
        level, seed: Name the draw of the random mask.
        new: A newly initialised model to use; default: one made from the config of `model`.

    Raises:
        ConfigError: there is no such control.
        ModelError: `model` cannot be made again from its config, or always starts with the same weights.
    """
    if kind not in KINDS:
        raise ConfigError(f"A control is one of {', '.join(KINDS)}. Received: {kind!r}")
    if new is None:
        new = conversion.copy(model)
        _compile_like(new, model)
        if kind == "reinit":
            _check_randomness(model)
    tfmot_bridge.adopt(new)
    if kind == "reinit":
        model_masks.set_masks(new, ticket.masks)
        return new
    rng = np.random.default_rng(seeds.derive(seed, "random_mask", level))
    masks = masks_lib.shuffle(ticket.masks, rng)
    state.restore(rewind, new, keras_compat.build_optimizer(new), masks)  # dense: the ticket's weights are mostly 0
    return new


def best_level(records: Sequence[Mapping[str, Any]], within: float, monitor: str | None, mode: str | None) -> int:
    """Return the last level whose metric is at most `within` worse than level 0's; see LotteryTicket.best."""
    dense = records[0]["metrics"]
    monitor = _main_metric({name for record in records for name in record["metrics"]}) if monitor is None else monitor
    if monitor is None or monitor not in dense:
        raise ConfigError(
            f"No metric {monitor!r} was measured at the end of level 0 (see `validation_freq`). "
            f"Known: {', '.join(dense) or 'none'}"
        )
    if not within >= 0 or ("accuracy" in monitor and within > 1):
        raise ConfigError(
            f"`within` is how much worse than level 0 {monitor!r} may be, at least 0 and in its own unit: 0.01 is one "
            f"percent point of an accuracy. Received: within={within!r}"
        )
    if mode not in (None, "min", "max"):
        raise ConfigError(f"`mode` must be 'min' or 'max'. Received: mode={mode!r}")
    is_loss = mode == "min" or (mode is None and any(word in monitor for word in ("loss", "error")))
    sign = -1 if is_loss else 1
    good = [r["level"] for r in records if sign * r["metrics"].get(monitor, np.nan) >= sign * dense[monitor] - within]
    return max(good, default=0)


def _main_metric(metrics: Collection[str]) -> str | None:
    accuracies = [name for name in sorted(metrics) if name.startswith("val_") and "accuracy" in name]
    names = ["val_accuracy", *accuracies, "val_loss", "accuracy", "loss"]
    return next((name for name in names if name in metrics), None)


def _compile_like(new: Any, model: Any) -> None:
    try:
        new.compile_from_config(model.get_compile_config())
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ModelError(
            "The model cannot be compiled again from its config. Give `control(…, model=…)` a new prunable model that "
            f"you have compiled. {error}"
        ) from error


def _check_randomness(model: Any) -> None:
    """Two new models must differ, or nothing is initialised anew."""
    first, second = (model_masks.prunable_weights(conversion.copy(model)) for _ in range(2))
    if fixed := [name for name, weight in first.items() if np.ptp(weight) and np.array_equal(weight, second[name])]:
        raise ModelError(f"{', '.join(fixed)} always start with the same weights: their initializers have fixed seeds.")
