"""Models that tfmot has wrapped, whose masks become ours to move; its schedules and policies.

The only room that imports tensorflow_model_optimization (tfmot), and only when it is needed.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.masking import constraint, model_masks, naming
from tf_lottery.masking.prunable import prunable_weights

_NEVER = 2**62


def adopt(model: Any) -> bool:
    """Take the masks of a model that `tfmot.sparsity.keras.prune_low_magnitude` wrapped over from tfmot.

    From now on the masks hold after every optimizer step, and only `set_masks` and the callbacks of this package change
    them: tfmot does not rank weights again, whatever its schedule, and does not ask for its `UpdatePruningStep`
    callback (which does no harm). tfmot's `strip_pruning` and its files work as before; the frozen schedule in them is
    tfmot's own `ConstantSparsity`. The callbacks of this package call it at the start of `fit`.

    Args:
        model: Any model. Where tfmot has wrapped nothing, nothing happens and tfmot is not imported.

    Returns:
        Whether tfmot has wrapped layers of `model`. Adopting twice is the same as once.
    """
    wrappers = [layer for layer in keras_compat.all_layers(model) if getattr(layer, "pruning_obj", None) is not None]
    changed = [_freeze(wrapper) for wrapper in wrappers]
    if any(changed):
        if model.train_function is not None:
            keras_compat.retrace_training(model)  # a trace holds the old schedule and knows no mask
        model_masks.apply_masks(model)  # tfmot leaves pruned weights nonzero after an optimizer step
    return bool(wrappers)


def _freeze(wrapper: Any) -> bool:
    """Freeze one wrapper of tfmot; False if it is frozen already."""
    if getattr(wrapper.pruning_schedule, "begin_step", None) == _NEVER and all(
        constraint.mask_of(weight) is not None for weight, _, _ in wrapper.pruning_vars
    ):
        return False
    wrapper.pruning_schedule = import_tfmot().ConstantSparsity(0.0, begin_step=_NEVER)
    wrapper.pruning_obj._pruning_schedule = wrapper.pruning_schedule
    # From 1 on tfmot believes that its callback is there; and only the step from 0 to 1 ranks for m:n sparsity.
    wrapper.pruning_step.assign(tf.maximum(wrapper.pruning_step, 1))
    for weight, mask, _ in wrapper.pruning_vars:
        if constraint.mask_of(weight) is None:
            constraint.keep(weight, mask)
    return True


def excluded_by(policy: Any, model: Any) -> list[str]:
    """Return the weights that a policy of tfmot leaves unpruned, for `exclude` of `make_prunable`.

    Args:
        policy: A `tfmot.sparsity.keras.PruningPolicy`, like `PruneForLatencyOnXNNPack()`, or a class of your own with
            its two methods.
        model: A built model of legacy Keras, without masks.

    Returns:
        Weight names: those of layers that the policy does not allow to prune.

    Raises:
        ModelError: the policy does not support `model`, or `model` is one of Keras 3, which tfmot does not know.

    Example:
        ```python
        model = tfl.make_prunable(model, exclude=excluded_by(import_tfmot().PruneForLatencyOnXNNPack(), model))
        ```
    """
    if not keras_compat.LEGACY:
        raise ModelError(
            "Policies of tfmot know the layers of legacy Keras only. Set TF_USE_LEGACY_KERAS=1 and build the model "
            "with tf_keras; or tell `make_prunable` itself what to `exclude`."
        )
    if not hasattr(policy, "ensure_model_supports_pruning"):
        raise ModelError(f"A policy of tfmot is needed, like PruneForLatencyOnXNNPack(). Received: {policy!r}")
    try:
        policy.ensure_model_supports_pruning(model)
    except ValueError as error:
        raise ModelError(f"{type(policy).__name__} does not support {model.name!r}: {error}") from error
    allowed = [path for path, layer in _outermost_layers(model).items() if policy.allow_pruning(layer)]
    return [name for name in prunable_weights(model) if not name.startswith(tuple(f"{path}/" for path in allowed))]


def _outermost_layers(model: Any) -> dict[str, Any]:
    """Return the layers that tfmot would wrap, by path: those that are inside of models only."""
    outermost: dict[str, Any] = {}
    for path, layer in naming.named_layers(model).items():  # what is inside comes after what it is in
        inside = path.startswith(tuple(f"{outer}/" for outer in outermost))
        if not inside and not keras_compat.is_layer_graph(layer):
            outermost[path] = layer
    return outermost


def import_tfmot() -> Any:
    """`tfmot.sparsity.keras`, for its schedules and policies, imported without what the plain import does to a process.

    That sets TF_USE_LEGACY_KERAS, and thereby decides that `tf.keras` is legacy Keras if nobody has used it yet.

    Example:
        ```python
        schedule = import_tfmot().PolynomialDecay(0.0, 0.8, begin_step=0, end_step=1000)
        ```
    """
    with _environment_kept():
        return importlib.import_module("tensorflow_model_optimization").sparsity.keras


@contextmanager
def _environment_kept() -> Iterator[None]:
    before = dict(os.environ)
    _ = tf.keras.Model  # has TensorFlow decide now, by the environment as it is, which Keras tf.keras is
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
