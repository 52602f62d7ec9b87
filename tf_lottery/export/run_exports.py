"""Exports of a run: one of its networks as a file for use elsewhere, and a table of what each format costs."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from tf_lottery import files
from tf_lottery.errors import ExportError
from tf_lottery.experiment import load_network
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.export import compaction, comparison, litert, sparse_saved_model, targets, tracing
from tf_lottery.export.formats import FORMATS, REPORT_ENDING
from tf_lottery.keras_compat import Model
from tf_lottery.masking import conversion, ticket as ticket_lib


def export(
    run: Run, unit: Unit, format: str, path: str | os.PathLike[str] | None = None, *, overwrite: bool = False
) -> Path:
    """Write the network of a finished unit, with its masks and its final weights.

    Args:
        run: For instance from `Run.load`.
        unit: The unit whose network is exported.
        format: `"saved_model"`: sparse on disk, read by TensorFlow alone. `"keras"`: a plain `.keras` file, with zeros.
            `"compact"`: a `.keras` file of a smaller network, without the units and channels that cannot matter.
            `"tflite"`: for LiteRT, with sparse encoding. `"ticket"`: masks and weights, as the run has them.
        path: The file or directory to write. Defaults to a name in the folder `exports` of the run that tells unit and
            format.
        overwrite: Whether an earlier export at that path may be replaced. Defaults to False.

    Returns:
        The path of the export.

    Raises:
        ExportError: the format is unknown, the target exists, or the network cannot be exported in this format.
        RunError: the run has no such finished unit, or the target cannot be written.
    """
    if format not in FORMATS:
        raise ExportError(f"The format must be one of {', '.join(FORMATS)}. Received: {format!r}")
    load_network.check_done(run, unit)
    path = Path(path) if path else default_path(run, unit, FORMATS[format].ending)
    FORMATS[format].writer()(run, unit, path, overwrite=overwrite)
    return path


def compare(
    run: Run,
    unit: Unit,
    path: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    rounds: int = comparison.ROUNDS,
) -> tuple[Path, pd.DataFrame]:
    """Compare the formats that the network of a unit can be exported in, and write the table as a CSV file.

    Args:
        run, unit, path, overwrite: See `export`.
        rounds: See `comparison.compare`. Defaults to 200.

    Returns:
        The path of the file, and the table of `comparison.compare`.

    Raises:
        ExportError, RunError: see `export`.
    """
    load_network.check_done(run, unit)
    path = Path(path) if path else default_path(run, unit, REPORT_ENDING)
    targets.check_file(path, overwrite)  # before measuring, which takes a while
    table = comparison.compare(load_network.load_network(run, unit), rounds=rounds)
    targets.write(path, lambda: table.to_csv(index=False).encode(), overwrite=overwrite)
    return path, table


def default_path(run: Run, unit: Unit, ending: str) -> Path:
    """Return the path that a unit is exported to unless the caller gives another one.

    Raises:
        RunError: the folder of exports is a link, which may lead out of the run.
    """
    files.check_inside(folder := run.path / "exports", run.path)
    order = f"shuffle seed {unit.shuffle_seed}" if unit.shuffle_seed else ""
    parts = (f"replicate {unit.replicate}", unit.variant, order, unit.control, f"level {unit.level:02d}")
    name = "_".join(part.replace(" ", "_") for part in parts if part)
    return folder / f"{name}{ending}"


def write_saved_model(run: Run, unit: Unit, path: Path, *, overwrite: bool) -> None:
    """Write a sparse SavedModel."""
    sparse_saved_model.saved_model(load_network.load_network(run, unit), path, overwrite=overwrite)


def write_tflite(run: Run, unit: Unit, path: Path, *, overwrite: bool) -> None:
    """Write a file for LiteRT."""
    litert.tflite(load_network.load_network(run, unit), path, overwrite=overwrite)


def write_keras(run: Run, unit: Unit, path: Path, *, overwrite: bool) -> None:
    """Write a `.keras` file of the plain network."""
    _write_keras(path, lambda: conversion.plain(load_network.load_network(run, unit)), overwrite)


def write_compact(run: Run, unit: Unit, path: Path, *, overwrite: bool) -> None:
    """Write a `.keras` file of the compact network."""
    _write_keras(path, lambda: compaction.compact(load_network.load_network(run, unit)), overwrite)


def write_ticket(run: Run, unit: Unit, path: Path, *, overwrite: bool) -> None:
    """Write a ticket file."""
    targets.write(path, lambda: ticket_lib.pack(run.ticket(unit)), overwrite=overwrite)


def _write_keras(path: Path, load: Callable[[], Model], overwrite: bool) -> None:
    if path.suffix != ".keras":
        raise ExportError(f"Keras reads files whose names end with .keras. Received: {path}")
    targets.write(path, lambda: keras_file(load()), overwrite=overwrite)


def keras_file(model: Model) -> bytes:
    """Return the content of a `.keras` file of a plain model.

    Raises:
        ExportError: a weight is NaN or infinite.
    """
    tracing.check_finite(model)
    with tempfile.TemporaryDirectory() as folder:
        model.save(path := Path(folder, "model.keras"))
        return path.read_bytes()
