"""What a ticket costs in each form: bytes, parameters, multiply-adds and latency, side by side."""

import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf

from tf_lottery.errors import ConfigError, ExportError
from tf_lottery.export import compaction, tracing
from tf_lottery.export.costs import Costs, costs
from tf_lottery.export.latency import latency
from tf_lottery.export.saved_model import saved_model
from tf_lottery.export.tflite import convert, interpreter
from tf_lottery.masking import conversion

BATCH_SIZES = (1, 64)
ROUNDS = 200
Batch = Mapping[str, np.ndarray]


class _Form(NamedTuple):
    """What is known of a form; None where nothing is."""

    bytes: int | None
    predict: Callable[[Batch], Any] | None = None
    costs: Costs | None = None


def compare(model: Any, *, batch_sizes: Iterable[int] = BATCH_SIZES, rounds: int = ROUNDS) -> pd.DataFrame:
    """Return one row a form that a model can be exported in.

    "dense" is a plain SavedModel of the model with its zeros, "dense, gzip" that compressed; "sparse" is what
    `tfl.export.saved_model` writes of the model, "compact" what it writes of `tfl.compact(model)`; "LiteRT, sparse" is
    the file of `tfl.export.tflite`, "LiteRT" the same with dense encoding. Latencies are those of the exported files,
    loaded again, in turns within one process, for normally distributed inputs.

    Args:
        model: A built model, with or without masks.
        batch_sizes: For which latency is measured. Default: 1 and 64.
        rounds: How often each form predicts a batch of each size. Default: 200.

    Returns:
        A table with the columns form, bytes, share (of the bytes of "dense"), parameters (values of all weights),
        multiply_adds (of one example), latency_1, latency_64, … (seconds a batch, the median), and threads, which
        TensorFlow could use; LiteRT had one, its own default. NaN is what cannot be known: latencies of an archive, all
        of LiteRT where that cannot run the model, multiply_adds of loops.

    Raises:
        ExportError, ModelError: the model cannot be exported.
        ConfigError: a batch size or the rounds are no whole number of at least 1.

    Examples:
        >>> import tf_lottery as tfl
        >>> model = tfl.models.build("lenet_300_100", (8, 8, 1), 10)
        >>> table = tfl.export.compare(model, batch_sizes=[1], rounds=1)
        >>> list(table.form)
        ['dense', 'dense, gzip', 'sparse', 'compact', 'LiteRT', 'LiteRT, sparse']
        >>> list(table)
        ['form', 'bytes', 'share', 'parameters', 'multiply_adds', 'latency_1', 'threads']
    """
    batch_sizes = list(batch_sizes) if isinstance(batch_sizes, Iterable) else [batch_sizes]
    if not all(isinstance(number, int) and number >= 1 for number in (*batch_sizes, rounds)):
        raise ConfigError(f"`batch_sizes` and `rounds` must be at least 1. Received: {batch_sizes} and {rounds!r}")
    plain = conversion.plain(model)
    function = tracing.trace(plain)
    forms = _saved_models(plain, compaction.compact(model), function) | _lite_rt(plain)
    rows = forms.values()
    table = pd.DataFrame({"form": list(forms), "bytes": [form.bytes for form in rows]})
    table["share"] = table.bytes / forms["dense"].bytes
    table["parameters"] = [form.costs.parameters if form.costs else None for form in rows]
    table["multiply_adds"] = [
        form.costs.multiply_adds if form.costs and not form.costs.uncounted else None for form in rows
    ]
    threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count() or 1
    runnable = {name: form.predict for name, form in forms.items() if form.predict}
    specs = function.structured_input_signature[0][0]
    for batch_size in batch_sizes:
        seconds = latency(runnable, [_batch(specs, batch_size)], rounds, threads=threads).seconds
        table[f"latency_{batch_size}"] = table.form.map(seconds)
    return table.assign(threads=threads)


def _saved_models(plain: Any, compacted: Any, function: Any) -> dict[str, _Form]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tf.saved_model.save(tracing.trackable(function), folder / "dense", signatures=function)
        saved_model(plain, folder / "sparse")
        saved_model(compacted, folder / "compact")
        return {
            "dense": _Form(size(folder / "dense"), _loaded(folder / "dense"), costs(plain)),
            "dense, gzip": _Form(_gzipped(folder / "dense")),
            "sparse": _Form(size(folder / "sparse"), _loaded(folder / "sparse"), costs(plain)),
            "compact": _Form(size(folder / "compact"), _loaded(folder / "compact"), costs(compacted)),
        }


def _lite_rt(plain: Any) -> dict[str, _Form]:
    forms = {}
    for name, is_sparse in (("LiteRT", False), ("LiteRT, sparse", True)):
        try:
            content = convert(plain, sparse=is_sparse)
        except ExportError:
            forms[name] = _Form(None)
        else:
            forms[name] = _Form(len(content), _interpreted(content), costs(plain))
    return forms


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


def _interpreted(content: bytes) -> Callable[[Batch], Any]:
    serve = interpreter(content).get_signature_runner()
    return lambda batch: serve(**batch)


def _batch(specs: Mapping[str, tf.TensorSpec], batch_size: int) -> dict[str, np.ndarray]:
    """Normally distributed inputs; zeros and empty texts where they are no floats."""
    rng = np.random.default_rng(0)
    batch = {}
    for name, spec in specs.items():
        if None in spec.shape[1:]:
            raise ExportError(
                f"Latency can be measured only of examples of a known size. Input {name!r} has the shape {spec.shape}."
            )
        shape, dtype = (batch_size, *spec.shape[1:]), spec.dtype.as_numpy_dtype
        empty = np.full(shape, b"") if spec.dtype == tf.string else np.zeros(shape, dtype)
        batch[name] = rng.normal(size=shape).astype(dtype) if spec.dtype.is_floating else empty
    return batch
