"""What a model costs: how many values its file holds, and how many multiplications an example takes."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.core import masks as masks_lib
from tf_lottery.export import tracing
from tf_lottery.masking import constraint, conversion, model_masks, naming, prunable

# What has operations inside; TensorFlow has `StatelessWhile` and so on, too.
_CALLS = ("If", "While", "PartitionedCall")


@dataclass(frozen=True)
class Costs:
    """What a model costs.

    Attributes:
        parameters: Values in all its weights, BatchNorm statistics among them; masks and random states do not count.
        nonzero: Those that are not zero.
        multiply_adds: Multiplications of an input or intermediate value by another or by a weight, each with an
            addition, that one example takes in dense inference, zeros or not: in dense layers, convolutions and
            attention. Taps on padding count, as usual. Biases, activations, pooling, normalisation do not.
        uncounted: Operations whose multiply-adds are left out, as nothing says how often they run (recurrent layers
            that are not unrolled), or because a shape is not known. Empty where `multiply_adds` is all.
    """

    parameters: int
    nonzero: int
    multiply_adds: int
    uncounted: tuple[str, ...] = ()


def costs(model: Any) -> Costs:
    """Count what a Keras model costs, with or without masks.

    Args:
        model: A built model.

    Returns:
        Parameters, those other than 0, and multiply-adds of one example.

    Raises:
        ExportError: the shapes of a subclassed model's inputs are not known.
        ModelError: `model` is not built.

    Examples:
        >>> import tf_lottery as tfl
        >>> costs(tfl.models.build("lenet_300_100", (28, 28, 1), 10)).multiply_adds  # tfl.export.costs
        266200
    """
    model = conversion.plain(model)
    with _functions_inlined():
        graph = tracing.trace(model, batch=1).graph
    counted = {operation.name: _multiply_adds(operation) for operation in _used(graph)}
    variables = naming.named_variables(model).values()
    weights = [variable.numpy() for variable in variables if not keras_compat.is_random_state(variable)]
    return Costs(
        parameters=sum(weight.size for weight in weights),
        nonzero=sum(int(np.count_nonzero(weight)) for weight in weights),
        multiply_adds=sum(number or 0 for number in counted.values()),
        uncounted=tuple(sorted(name for name, number in counted.items() if number is None)),
    )


def density(model: Any) -> float:
    """Share of the prunable weights that a model keeps, 0-1: by its masks, or, where it has none, those other than 0.

    Args:
        model: A built model; 1 if nothing in it is prunable.

    Raises:
        ModelError: `model` is not built.
    """
    conversion.check_model(model)
    if constraint.has_masks(model):
        return model_masks.density(model)
    weights = [weight.numpy() for weight in prunable.prunable_weights(model).values()]
    return masks_lib.density({str(place): weight != 0 for place, weight in enumerate(weights)}) if weights else 1.0


@contextlib.contextmanager
def _functions_inlined() -> Iterator[None]:
    """Have what Keras makes a function of its own, as grouped convolutions, traced as a part of what calls it."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _used(graph: Any) -> Iterator[Any]:
    """The operations that the outputs need: Keras also traces a step of a recurrent layer just to know its shapes."""
    seen, left = set(), [tensor.op for tensor in graph.outputs]
    while left:
        operation = left.pop()
        if operation.name not in seen:
            seen.add(operation.name)
            yield operation
            left += [tensor.op for tensor in operation.inputs]


def _multiply_adds(operation: Any) -> int | None:
    """None where they are not known."""
    kind, inputs = operation.type, [tensor.shape for tensor in operation.inputs]
    if kind.endswith(_CALLS):
        return None
    (output, *_) = [tensor.shape for tensor in operation.outputs] or [tf.TensorShape([0])]
    if kind == "MatMul":
        factors = output.concatenate(inputs[0][:1] if operation.get_attr("transpose_a") else inputs[0][1:])
    elif kind == "BatchMatMulV2":
        factors = output.concatenate(inputs[0][-2:-1] if operation.get_attr("adj_x") else inputs[0][-1:])
    elif kind in ("Conv2D", "Conv3D"):  # kernels: places, then channels in, by group, and out
        factors = output.concatenate(inputs[1][:-1])
    elif kind == "DepthwiseConv2dNative":
        factors = output.concatenate(inputs[1][:2])
    elif kind in ("Conv2DBackpropInput", "Conv3DBackpropInputV2"):  # transposed; kernels: places, channels out, in
        factors = inputs[2].concatenate(inputs[1][:-1])
    elif kind == "Einsum":
        factors = output.concatenate(_summed(operation.get_attr("equation").decode(), inputs))
    else:
        return 0
    return factors.num_elements()


def _summed(equation: str, inputs: list[Any]) -> list[int | None]:
    """Lengths of the axes that an Einsum sums over.

    >>> _summed("...ab,bc->...ac", [tf.TensorShape([7, 2, 3]), tf.TensorShape([3, 5])])
    [3]
    """
    operands, _, result = equation.partition("->")
    lengths: dict[str, int | None] = {}
    for operand, shape in zip(operands.split(","), inputs, strict=True):
        first, _, last = operand.partition("...")
        lengths |= dict(zip(first, shape, strict=False)) | dict(zip(last[::-1], shape[::-1], strict=False))
    return [length for axis, length in lengths.items() if axis not in result]
