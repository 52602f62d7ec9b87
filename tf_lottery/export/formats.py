"""The formats that a ticket of a run can be exported in. Imports no TensorFlow, so that `--help` is there at once."""

import importlib
from collections.abc import Callable
from typing import NamedTuple


class Format(NamedTuple):
    """A format of exported files.

    Attributes:
        ending: The ending of the default names of its files.
        function: The name of the function in `export.run_exports` that writes it.
        description: A few words for `--help`.
    """

    ending: str
    function: str
    description: str

    def writer(self) -> Callable[..., None]:
        """Import and return the function, which is called as `function(run, unit, path, overwrite=False)`."""
        return getattr(importlib.import_module("tf_lottery.export.run_exports"), self.function)


FORMATS = {
    "saved_model": Format("_saved_model", "write_saved_model", "sparse on disk, read by TensorFlow alone"),
    "keras": Format(".keras", "write_keras", "a plain .keras file, zeros and all"),
    "tflite": Format(".tflite", "write_tflite", "for LiteRT, with sparse encoding"),
    "ticket": Format(".tfl", "write_ticket", "masks and weights, as the run has them"),
    "compact": Format("_compact.keras", "write_compact", "a .keras file of a smaller network that computes the same"),
}
REPORT_ENDING = "_report.csv"  # of the table that compares them


def described() -> str:
    """Return the names of all formats with their descriptions, as one line of `--help`.

    >>> described().partition(", keras ")[0]
    'saved_model (sparse on disk, read by TensorFlow alone)'
    """
    return ", ".join(f"{name} ({format.description})" for name, format in FORMATS.items())
