"""The private attributes of Keras and TensorFlow that `keras_compat` uses, so that a version without one is noticed."""

import ast
import re
from pathlib import Path

import pytest
import tensorflow as tf
import tiny  # switches on random state that can be read

from tf_lottery import keras_compat
from tf_lottery.keras_compat import LEGACY, keras

L = keras.layers


def functional():
    words = keras.Input((4,), dtype="int32")
    return keras.Model(words, L.Dense(2)(L.Embedding(3, 2, mask_zero=True)(words)))


def compiled():
    model = functional()
    model.compile("sgd", "mse")
    return model


def masked_tensor():
    return functional().layers[-1].input


def node():
    return next(iter(functional()._nodes_by_depth.values()))[0]


def averaging():
    optimizer = keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.9), use_ema=True)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build(functional().trainable_variables)
    return optimizer


def loss_scale():
    return keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD())._loss_scale


def mirrored_variable():
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        return tf.Variable(1.0)


def auto_cast_variable():
    layer = L.Dense(2, dtype="mixed_float16")
    layer.build((1, 2))
    return layer.kernel


def captured_handle():
    variable = tf.Variable(1.0)
    return tf.function(lambda: variable + 1).get_concrete_function().graph.captures[0][0]


def dropout():
    return keras.Sequential([keras.Input((2,)), L.Dropout(0.5)]).layers[-1]


# What has them, and how to make one; names of attributes
ON_BOTH = [
    ("Layer", lambda: L.Layer(), ["_flatten_layers", "_inbound_nodes", "_outbound_nodes"]),
    ("functional Model", functional, ["_nodes_by_depth"]),
    ("KerasTensor", masked_tensor, ["_keras_history", "_keras_mask"]),
    ("Node", node, ["outputs"]),
    (
        "Optimizer",
        averaging,
        [
            "_exclude_from_weight_decay",
            "_learning_rate",
            "_model_variables_moving_average",
            "_use_weight_decay",
            "_var_key",
        ],
    ),
    (
        "LossScaleOptimizer",
        lambda: keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD()),
        ["inner_optimizer"],
    ),
    ("Layer.build", lambda: L.Layer.build, ["_is_default"]),
    ("a captured handle", captured_handle, ["_parent_trackable"]),
]
ON_KERAS_3 = [
    ("Sequential", tiny.dense, ["_functional"]),
    ("Model", functional, ["_tracker"]),
    ("Model._tracker", lambda: functional()._tracker, ["lock", "unlock", "untrack"]),
    ("Node", node, ["arguments", "input_tensors", "operation"]),
    (
        "Optimizer",
        averaging,
        [
            "_exclude_from_weight_decay_cache",
            "_exclude_from_weight_decay_pattern",
            "_iterations",
            "_trainable_variables",
            "_trainable_variables_indices",
            "_variables",
        ],
    ),
    ("SwapEMAWeights", lambda: keras.callbacks.SwapEMAWeights(), ["_ema_weights_in_model"]),
    ("Variable", lambda: functional().weights[0], ["_value"]),
]
ON_LEGACY_KERAS = [
    ("Sequential", tiny.dense, ["_nodes_by_depth"]),
    (
        "Model",
        compiled,
        [
            "_delete_tracking",
            "_predict_counter",
            "_steps_per_execution",
            "_test_counter",
            "_track_trackable",
            "_train_counter",
        ],
    ),
    ("Layer", lambda: tiny.dense().layers[-1], ["_trainable_weights"]),
    ("Node", node, ["call_args", "call_kwargs", "keras_inputs", "layer"]),
    ("Optimizer", averaging, ["_current_learning_rate", "_exclude_from_weight_decay_names", "_index_dict"]),
    ("LossScaleOptimizer", lambda: keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD()), ["_loss_scale"]),
    ("LossScaleOptimizer._loss_scale", loss_scale, ["_counter", "_current_loss_scale"]),
    ("tf.Variable", lambda: tf.Variable(1.0), ["_constraint"]),
    ("MirroredVariable", mirrored_variable, ["_values"]),
    ("AutoCastVariable", auto_cast_variable, ["_variable"]),
    ("Dropout", dropout, ["_random_generator"]),
    ("Dropout._random_generator", lambda: dropout()._random_generator, ["_generator"]),
]
ALL = ON_BOTH + ON_KERAS_3 + ON_LEGACY_KERAS
HERE = ON_BOTH + (ON_LEGACY_KERAS if LEGACY else ON_KERAS_3)


@pytest.mark.parametrize(("owner", "make", "names"), HERE, ids=[owner for owner, _, _ in HERE])
def test_this_version_of_keras_has_every_private_attribute_that_is_used(owner, make, names):
    thing = make()
    missing = [name for name in names if not hasattr(thing, name)]
    assert not missing, (
        f"{owner} of {keras.__name__} {keras.__version__} on TensorFlow {tf.__version__} has no {', '.join(missing)}: "
        "find what replaces it and change the functions of tf_lottery/keras_compat that use it"
    )


def test_this_version_of_tensorflow_has_the_methods_that_variables_without_a_value_override():
    overridden = ["_export_to_saved_model_graph", "_serialize_to_tensors"]
    assert [name for name in overridden if hasattr(keras_compat.uninitialised_variable_class(), name)] == overridden


def test_this_version_of_keras_has_cells_of_convlstm_layers():
    assert [cell.__name__ for cell in keras_compat.conv_lstm_cells()] == ["ConvLSTMCell"]


def test_the_table_has_every_private_attribute_that_is_used():
    used = {name for path in Path(keras_compat.__file__).parent.glob("*.py") for name in private_names(path)}
    assert used == {name for _, _, names in ALL for name in names if name.startswith("_")}


def private_names(path):
    """Yield the names of private attributes in a file: `thing._name`, and `"_name"` as in `getattr(thing, "_name")`."""
    for part in ast.walk(ast.parse(path.read_text())):
        name = getattr(part, "attr", None) or (getattr(part, "value", None) if isinstance(part, ast.Constant) else None)
        is_private = isinstance(name, str) and name.startswith("_") and not name.startswith("__")
        if is_private and name.isidentifier() and not re.fullmatch("_|_self_", name):  # two beginnings of names
            yield name
