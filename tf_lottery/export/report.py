"""What a ticket costs in each form: bytes, parameters, multiply-adds and latency, side by side."""

import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from tf_lottery import layers
from tf_lottery.errors import ExportError
from tf_lottery.export import compaction, tracing
from tf_lottery.export.costs import costs
from tf_lottery.export.latency import latency
from tf_lottery.export.saved_model import saved_model
from tf_lottery.export.tflite import interpreter, tflite

BATCH_SIZES = (1, 64)
ROUNDS = 200
Batch = Mapping[str, np.ndarray]


def compare(model: Any, *, batch_sizes: Sequence[int] = BATCH_SIZES, rounds: int = ROUNDS) -> pd.DataFrame:
    """One row a form that a model can be exported in.

    "dense" is a plain SavedModel of the model with its zeros, "dense, gzip" that compressed; "sparse" is what
    `tfl.export.saved_model` writes of the model, "compact" what it writes of `tfl.compact(model)`, "LiteRT" the file of
    `tfl.export.tflite`. Latencies are those of the exported files, loaded again, in turns within one process, for
    normally distributed inputs.

    Args:
        model: A built model, with or without masks.
        batch_sizes: For which latency is measured.
        rounds: How often each form predicts a batch of each size.

    Returns:
        Columns: form, bytes, share (of the bytes of "dense"), parameters (values of all weights), multiply_adds (of one
        example), latency_1, latency_64, … (seconds a batch, the median), and threads (that a form could use); NaN where
        one means nothing.

    Raises:
        ExportError, ModelError: the model cannot be exported.
    """
    plain, compacted = layers.plain(model), compaction.compact(model)
    whole, smaller = costs(plain), costs(compacted)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        function = tracing.trace(plain)
        tf.saved_model.save(tracing.trackable(plain), folder / "dense", signatures=function)
        saved_model(plain, folder / "sparse")
        saved_model(compacted, folder / "compact")
        tflite(plain, folder / "model.tflite")
        threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()
        loaded = {form: _loaded(folder / form) for form in ("dense", "sparse", "compact")}
        loaded["LiteRT"] = _interpreted((folder / "model.tflite").read_bytes(), threads)
        sizes = {form: size(folder / form) for form in ("dense", "sparse", "compact")}
        sizes |= {"LiteRT": size(folder / "model.tflite"), "dense, gzip": _gzipped(folder / "dense")}
    table = pd.DataFrame({"form": ["dense", "dense, gzip", "sparse", "LiteRT", "compact"]})
    table["bytes"] = table.form.map(sizes)
    table["share"] = table.bytes / sizes["dense"]
    for column in ("parameters", "multiply_adds"):
        of_form = dict.fromkeys(loaded, getattr(whole, column)) | {"compact": getattr(smaller, column)}
        table[column] = table.form.map(of_form)
    specs = function.structured_input_signature[0][0]
    for batch_size in batch_sizes:
        batch = _batch(specs, batch_size)
        table[f"latency_{batch_size}"] = table.form.map(latency(loaded, [batch], rounds, threads=threads).seconds)
    return table.assign(threads=threads)


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def _gzipped(folder: Path) -> int:
    """Bytes of a folder as a .tar.gz file."""
    with io.BytesIO() as content:
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            archive.add(folder)
        return content.tell()


def _loaded(path: Path) -> Callable[[Batch], Any]:
    model = tf.saved_model.load(path)
    serve = model.signatures["serving_default"]
    return lambda batch: [
        output.numpy() for output in serve(**{name: tf.constant(x) for name, x in batch.items()}).values()
    ]


def _interpreted(content: bytes, threads: int) -> Callable[[Batch], Any]:
    serve = interpreter(content, threads).get_signature_runner()
    return lambda batch: serve(**batch)


def _batch(specs: Mapping[str, tf.TensorSpec], batch_size: int) -> dict[str, np.ndarray]:
    """Normally distributed inputs; zeros where they are whole numbers, as of an Embedding."""
    rng = np.random.default_rng(0)
    batch = {}
    for name, spec in specs.items():
        if None in spec.shape[1:]:
            raise ExportError(
                f"Latency can be measured only of examples of a known size. Input {name!r} has the shape {spec.shape}."
            )
        batch[name] = rng.normal(size=(batch_size, *spec.shape[1:])).astype(spec.dtype.as_numpy_dtype)
        if spec.dtype.is_integer:
            batch[name][:] = 0
    return batch
