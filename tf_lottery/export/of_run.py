"""A ticket of a run, as a file for use elsewhere."""

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from tf_lottery.errors import ExportError
from tf_lottery.experiment import networks
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.export import compaction, comparison, single_file
from tf_lottery.export.saved_model import saved_model
from tf_lottery.export.tflite import tflite
from tf_lottery.masking import conversion, ticket as ticket_lib


def export(
    run: Run,
    unit: Unit,
    form: str,
    path: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write the network of a finished training, with the masks and weights it ended with.

    Args:
        run: For instance from `Run.load`.
        unit: Which training.
        form: `"saved_model"`: sparse on disk, read by TensorFlow alone. `"keras"`: a plain `.keras` file, with zeros.
            `"compact"`: the same of a smaller network, without what cannot matter. `"tflite"`: for LiteRT, with sparse
            encoding. `"ticket"`: masks and weights, as the run has them.
        path: Where to. Default: a name that says what it is, in the folder `exports` of the run.
        overwrite: Whether an earlier export there may be replaced.

    Returns:
        Where it is.

    Raises:
        ExportError: an unknown form, a target that is there already, or a network that cannot be exported so.
        RunError: the run has no such finished training, or the target cannot be written.
    """
    if form not in FORMS:
        raise ExportError(f"The format must be one of {', '.join(FORMS)}. Received: {form!r}")
    networks.check_done(run, unit)
    path = Path(path) if path else default_path(run, unit, form)
    FORMS[form](run, unit, path, overwrite)
    return path


def compare(
    run: Run,
    unit: Unit,
    path: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    rounds: int = comparison.ROUNDS,
) -> tuple[Path, pd.DataFrame]:
    """Compare the forms that a training can be exported in, and writes that as CSV; see `report.compare`.

    Args:
        run, unit, path, overwrite: As of `export`.
        rounds: As of `report.compare`.

    Returns:
        Where the file is, and the table.

    Raises:
        ExportError, RunError: as of `export`.
    """
    networks.check_done(run, unit)
    path = Path(path) if path else default_path(run, unit, "report")
    single_file.check_free(path, overwrite)  # measuring takes a while
    table = comparison.compare(networks.load_network(run, unit), rounds=rounds)
    single_file.write(path, lambda: table.to_csv(index=False).encode(), overwrite=overwrite)
    return path, table


def default_path(run: Run, unit: Unit, form: str) -> Path:
    """Where a training is exported to, unless one says where."""
    order = f"shuffle seed {unit.shuffle_seed}" if unit.shuffle_seed else ""
    parts = (f"replicate {unit.replicate}", unit.variant, order, unit.control, f"level {unit.level:02d}")
    name = "_".join(part.replace(" ", "_") for part in parts if part)
    return run.path / "exports" / f"{name}{_ENDINGS[form]}"


def _saved_model(run: Run, unit: Unit, path: Path, overwrite: bool) -> None:
    saved_model(networks.load_network(run, unit), path, overwrite=overwrite)


def _tflite(run: Run, unit: Unit, path: Path, overwrite: bool) -> None:
    tflite(networks.load_network(run, unit), path, overwrite=overwrite)


def _keras(run: Run, unit: Unit, path: Path, overwrite: bool) -> None:
    _write_keras(path, lambda: conversion.plain(networks.load_network(run, unit)), overwrite)


def _compact(run: Run, unit: Unit, path: Path, overwrite: bool) -> None:
    _write_keras(path, lambda: compaction.compact(networks.load_network(run, unit)), overwrite)


def _write_keras(path: Path, model: Callable[[], object], overwrite: bool) -> None:
    if path.suffix != ".keras":
        raise ExportError(f"Keras reads files whose names end with .keras. Received: {path}")
    single_file.write(path, lambda: single_file.keras_file(model()), overwrite=overwrite)


def _ticket(run: Run, unit: Unit, path: Path, overwrite: bool) -> None:
    single_file.write(path, lambda: ticket_lib.pack(run.ticket(unit)), overwrite=overwrite)


FORMS = {
    "saved_model": _saved_model,
    "keras": _keras,
    "tflite": _tflite,
    "ticket": _ticket,
    "compact": _compact,
}
_ENDINGS = {
    "saved_model": "_saved_model",
    "keras": ".keras",
    "tflite": ".tflite",
    "ticket": ".tfl",
    "compact": "_compact.keras",
    "report": "_report.csv",
}
