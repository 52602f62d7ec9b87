"""The network of a finished unit as a Keras model."""

import os
from typing import Any

from tf_lottery import data, keras_compat, models
from tf_lottery.core import schedules
from tf_lottery.errors import RunError
from tf_lottery.experiment import config as config_lib, plan
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.masking import conversion, model_tickets


def load_network(run: Run | str | os.PathLike[str], unit: Unit, weights: str = "final") -> Any:
    """Return the network of a finished unit, with its masks and weights. Neither data nor an optimizer is needed.

    Args:
        run: The run, or its directory.
        unit: The unit.
        weights: `"final"` for the weights at the end of training, `"rewind"` for those at its start. Defaults to
            `"final"`.

    Returns:
        A prunable, uncompiled Keras model that returns logits.

    Raises:
        RunError: the run has no such unit, or the unit is not finished; the message lists those that are.
        DamageError: the file of the unit is damaged.
        TicketError: its ticket holds no such weights.

    Examples:
        >>> import tf_lottery as tfl
        >>> model = tfl.load_network("runs/digits_lenet", tfl.Unit(replicate=1, level=2))  # doctest: +SKIP
        >>> round(tfl.density(model), 2)  # doctest: +SKIP
        0.64
    """
    run = run if isinstance(run, Run) else Run.load(run)
    check_done(run, unit)
    model = _build(config_lib.variant(run.config, unit.variant))
    return model_tickets.restore_ticket(model, run.ticket(unit, model_tickets.ticket_shapes(model)), weights)


def check_done(run: Run, unit: Unit) -> None:
    """Raise RunError if a unit does not belong to the run or is not finished; the message lists what there is."""
    if not isinstance(unit, Unit):
        raise RunError(f"`unit` must be a Unit, such as Unit(replicate=1, level=5). Received: {unit!r}")
    units = plan.units(run.config)
    if unit in units and run.is_done(unit):
        return
    for field, kind in (("variant", "variants"), ("replicate", "replicates"), ("control", "controls")):
        known = dict.fromkeys(getattr(other, field) for other in units)
        if getattr(unit, field) not in known:
            names = ", ".join(str(name) for name in known if name != "") or "none"
            raise RunError(f"{run.path} has these {kind}: {names}. Received: {getattr(unit, field)!r}")
    like = [other for other in units if _without_level(other) == _without_level(unit)]
    done = ", ".join(str(other.level) for other in like if run.is_done(other)) or "none"
    raise RunError(f"{run.path} has no finished unit {unit}. Finished levels of that kind: {done}.")


def _without_level(unit: Unit) -> tuple[Any, ...]:
    return unit.replicate, unit.control, unit.variant, unit.shuffle_seed


def _build(config: Experiment) -> Any:
    """Build the prunable network of an experiment, with new weights."""
    with keras_compat.pinned_settings(config.train.precision):
        plain = models.build(config.model.name, *data.sizes(config.data.name, config.data.image_size))
        return conversion.make_prunable(plain, exclude=[schedules.parse_regex(regex) for regex in config.prune.exclude])
