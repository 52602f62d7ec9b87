"""tf_lottery: finds lottery tickets, small subnetworks that train as well as the whole network, in Keras models.

Names are imported when they are first used, because Keras takes seconds to import and much here does without it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `as`: exported, not only used here
    from tf_lottery import (
        callbacks as callbacks,
        data as data,
        errors as errors,
        export as export,
        models as models,
    )
    from tf_lottery.core import criteria as criteria, schedules as schedules
    from tf_lottery.experiment.find_tickets import find_tickets as find_tickets
    from tf_lottery.experiment.load_network import load_network as load_network
    from tf_lottery.experiment.storage import Run as Run, Unit as Unit
    from tf_lottery.export.compaction import compact as compact
    from tf_lottery.masking import tfmot_bridge as tfmot_bridge
    from tf_lottery.masking.conversion import (
        copy as copy,
        load_model as load_model,
        make_prunable as make_prunable,
        strip_pruning as strip_pruning,
    )
    from tf_lottery.masking.model_masks import (
        apply_masks as apply_masks,
        density as density,
        density_by_weight as density_by_weight,
        get_masks as get_masks,
        set_masks as set_masks,
    )
    from tf_lottery.masking.model_tickets import load_ticket as load_ticket, restore_ticket as restore_ticket
    from tf_lottery.masking.prunable import Prunable as Prunable, register_prunable as register_prunable
    from tf_lottery.masking.ticket import Ticket as Ticket, save_ticket as save_ticket
    from tf_lottery.training.topology import Topology as Topology

__version__ = "0.2.0.dev0"

_MODULE_OF = {
    "Prunable": "masking.prunable",
    "Run": "experiment.storage",
    "Ticket": "masking.ticket",
    "Topology": "training.topology",
    "Unit": "experiment.storage",
    "apply_masks": "masking.model_masks",
    "compact": "export.compaction",
    "copy": "masking.conversion",
    "density": "masking.model_masks",
    "density_by_weight": "masking.model_masks",
    "find_tickets": "experiment.find_tickets",
    "get_masks": "masking.model_masks",
    "load_model": "masking.conversion",
    "load_network": "experiment.load_network",
    "load_ticket": "masking.model_tickets",
    "make_prunable": "masking.conversion",
    "register_prunable": "masking.prunable",
    "restore_ticket": "masking.model_tickets",
    "save_ticket": "masking.ticket",
    "set_masks": "masking.model_masks",
    "strip_pruning": "masking.conversion",
}

_MODULES = {
    "callbacks": "callbacks",
    "criteria": "core.criteria",
    "data": "data",
    "errors": "errors",
    "export": "export",
    "models": "models",
    "schedules": "core.schedules",
    "tfmot_bridge": "masking.tfmot_bridge",
}

__all__ = [*_MODULE_OF, *_MODULES]


if not TYPE_CHECKING:  # or a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f"{__name__}.{_MODULES[name]}")
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
