"""Files for LiteRT (TensorFlow Lite) with sparse encoding: writing and running them."""

import importlib
import importlib.util
import os
import re
import warnings
from typing import Any

import tensorflow as tf

from tf_lottery import quiet
from tf_lottery.errors import ExportError
from tf_lottery.export import targets, tracing
from tf_lottery.export.model_costs import density
from tf_lottery.keras_compat import Model
from tf_lottery.masking import conversion


def tflite(model: Model, path: str | os.PathLike[str], *, overwrite: bool = False) -> float:
    """Write `model`, without masks, as a file for LiteRT.

    The kernels of dense layers and of 1D, 2D, depthwise and transposed convolutions are encoded sparsely where that
    saves space, which is from about a third of zeros on: at 10% density they take about 5 times less space. Other
    weights (3D convolutions, embeddings) are stored densely. LiteRT computes with the sparse encoding itself in two
    cases: on ARM and WebAssembly, for networks that meet the conditions of tfmot's `PruneForLatencyOnXNNPack`, and in
    dense layers that keep less than about 3% of their weights. Elsewhere it makes weights dense first, and is as fast
    as with dense encoding. docs/export.md has measurements.

    The one signature of the file takes and returns tensors by name, see `tracing.trace`; the batch size is free.

    Args:
        model: A built model, with or without masks.
        path: The file; its folder is made.
        overwrite: Whether a file at `path` may be replaced. Defaults to False.

    Returns:
        The density of the exported model, 0-1: 1 for a model in which nothing is pruned.

    Raises:
        ExportError: a weight is NaN or infinite, LiteRT lacks an operation of the model, or something is at `path`.
        ModelError: `model` is not built.
        RunError: the file cannot be written.

    Examples:
        >>> import os, tempfile
        >>> import tf_lottery as tfl
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> tfl.set_masks(model, {name: mask & False for name, mask in tfl.get_masks(model).items()})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     density = tflite(model, f"{folder}/ticket.tflite")  # tfl.export.tflite
        ...     size = os.path.getsize(f"{folder}/ticket.tflite")
        >>> density, size < 50_000  # dense, 50,610 values take 202,440 bytes
        (0.0, True)
    """
    targets.write(path, lambda: convert(model), overwrite=overwrite)
    return density(model)


def convert(model: Model, *, sparse: bool = True) -> bytes:
    """Return the content of the file that `tflite` writes.

    Args:
        model: A built model, with or without masks.
        sparse: Whether weights with many zeros are encoded sparsely. Defaults to True.

    Raises:
        ExportError: a weight is NaN or infinite, or LiteRT lacks an operation of the model.
        ModelError: `model` is not built.
    """
    model = conversion.plain(model)
    tracing.check_finite(model)
    function = tracing.trace(model)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], tracing.trackable(function))
    if sparse:
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    try:
        with quiet.stderr():
            return converter.convert()
    except Exception as error:  # TensorFlow does not document which classes
        raise ExportError(
            f"LiteRT cannot run all operations of {model.name!r}: {_reason(error)}. Unroll recurrent layers "
            "(`unroll=True`), have layers compute in float32, or export a SavedModel, which can hold any operation."
        ) from error


def interpreter(content: bytes, threads: int = 1) -> Any:
    """Return an interpreter of a file for LiteRT, ready to run.

    It is that of the package ai_edge_litert if this is installed, else TensorFlow's.

    Args:
        content: The content of the file.
        threads: How many threads it may use. Defaults to 1.

    Example:
        ```python
        run = interpreter(Path("ticket.tflite").read_bytes()).get_signature_runner()
        run(image=images)["output"]
        ```
    """
    with warnings.catch_warnings(), quiet.stderr():
        warnings.filterwarnings(
            "ignore", ".*scheduled for deletion", UserWarning
        )  # TensorFlow announces the end of its own
        made = _interpreter_class()(model_content=content, num_threads=threads)
        made.allocate_tensors()  # inside the block, because it prints
    return made


def _interpreter_class() -> Any:
    if importlib.util.find_spec("ai_edge_litert") is None:
        return tf.lite.Interpreter
    return importlib.import_module("ai_edge_litert.interpreter").Interpreter


def _reason(error: Exception) -> str:
    """Return the complaint of the converter, without the place in our code before it and the traceback after it."""
    first, *_ = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"^.*?error: ", "", first).rstrip(".")
