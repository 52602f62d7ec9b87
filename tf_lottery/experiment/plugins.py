"""Plugins: criteria, data sources and networks from modules outside this package, which every process must import."""

import importlib
from collections.abc import Sequence

from tf_lottery.core.criteria import CRITERIA
from tf_lottery.data import SOURCES
from tf_lottery.errors import ConfigError
from tf_lottery.models.names import MODELS


def modules() -> list[str]:
    """Return the names of the modules that have registered plugins, for another process to import.

    Plugins of the script itself are left out: a worker process registers them when it imports that script.
    """
    plugins = (*CRITERIA.values(), *SOURCES.values(), *filter(callable, MODELS.values()))
    found = {plugin.__module__ for plugin in plugins}
    return sorted(name for name in found if name.partition(".")[0] not in ("tf_lottery", "__main__", "__mp_main__"))


def load(modules: Sequence[str]) -> None:
    """Import modules that register plugins.

    Raises:
        ConfigError: a module cannot be imported.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # a module of the user may raise anything
            raise ConfigError(
                f"The module {module!r}, which defines a criterion, data source or network, cannot be "
                f"imported ({type(error).__name__}: {error}). Move the plugin into a module that can be imported, for "
                "instance by PYTHONPATH, and import that module in your config."
            ) from error
