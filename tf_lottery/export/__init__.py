"""Exports of networks: sparse SavedModels, files for LiteRT, smaller networks, and what each of them costs.

Names are imported when they are first used, so that `export.formats` can be read without TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `as`: exported, not only used here
    from tf_lottery.export.comparison import compare as compare
    from tf_lottery.export.litert import tflite as tflite
    from tf_lottery.export.model_costs import costs as costs
    from tf_lottery.export.sparse_saved_model import saved_model as saved_model

_MODULE_OF = {
    "compare": "comparison",
    "costs": "model_costs",
    "saved_model": "sparse_saved_model",
    "tflite": "litert",
}

__all__ = [*_MODULE_OF]


if not TYPE_CHECKING:  # or a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
