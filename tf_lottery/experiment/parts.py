"""Criteria, data sources and networks from outside this package: which modules have them, and their way in."""

import importlib
from collections.abc import Sequence

from tf_lottery.core.criteria import CRITERIA
from tf_lottery.data import SOURCES
from tf_lottery.errors import ConfigError
from tf_lottery.models.names import MODELS


def homes() -> list[str]:
    """The modules that have entered parts of theirs; another process has yet to import them.

    What a script has entered by itself is entered anew where a process begins by reading that script.
    """
    parts = (*CRITERIA.values(), *SOURCES.values(), *filter(callable, MODELS.values()))
    found = {part.__module__ for part in parts}
    return sorted(home for home in found if home.partition(".")[0] not in ("tf_lottery", "__main__", "__mp_main__"))


def enter(modules: Sequence[str]) -> None:
    """Imports modules that enter parts.

    Raises:
        ConfigError: one cannot be imported.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # it is the user's, and may raise anything
            raise ConfigError(
                f"The module {module!r}, which a criterion, data source or network of yours is from, cannot be "
                f"imported ({type(error).__name__}: {error}). Put the part into a module that can be imported, for "
                "instance by PYTHONPATH, and import that in your config."
            ) from error
