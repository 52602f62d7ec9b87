"""SavedModels that take little space on disk and that TensorFlow alone can read.

Floating-point variables are saved without their values. Instead the SavedModel holds the entries that are not +0.0 and
their positions, packed into strings, and an initialiser that fills the variables from these when it is loaded. No masks
are needed: a kept weight that happens to be +0.0 comes back all the same, and -0.0 keeps its sign.
"""

import functools
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import files, keras_compat
from tf_lottery.errors import ExportError, RunError
from tf_lottery.export import targets, tracing
from tf_lottery.export.model_costs import density
from tf_lottery.keras_compat import Model
from tf_lottery.masking import conversion

_LONGEST_GAP = 255  # in one byte; a longer gap continues in the next byte
_BUNDLE = 2**24  # entries that are packed, and unpacked, together: bounds the memory that loading takes for a while


def saved_model(model: Model, path: str | os.PathLike[str], *, inputs: Any = None, overwrite: bool = False) -> float:
    """Write `model`, without masks, as a SavedModel in which a pruned weight takes almost no space.

    It holds the weights that are kept and their positions, packed; standard operations make them dense again
    once, when it is loaded. `tf.saved_model.load` and TensorFlow Serving read it, without this package and without
    Keras; `load_model` of Keras cannot read SavedModels. It predicts as the model does, bit for bit without XLA at the
    same batch size and number of threads, as fast and in as much memory. At 10% density ResNet-50 and VGG-19 take 9 to
    10 times less space on disk than dense weights, ResNet-20 3 times less: the graph takes some KB a layer at any
    density, so that a model of less than some 10,000 values does not get smaller.

    Like the SavedModels that `model.export` of Keras writes, it has the endpoint `serve`, which takes and returns what
    the model does, and the lists `variables`, `trainable_variables` and `non_trainable_variables`. Its one signature,
    `serving_default`, takes and returns tensors by name, see `tracing.trace`; dimensions of unknown size are free.

    Args:
        model: A built model, with or without masks. It is left as it is.
        path: The directory; those around it are made.
        inputs: A tf.TensorSpec, or a structure of them, as `model` takes it. Needed for a subclassed model unless it
            was built with one float tensor, or a dict of them. Defaults to what the model was built with.
        overwrite: Whether a SavedModel at `path` may be replaced. Defaults to False.

    Returns:
        The density of the exported model, 0-1: 1 for a model in which nothing is pruned.

    Raises:
        ExportError: a weight is NaN or infinite, the inputs of a subclassed model are unknown, something in the model
            cannot be saved, or something is at `path`.
        ModelError: `model` is not built.
        RunError: the directory cannot be written.

    Examples:
        >>> import tempfile
        >>> import tensorflow as tf
        >>> import tf_lottery as tfl
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     density = saved_model(model, f"{folder}/ticket")  # tfl.export.saved_model
        ...     loaded = tf.saved_model.load(f"{folder}/ticket")  # anywhere, without this package
        >>> density, loaded.serve(tf.zeros([1, 8, 8, 1])).shape
        (1.0, TensorShape([1, 10]))
    """
    path = Path(os.path.abspath(path))
    targets.check_saved_model(path, overwrite)
    share = density(model)
    model = conversion.plain(model)
    tracing.check_finite(model)
    saved, signature = _serving(model, tracing.input_specs(model, given=inputs))
    with files.folder(path, "saved model") as temporary:
        _save(saved, temporary, signature)
        targets.check_saved_model(path, overwrite)  # another process may have written it meanwhile
    return share


def _serving(model: Model, specs: Any) -> tuple[Any, tf.types.experimental.PolymorphicFunction]:
    """Return the object to save and its signature."""
    saved = tf.__internal__.tracking.AutoTrackable()
    saved.serve = tf.function(lambda given: model(given, training=False), input_signature=[specs], autograph=False)
    used = _used(model, saved.serve)
    variables = [item for item in used if isinstance(item, tf.Variable)]
    to_pack = [variable for variable in variables if variable.dtype.is_floating]
    saved.variables = [unfilled(variable) if variable.dtype.is_floating else variable for variable in variables]
    saved.trainable_variables = [variable for variable in saved.variables if variable.trainable]
    saved.non_trainable_variables = [variable for variable in saved.variables if not variable.trainable]
    saved.tables = [item for item in used if not isinstance(item, tf.Variable)]
    saved.filler = Filler(to_pack)
    saved.packed = saved.filler.packed  # TensorFlow looks for no variables inside a resource
    return saved, tracing.by_name(model, saved.serve, specs)


def _used(model: Model, function: tf.types.experimental.PolymorphicFunction) -> list[Any]:
    """Return the variables and lookup tables that a function uses, in the order of their first use."""
    try:
        return tracing.captured(function.get_concrete_function())
    except (TypeError, ValueError) as error:
        raise ExportError(f"Model {model.name!r} cannot be called with {function.input_signature}: {error}") from error


def _save(saved: Any, path: Path, signature: tf.types.experimental.PolymorphicFunction) -> None:
    try:
        tf.saved_model.save(saved, path, signatures=signature)
    except tf.errors.OpError as error:
        raise RunError(f"{path} cannot be written: {error.message}") from error
    except (AssertionError, ValueError) as error:
        raise ExportError(f"TensorFlow cannot save the model: {error}") from error


def unfilled(variable: tf.Variable) -> tf.Variable:
    """Return a variable without a value, which takes the place of `variable` in a SavedModel."""
    return _unfilled_class()(variable)


