"""Variables that a SavedModel has without values, and what fills them once when it is loaded."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

# TensorFlow has no public way to save a variable without its value; what these lines rest on is private. The version is
# pinned, and tests/export/test_saved_model.py goes red if another one does something else.
from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

from tf_lottery.export import packing

_BUNDLE = 2**24  # entries that are packed, and unpacked, together: bounds the memory that loading takes for a while


class Unfilled(UninitializedVariable):
    """Stands for a variable while it is saved: the same, but without a value."""

    def __init__(self, variable: tf.Variable):
        super().__init__(
            trainable=variable.trainable, shape=variable.shape, dtype=variable.dtype, name=variable.name.split(":")[0]
        )
        self._stands_for = variable

    def _export_to_saved_model_graph(self, object_map: Any = None, tensor_map: Any = None, **_: Any) -> list[Any]:
        """Have functions of the SavedModel use this variable where they used the other."""
        object_map[self] = saved = Unfilled(self._stands_for)
        tensor_map[self._stands_for.handle] = saved.handle
        return [self._stands_for.handle]

    def _serialize_to_tensors(self) -> dict[str, Any]:
        return {}


class Filler(tf.saved_model.experimental.TrackableResource):
    """Fills variables from their packed values, after a SavedModel of it was restored.

    Loaders restore variables first and initialise resources then, in TensorFlow 2 and in sessions alike. This is a
    resource for that reason only.

    Args:
        variables: Those to fill; they have the values to pack now.
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
            with tf.device("CPU"):  # whatever else there is: it has no memory to spare for this
                pieces = tf.split(packing.unpack(packed, sum(sizes), bundle[0].dtype), sizes)
            for variable, piece in zip(bundle, pieces, strict=True):
                variable.assign(tf.reshape(piece, variable.shape), read_value=False)


def _packed(bundle: Sequence[tf.Variable]) -> list[bytes]:
    return packing.pack(np.concatenate([variable.numpy().ravel() for variable in bundle]))


def _bundles(variables: Sequence[tf.Variable]) -> Iterator[list[tf.Variable]]:
    """Variables of one dtype each, in order, as many as stay below the limit and at least one."""
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
