"""tf_lottery: finds lottery tickets, small subnetworks that train as well as the whole network, in Keras models.

Names are imported when they are first used, because Keras takes seconds to import and much here does without it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tf_lottery.experiment.find_tickets import find_tickets
    from tf_lottery.experiment.storage import Run, Unit
    from tf_lottery.layers import apply_masks, density, get_masks, make_prunable, set_masks, strip_pruning
    from tf_lottery.prunable import Prunable

__version__ = "0.1.0.dev0"

_HOMES = {
    "Prunable": "prunable",
    "Run": "experiment.storage",
    "Unit": "experiment.storage",
    "apply_masks": "layers",
    "density": "layers",
    "find_tickets": "experiment.find_tickets",
    "get_masks": "layers",
    "make_prunable": "layers",
    "set_masks": "layers",
    "strip_pruning": "layers",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
