"""What a network costs in each format: bytes, parameters, multiply-adds and latency, side by side."""

import io
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf

from tf_lottery.errors import ConfigError, ExportError
from tf_lottery.export import compaction, tracing
from tf_lottery.export.litert import convert, interpreter
from tf_lottery.export.model_costs import Costs, costs
from tf_lottery.export.sparse_saved_model import saved_model
from tf_lottery.keras_compat import Model
from tf_lottery.masking import conversion

BATCH_SIZES = (1, 64)
ROUNDS = 200
Batch = Mapping[str, np.ndarray]


class _Exported(NamedTuple):
    """What is known of an exported model; None where a figure is unknown."""

    bytes: int | None
    predict: Callable[[Batch], Any] | None = None
    costs: Costs | None = None


def compare(model: Model, *, batch_sizes: Iterable[int] = BATCH_SIZES, rounds: int = ROUNDS) -> pd.DataFrame:
    """Return a table with one row for each format that a model can be exported in.

    "dense" is a plain SavedModel of the model with its zeros, and "dense, gzip" is a compressed archive of it. "sparse"
    is what `tfl.export.saved_model` writes of the model, "compact" what it writes of `tfl.compact(model)`. "LiteRT,
    sparse" is the file of `tfl.export.tflite`, "LiteRT" the same with dense encoding. The exported files are loaded
    again and timed in turns within one process, on normally distributed inputs.

    Args:
        model: A built model, with or without masks.
        batch_sizes: The batch sizes for which latency is measured. Defaults to 1 and 64.
        rounds: How often each export predicts a batch of each size. Defaults to 200.

    Returns:
        A table with the columns format, bytes, share (of the bytes of "dense"), parameters (values of all weights),
        multiply_adds (for one example), latency_1, latency_64, … (seconds a batch, the median), and threads, the number
        that TensorFlow could use; LiteRT used one, its default. NaN stands for what cannot be known: latencies of an
        archive, all figures of LiteRT where it cannot run the model, multiply_adds of loops.

    Raises:
        ExportError, ModelError: the model cannot be exported.
        ConfigError: a batch size or `rounds` is not a whole number of at least 1.

    Examples:
        >>> import tf_lottery as tfl
        >>> model = tfl.models.build("lenet_300_100", (8, 8, 1), 10)
        >>> table = tfl.export.compare(model, batch_sizes=[1], rounds=1)
        >>> list(table["format"])
        ['dense', 'dense, gzip', 'sparse', 'compact', 'LiteRT', 'LiteRT, sparse']
        >>> list(table)
        ['format', 'bytes', 'share', 'parameters', 'multiply_adds', 'latency_1', 'threads']
    """
    batch_sizes = list(batch_sizes) if isinstance(batch_sizes, Iterable) else [batch_sizes]
    if not all(isinstance(number, int) and number >= 1 for number in (*batch_sizes, rounds)):
        raise ConfigError(
            f"`batch_sizes` and `rounds` must be whole numbers of at least 1. Received: {batch_sizes} and {rounds!r}"
        )
    plain = conversion.plain(model)
    function = tracing.trace(plain)
    exports = _saved_models(plain, compaction.compact(model), function) | _lite_rt(plain)
    rows = exports.values()
    table = pd.DataFrame({"format": list(exports), "bytes": [row.bytes for row in rows]})
    table["share"] = table.bytes / exports["dense"].bytes
    table["parameters"] = [row.costs.parameters if row.costs else None for row in rows]
    table["multiply_adds"] = [
        row.costs.multiply_adds if row.costs and not row.costs.uncounted else None for row in rows
    ]
    threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count() or 1
    runnable = {name: row.predict for name, row in exports.items() if row.predict}
    specs = function.structured_input_signature[0][0]
    for batch_size in batch_sizes:
        seconds = latency(runnable, [_batch(specs, batch_size)], rounds, threads=threads).seconds
        table[f"latency_{batch_size}"] = table["format"].map(seconds)
    return table.assign(threads=threads)


@dataclass(frozen=True)
class Latency:
    """How long each of some functions took.

    Attributes:
        seconds: The median over all timed calls, by the name of the function.
        calls: How many calls of each function were timed.
        threads: How many threads each function could use, as the caller said.
    """

    seconds: dict[str, float]
    calls: int
    threads: int


def latency(
    functions: Mapping[str, Callable[[Any], Any]],
    batches: Sequence[Any],
    repeats: int = 30,
    *,
    threads: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency:
    """Time functions in turn: each batch goes to all of them before the next one does, `repeats` times over.

    So a change of the processor's clock, or another program that starts meanwhile, affects all functions alike. Before
    that, each function gets all batches once, untimed, so that the work of a first call is not timed.

    Args:
        functions: The functions by name. Each takes a batch and returns when its result is there (`.numpy()` waits for
            it).
        batches: The batches to give them, at least one. They should be of one size, as others take other times.
        repeats: How often each batch is timed, at least 1. Defaults to 30.
        threads: How many threads each function was set to use. This is recorded, not changed.
        clock: Returns the time in seconds. Defaults to `time.perf_counter`.

    Returns:
        The median time of each function.

    Raises:
        ValueError: there is nothing to time.

    Example:
        ```python
        latency({"dense": lambda x: dense(x).numpy(), "compact": lambda x: compact(x).numpy()}, [images], threads=1)
        ```
    """
    if not functions or not len(batches) or repeats < 1:
        raise ValueError(
            "At least one function, one batch and one repeat are needed. "
            f"Received: {len(functions)} functions, {len(batches)} batches, repeats={repeats}"
        )
    times: dict[str, list[float]] = {name: [] for name in functions}
    for repeat in range(1 + repeats):
        for batch in batches:
            for name, function in functions.items():
                start = clock()
                function(batch)
                if repeat > 0:
                    times[name].append(clock() - start)
    return Latency({name: statistics.median(each) for name, each in times.items()}, repeats * len(batches), threads)


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a directory."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def _saved_models(
    plain: Model, compacted: Model, function: tf.types.experimental.ConcreteFunction
) -> dict[str, _Exported]:
    """Export the SavedModels to a temporary directory, and load them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tf.saved_model.save(tracing.trackable(function), folder / "dense", signatures=function)
        saved_model(plain, folder / "sparse")
        saved_model(compacted, folder / "compact")
        return {
            "dense": _Exported(size(folder / "dense"), _loaded(folder / "dense"), costs(plain)),
            "dense, gzip": _Exported(_gzipped(folder / "dense")),
            "sparse": _Exported(size(folder / "sparse"), _loaded(folder / "sparse"), costs(plain)),
            "compact": _Exported(size(folder / "compact"), _loaded(folder / "compact"), costs(compacted)),
        }


def _lite_rt(plain: Model) -> dict[str, _Exported]:
    """Convert a model for LiteRT; nothing is known of it where LiteRT cannot run it."""
    exports = {}
    for name, is_sparse in (("LiteRT", False), ("LiteRT, sparse", True)):
        try:
            content = convert(plain, sparse=is_sparse)
        except ExportError:
            exports[name] = _Exported(None)
        else:
            exports[name] = _Exported(len(content), _interpreted(content), costs(plain))
    return exports


def _gzipped(folder: Path) -> int:
    """Return the bytes of a directory as a .tar.gz file."""
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
    """Return normally distributed inputs; zeros for integers and booleans, and empty strings."""
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
