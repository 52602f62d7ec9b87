"""Models that tensorflow-model-optimization (tfmot) has wrapped, and the schedules and policies of tfmot.

Only this module imports tensorflow_model_optimization, and only when it is needed.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import Layer, Model
from tf_lottery.masking import constraint, model_masks, naming
from tf_lottery.masking.prunable import prunable_weights

_NEVER = 2**62  # a step that no training reaches


def adopt(model: Model) -> bool:
    """Take control of the masks in a model that `tfmot.sparsity.keras.prune_low_magnitude` has wrapped.

    From now on the masks hold after every optimizer step, and only `set_masks` and the callbacks of this package change
    them. tfmot does not rank weights again, whatever its schedule says, and does not require its callback
    `UpdatePruningStep`, which does no harm. tfmot's `strip_pruning` and the files of the model work as before; the
    files contain tfmot's own `ConstantSparsity` as the frozen schedule.

    The callbacks of this package call this function at the start of `fit`; those that prune first refuse models with
    patterns (`sparsity_m_by_n`, `block_size`), which they would destroy. Calling it again changes nothing.

    Args:
        model: Any model. If tfmot has wrapped nothing in it, nothing happens and tfmot is not imported.

    Returns:
        Whether tfmot has wrapped layers of `model`.

    Examples:
        >>> import tf_lottery as tfl
        >>> model = tfl.models.build("lenet_300_100", (8, 8, 1), 10)
        >>> tfl.tfmot_bridge.adopt(model)  # True after `prune_low_magnitude(model)`
        False
    """
    wrappers = _wrappers(model)
    changed = [_freeze(wrapper) for wrapper in wrappers]
    if any(changed):
        if model.train_function is not None:
            keras_compat.retrace_training(model)  # a trace holds the old schedule and knows no mask
        model_masks.apply_masks(model)  # tfmot leaves pruned weights nonzero after an optimizer step
    return bool(wrappers)


def refuse_patterns(model: Model) -> None:
    """Refuse a model whose pattern, or whose schedules by layer, a callback of this package would destroy.

    `LotteryTicket` and `ScheduledPruning` call this function at the start of `fit`, before `adopt`.

    Args:
        model: Any model. One in which tfmot has wrapped nothing is accepted.

    Raises:
        ModelError: tfmot has wrapped layers with `sparsity_m_by_n` or `block_size`, or with schedules that differ.

    Examples:
        >>> import tf_lottery as tfl
        >>> tfl.tfmot_bridge.refuse_patterns(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
    """
    wrappers = [wrapper for wrapper in _wrappers(model) if wrapper.pruning_vars]  # Flatten has nothing to prune
    patterns = {wrapper.layer.name: pattern for wrapper in wrappers if (pattern := _pattern(wrapper))}
    if patterns:
        found = ", ".join(f"{name!r} with {pattern}" for name, pattern in patterns.items())
        raise ModelError(
            f"tfmot has wrapped {found}: tf_lottery prunes single weights, which would destroy this pattern. Prune the "
            "model with tfmot alone, after which `tfl.tfmot_bridge.adopt(model)` keeps its masks in any training; or "
            "wrap it without a pattern."
        )
    schedules = [_config(wrapper.pruning_schedule) for wrapper in wrappers]
    if differing := [config for config in schedules if config != schedules[0]]:
        raise ModelError(
            f"tfmot has wrapped layers with schedules of their own, such as {schedules[0]} and {differing[0]}, which a "
            "callback of tf_lottery would replace by one for all. Wrap all layers with the same schedule, or call "
            "`tfl.tfmot_bridge.adopt(model)` first, which drops the schedules."
        )


def _wrappers(model: Model) -> list[Layer]:
    return [layer for layer in keras_compat.all_layers(model) if getattr(layer, "pruning_obj", None) is not None]


def _pattern(wrapper: Layer) -> str:
    """Return how the arguments of `prune_low_magnitude` describe the pattern of a wrapper; "" for single weights."""
    if wrapper.sparsity_m_by_n:
        return f"sparsity_m_by_n={tuple(wrapper.sparsity_m_by_n)}"
    block = tuple(wrapper.block_size)
    return "" if block == (1, 1) else f"block_size={block}"


def _config(schedule: Any) -> Any:
    try:
        return schedule.get_config()
    except NotImplementedError:
        return schedule


def _freeze(wrapper: Layer) -> bool:
    """Freeze the schedule of one wrapper of tfmot and make its masks hold; return False if this is done already."""
    if getattr(wrapper.pruning_schedule, "begin_step", None) == _NEVER and all(
        constraint.mask_of(weight) is not None for weight, _, _ in wrapper.pruning_vars
    ):
        return False
    wrapper.pruning_schedule = import_tfmot().ConstantSparsity(0.0, begin_step=_NEVER)
    wrapper.pruning_obj._pruning_schedule = wrapper.pruning_schedule
    # From step 1 on, tfmot assumes that its callback is present, and does not rank for m:n sparsity any more.
    wrapper.pruning_step.assign(tf.maximum(wrapper.pruning_step, 1))
    for weight, mask, _ in wrapper.pruning_vars:
        if constraint.mask_of(weight) is None:
            constraint.keep(weight, mask)
    return True


def excluded_by(policy: Any, model: Model) -> list[str]:
    """Return the names of the weights that a policy of tfmot does not prune, for `exclude` of `make_prunable`.

    Args:
        policy: A `tfmot.sparsity.keras.PruningPolicy`, such as `PruneForLatencyOnXNNPack()`, or an object of your own
            with the same two methods.
        model: A built model of legacy Keras, without masks.

    Returns:
        The names of the prunable weights in layers that the policy does not allow to prune.

    Raises:
        ModelError: the policy does not support `model`, or the process uses Keras 3, which tfmot does not know.

    Examples:
        >>> import tf_lottery as tfl
        >>> model = tfl.models.build("lenet_300_100", (8, 8, 1), 10)
        >>> policy = tfl.tfmot_bridge.import_tfmot().PruneForLatencyOnXNNPack()
        >>> try:
        ...     model = tfl.make_prunable(model, exclude=tfl.tfmot_bridge.excluded_by(policy, model))
        ... except tfl.errors.ModelError:
        ...     print("This policy is for networks of 1x1 convolutions.")
        This policy is for networks of 1x1 convolutions.
    """
    if not keras_compat.LEGACY:
        raise ModelError(
            "Policies of tfmot know the layers of legacy Keras only. Set TF_USE_LEGACY_KERAS=1 and build the model "
            "with tf_keras, or pass `exclude` to `make_prunable` yourself."
        )
    if not hasattr(policy, "ensure_model_supports_pruning"):
        raise ModelError(f"`policy` must be a policy of tfmot, like PruneForLatencyOnXNNPack(). Received: {policy!r}")
    try:
        policy.ensure_model_supports_pruning(model)
    except ValueError as error:
        raise ModelError(f"{type(policy).__name__} does not support {model.name!r}: {error}") from error
    allowed = [path for path, layer in _outermost_layers(model).items() if policy.allow_pruning(layer)]
    return [name for name in prunable_weights(model) if not name.startswith(tuple(f"{path}/" for path in allowed))]


def _outermost_layers(model: Model) -> dict[str, Layer]:
    """Return the layers that tfmot would wrap, by path: those that are inside models, but not inside other layers."""
    outermost: dict[str, Layer] = {}
    for path, layer in naming.named_layers(model).items():  # a layer comes before the layers inside it
        inside = path.startswith(tuple(f"{outer}/" for outer in outermost))
        if not inside and not keras_compat.is_layer_graph(layer):
            outermost[path] = layer
    return outermost


def import_tfmot() -> Any:
    """Import tfmot for its schedules and policies, without changing the process.

    A plain import sets TF_USE_LEGACY_KERAS, so that `tf.keras` becomes legacy Keras if it has not been used before.

    Returns:
        The module `tfmot.sparsity.keras`.

    Examples:
        >>> import tf_lottery as tfl
        >>> schedule = tfl.tfmot_bridge.import_tfmot().PolynomialDecay(0.0, 0.8, begin_step=0, end_step=1000)
        >>> should_prune, sparsity = schedule(1000)
        >>> round(float(sparsity), 3)
        0.8
    """
    with _environment_kept():
        return importlib.import_module("tensorflow_model_optimization").sparsity.keras


@contextmanager
def _environment_kept() -> Iterator[None]:
    before = dict(os.environ)
    _ = tf.keras.Model  # TensorFlow decides at the first use which Keras tf.keras is: now, by the unchanged environment
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