@functools.cache
def _unfilled_class() -> Any:
    # TensorFlow has no public way to save a variable without its value, so this class overrides private methods.
    # tests/export/test_sparse_saved_model.py fails if another version of TensorFlow does something else.
    class Unfilled(keras_compat.uninitialised_variable_class()):  # type: ignore[misc]
        def __init__(self, variable: tf.Variable):
            super().__init__(
                trainable=variable.trainable,
                shape=variable.shape,
                dtype=variable.dtype,
                name=variable.name.split(":")[0],
            )
            self._original = variable

        def _export_to_saved_model_graph(self, object_map: Any = None, tensor_map: Any = None, **_: Any) -> list[Any]:
            """Make the functions of the SavedModel use this variable where they used the original."""
            object_map[self] = saved = unfilled(self._original)
            tensor_map[self._original.handle] = saved.handle
            return [self._original.handle]

        def _serialize_to_tensors(self) -> dict[str, Any]:
            return {}

    return Unfilled


class Filler(tf.saved_model.experimental.TrackableResource):
    """A resource that fills variables from their packed values after a SavedModel is restored.

    Loaders restore variables first and initialise resources then, in TensorFlow 2 and in sessions alike. This is a
    resource for that reason only.

    Args:
        variables: The variables to fill. Their present values are packed.
    """

    def __init__(self, variables: Sequence[tf.Variable]):
        super().__init__()
        self._bundles = list(_bundles(variables))
        self.packed = [tf.Variable(_packed(bundle), dtype=tf.string) for bundle in self._bundles]

    def _create_resource(self) -> tf.Tensor:
        return tf.zeros([])

    def _initialize(self) -> None:
        for bundle, packed in zip(self._bundles, self.packed, strict=True):
            sizes = [variable.shape.num_elements() for variable in bundle]
            with tf.device("CPU"):  # an accelerator may have no memory to spare for this
                pieces = tf.split(unpack(packed, sum(sizes), bundle[0].dtype), sizes)
            for variable, piece in zip(bundle, pieces, strict=True):
                variable.assign(tf.reshape(piece, variable.shape), read_value=False)


def _packed(bundle: Sequence[tf.Variable]) -> list[bytes]:
    return pack(np.concatenate([variable.numpy().ravel() for variable in bundle]))


def _bundles(variables: Sequence[tf.Variable]) -> Iterator[list[tf.Variable]]:
    """Yield variables of one dtype each, in order, as many as stay within `_BUNDLE` entries and at least one."""
    for dtype in dict.fromkeys(variable.dtype for variable in variables):
        bundle: list[tf.Variable] = []
        total = 0
        for variable in variables:
            if variable.dtype != dtype:
                continue
            total += variable.shape.num_elements()
            if bundle and total > _BUNDLE:
                yield bundle
                bundle, total = [], variable.shape.num_elements()
            bundle.append(variable)
        yield bundle


def pack(values: np.ndarray) -> list[bytes]:
    """Pack the entries that are not +0.0, and their positions.

    Args:
        values: An array of any shape and numeric dtype, taken as flat in C order.

    Returns:
        Deflated byte strings: one of gaps, then one for each byte of an entry. A gap is the number of zeros before a
        kept entry; a byte of 255 means that it continues in the next byte. The first bytes of all kept entries are
        stored together, then all second bytes, and so on, because exponents repeat and the rest of a float does not.
    """
    entries = np.ascontiguousarray(values).reshape(-1, 1).view(np.uint8)
    kept = np.flatnonzero(entries.any(axis=1))
    return [_deflate(_gaps(kept))] + [_deflate(entries[kept, byte]) for byte in range(values.dtype.itemsize)]


def unpack(packed: tf.Tensor, size: int, dtype: tf.DType) -> tf.Tensor:
    """Return the array that `pack` packed, with the same bits.

    Args:
        packed: What `pack` returned, as a vector of strings.
        size: The number of entries.
        dtype: The dtype of the entries.

    Returns:
        A tensor of shape (size,).
    """
    gaps, kept = tf.split(tf.io.decode_compressed(packed, "ZLIB"), [1, dtype.size])
    gaps = tf.cast(tf.io.decode_raw(gaps, tf.uint8), tf.int64)
    is_last = gaps < _LONGEST_GAP
    ends = tf.cumsum(gaps + tf.cast(is_last, tf.int64), axis=1)
    positions = tf.gather_nd(ends, tf.where(is_last)) - 1
    # Bytes are moved, not numbers: arithmetic would lose -0.0 and, on some processors, denormal numbers.
    places = tf.unstack(tf.io.decode_raw(kept, tf.uint8), num=dtype.size)
    rows = tf.stack(places, axis=1)  # not a transpose: on some processors oneDNN has none for bytes, and prints so
    entries = tf.tensor_scatter_nd_update(tf.zeros([size, dtype.size], tf.uint8), tf.expand_dims(positions, 1), rows)
    return tf.bitcast(entries, dtype)


def _gaps(kept: np.ndarray) -> np.ndarray:
    gaps = np.diff(kept, prepend=-1) - 1
    far, rest = np.divmod(gaps, _LONGEST_GAP)
    coded = np.full(int(far.sum()) + len(kept), _LONGEST_GAP, np.uint8)
    coded[np.cumsum(far + 1) - 1] = rest
    return coded


def _deflate(content: np.ndarray) -> bytes:
    """Return the shorter of two encodings: a search for repetitions lengthens what has none, such as random gaps."""
    return min((_compressed(content, strategy) for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY)), key=len)


def _compressed(content: np.ndarray, strategy: int) -> bytes:
    compressor = zlib.compressobj(strategy=strategy)
    return compressor.compress(content.tobytes()) + compressor.flush()
