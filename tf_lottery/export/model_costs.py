"""What a model costs: the number of values in its weights, and of the multiply-adds that one example takes."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.core import masks as masks_lib
from tf_lottery.export import tracing
from tf_lottery.keras_compat import Model
from tf_lottery.masking import constraint, conversion, model_masks, naming, prunable

# Endings of the types of operations that run other operations: `While`, `StatelessWhile` and so on.
_CALLS = ("If", "While", "PartitionedCall")


@dataclass(frozen=True)
class Costs:
    """The costs of a model.

    Attributes:
        parameters: Number of values in all its weights, BatchNorm statistics included; masks and random states do not
            count.
        nonzero: Number of those values that are not zero.
        multiply_adds: Number of multiplications, each with an addition, that one example takes in dense inference,
            zeros or not: products of an input or intermediate value with another or with a weight, in dense layers,
            convolutions and attention. Taps on padding count, as usual. Biases, activations, pooling and normalisation
            do not.
        uncounted: Names of operations whose multiply-adds are left out, because it is unknown how often they run
            (recurrent layers that are not unrolled) or because a shape is unknown. Empty where `multiply_adds` is
            complete.
    """

    parameters: int
    nonzero: int
    multiply_adds: int
    uncounted: tuple[str, ...] = ()


def costs(model: Model) -> Costs:
    """Count the parameters and multiply-adds of a Keras model, with or without masks.

    Args:
        model: A built model.

    Returns:
        The number of parameters, of those other than 0, and of multiply-adds for one example.

    Raises:
        ExportError: the input shapes of a subclassed model are unknown.
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


def density(model: Model) -> float:
    """Return the share of the prunable weights that a model keeps.

    Args:
        model: A built model. Its masks say what is kept; without masks, all weights other than 0 are.

    Returns:
        The density, 0-1; 1 if nothing in the model is prunable.

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
    """Trace what Keras makes a function of its own, such as a grouped convolution, as a part of its caller."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _used(graph: tf.Graph) -> Iterator[tf.Operation]:
    """Yield the operations that the outputs need: Keras also traces a step of a recurrent layer for its shapes only."""
    seen, left = set(), [tensor.op for tensor in graph.outputs]
    while left:
        operation = left.pop()
        if operation.name not in seen:
            seen.add(operation.name)
            yield operation
            left += [tensor.op for tensor in operation.inputs]


def _multiply_adds(operation: tf.Operation) -> int | None:
    """Count the multiply-adds of an operation; None where the number is unknown."""
    kind, inputs = operation.type, [tensor.shape for tensor in operation.inputs]
    if kind.endswith(_CALLS):
        return None
    (output, *_) = [tensor.shape for tensor in operation.outputs] or [tf.TensorShape([0])]
    if kind == "MatMul":
        factors = output.concatenate(inputs[0][:1] if operation.get_attr("transpose_a") else inputs[0][1:])
    elif kind == "BatchMatMulV2":
        factors = output.concatenate(inputs[0][-2:-1] if operation.get_attr("adj_x") else inputs[0][-1:])
    elif kind in ("Conv2D", "Conv3D"):  # kernel: places, channels in (of a group), channels out
        factors = output.concatenate(inputs[1][:-1])
    elif kind == "DepthwiseConv2dNative":
        factors = output.concatenate(inputs[1][:2])
    elif kind in (
        "Conv2DBackpropInput",
        "Conv3DBackpropInputV2",
    ):  # transposed; kernel: places, channels out, channels in
        factors = inputs[2].concatenate(inputs[1][:-1])
    elif kind == "Einsum":
        factors = output.concatenate(_summed(operation.get_attr("equation").decode(), inputs))
    else:
        return 0
    return factors.num_elements()


def _summed(equation: str, inputs: list[tf.TensorShape]) -> list[int | None]:
    """Return the lengths of the axes that an Einsum sums over.

    >>> _summed("...ab,bc->...ac", [tf.TensorShape([7, 2, 3]), tf.TensorShape([3, 5])])
    [3]
    """
    operands, _, result = equation.partition("->")
    lengths: dict[str, int | None] = {}
    for operand, shape in zip(operands.split(","), inputs, strict=True):
        first, _, last = operand.partition("...")
        lengths |= dict(zip(first, shape, strict=False)) | dict(zip(last[::-1], shape[::-1], strict=False))
    return [length for axis, length in lengths.items() if axis not in result]
