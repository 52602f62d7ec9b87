import numpy as np
import pytest
import tiny

from tf_lottery import layers
from tf_lottery.errors import ModelError
from tf_lottery.keras_api import keras
from tf_lottery.prunable import KeepMask, Prunable, prunable_names


def test_the_wrapper_takes_name_and_dtype_of_its_layer():
    wrapper = Prunable(keras.layers.Dense(3, name="mine", dtype="mixed_bfloat16"))
    assert wrapper.name == "mine"
    assert wrapper.dtype_policy.name == "mixed_bfloat16"


def test_every_constructor_argument_survives_the_config():
    wrapper = Prunable(keras.layers.Dense(3, name="mine"), only=["kernel"], trainable=False)
    again = Prunable.from_config(wrapper.get_config())
    assert again.get_config() == wrapper.get_config()
    assert (again.name, again.only, again.trainable) == ("mine", ("kernel",), False)


def test_a_layer_with_nothing_to_prune_is_refused():
    with pytest.raises(ModelError, match=r"'relu' \(ReLU\) has the prunable weights \[\]"):
        Prunable(keras.layers.ReLU(name="relu"))


def test_an_unknown_weight_is_refused():
    with pytest.raises(ModelError, match=r"\['kernel'\]. Received: only=\['bias'\]"):
        Prunable(keras.layers.Dense(3), only=["bias"])


def test_prunable_weights_are_named_by_class_and_subclasses_inherit_them():
    class Mine(keras.layers.Dense):
        pass

    assert prunable_names(Mine(2)) == ("kernel",)
    assert prunable_names(keras.layers.Conv2D(2, 3)) == ("kernel",)
    assert prunable_names(keras.layers.BatchNormalization()) == ()


def test_masks_are_boolean_weights_that_do_not_train():
    wrapper = Prunable(keras.layers.Dense(3))
    wrapper.build((None, 2))
    assert wrapper.kernel_mask.numpy().tolist() == [[True] * 3] * 2
    assert [v.shape for v in wrapper.trainable_variables] == [(2, 3), (3,)]


def test_the_users_constraint_runs_first_and_the_mask_last():
    wrapper = Prunable(keras.layers.Dense(1, kernel_constraint=lambda w: w * 0 + 7, name="d"))
    wrapper.build((None, 2))
    wrapper.kernel_mask.assign([[True], [False]])
    assert np.asarray(wrapper.layer.kernel.constraint(wrapper.layer.kernel)).tolist() == [[7.0], [0.0]]


def test_pruned_entries_become_plus_zero_whatever_they_were():
    values = np.array([-1.0, -np.inf, np.nan, 2.0], np.float32)
    kept = KeepMask(np.array([False, False, False, True]))(values)
    assert np.asarray(kept).tobytes() == np.array([0, 0, 0, 2], np.float32).tobytes()


def test_frozen_layers_stay_frozen():
    plain = tiny.dense()
    plain.layers[-1].trainable = False
    assert len(layers.make_prunable(plain).trainable_variables) == 2
