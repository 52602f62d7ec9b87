"""tf_lottery: finds lottery tickets, small subnetworks that train as well as the whole network, in Keras models.

Names are imported when they are first used, because Keras takes seconds to import and much here does without it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tf_lottery import callbacks, data, export, models
    from tf_lottery.core import criteria, schedules
    from tf_lottery.experiment.find_tickets import find_tickets
    from tf_lottery.experiment.networks import load_network
    from tf_lottery.experiment.storage import Run, Unit
    from tf_lottery.export.compaction import compact
    from tf_lottery.layers import load_model, make_prunable, strip_pruning
    from tf_lottery.model_masks import apply_masks, density, density_by_weight, get_masks, set_masks
    from tf_lottery.model_tickets import load_ticket, restore_ticket
    from tf_lottery.prunable import Prunable, register_prunable
    from tf_lottery.ticket import Ticket, save_ticket
    from tf_lottery.topology import Topology

__version__ = "0.1.0.dev0"

_HOMES = {
    "Prunable": "prunable",
    "Run": "experiment.storage",
    "Ticket": "ticket",
    "Topology": "topology",
    "Unit": "experiment.storage",
    "apply_masks": "model_masks",
    "compact": "export.compaction",
    "density": "model_masks",
    "density_by_weight": "model_masks",
    "find_tickets": "experiment.find_tickets",
    "get_masks": "model_masks",
    "load_model": "layers",
    "load_network": "experiment.networks",
    "load_ticket": "model_tickets",
    "make_prunable": "layers",
    "register_prunable": "prunable",
    "restore_ticket": "model_tickets",
    "save_ticket": "ticket",
    "set_masks": "model_masks",
    "strip_pruning": "layers",
}

_MODULES = {
    "callbacks": "callbacks",
    "criteria": "core.criteria",
    "data": "data",
    "export": "export",
    "models": "models",
    "schedules": "core.schedules",
}

__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{_MODULES[name]}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
