import numpy as np
import pytest
import tiny

from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import constraint
from tf_lottery.masking.constraint import KeepMask
from tf_lottery.masking.prunable import MaskHolder, Prunable


@pytest.mark.parametrize("mask", [[False, False, False, True], [0.0, 0.0, 0.0, 1.0]])
def test_pruned_entries_become_plus_zero_whatever_they_were(mask):
    values = np.array([-1.0, -np.inf, np.nan, 2.0], np.float32)
    assert np.asarray(KeepMask(np.array(mask))(values)).tobytes() == np.array([0, 0, 0, 2], np.float32).tobytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_weight_keeps_its_dtype(dtype):
    weight = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, dtype=dtype)]).layers[-1].kernel
    assert KeepMask(np.array([[True], [False]]))(weight).dtype.name == dtype


def test_the_users_constraint_runs_first_and_the_mask_last():
    wrapper = Prunable(keras.layers.Dense(1, kernel_constraint=lambda w: w * 0 + 7))
    wrapper.build((None, 2))
    wrapper.masks()["kernel"].assign([[True], [False]])
    assert np.asarray(wrapper.layer.kernel.constraint(wrapper.layer.kernel)).tolist() == [[7.0], [0.0]]


def test_a_released_weight_has_the_users_constraint_again():
    dense = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_constraint="non_neg")]).layers[-1]
    before = dense.kernel.constraint
    MaskHolder().own_mask("dense/kernel", dense.kernel)
    assert dense.kernel.constraint is not before
    constraint.release(dense.kernel)
    assert dense.kernel.constraint is before
    assert constraint.mask_of(dense.kernel) is None


def test_a_weight_gets_one_mask_which_is_known_by_the_name_of_the_weight():
    holder = MaskHolder()
    first, second = [layer.kernel for layer in tiny.dense().layers if hasattr(layer, "kernel")]
    for name, kernel in [("dense/kernel", first), ("dense_1/kernel", second), ("other", first)]:
        holder.own_mask(name, kernel)
    assert list(holder.masks()) == ["dense/kernel", "dense_1/kernel"]
    assert [keras_compat.own_name(mask) for mask in holder.weights] == [
        "mask_of_dense_kernel",
        "mask_of_dense_1_kernel",
    ]
    assert constraint.mask_of(first) is holder.masks()["dense/kernel"]
    assert constraint.mask_of(second) is holder.masks()["dense_1/kernel"]


def test_masks_are_boolean_weights_of_ones_that_do_not_train():
    holder = MaskHolder()
    holder.own_mask("dense_1/kernel", tiny.dense().layers[-1].kernel)
    assert holder.weights[0].numpy().tolist() == [[True] * 3] * 4
    assert holder.trainable_variables == []


def test_masks_are_stored_by_name_and_their_order_does_not_matter():
    def owner(*names):
        made = MaskHolder()
        for name in names:
            made.own_mask(name, keras.layers.Dense(1).add_weight(shape=(2,), name="kernel"))
        return made

    store = {}
    first, second = owner("a", "b/c"), owner("b/c", "a")
    first.masks()["a"].assign([True, False])
    first.save_own_variables(store)
    second.load_own_variables(store)
    assert {name: mask.numpy().tolist() for name, mask in second.masks().items()} == {
        "a": [True, False],
        "b/c": [True, True],
    }
    with pytest.raises(ModelError, match=r"In the file only: \['a'\]. In the model only: \['d'\]"):
        owner("d", "b/c").load_own_variables(store)


def test_wrappers_and_holders_own_masks_and_other_layers_do_not():
    assert constraint.owns_masks(Prunable(keras.layers.Dense(1)))
    assert constraint.owns_masks(MaskHolder())
    assert not constraint.owns_masks(keras.layers.Dense(1))


def owner():
    dense = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).layers[-1]
    holder = MaskHolder()
    holder.own_mask("dense/kernel", dense.kernel)
    return holder


@pytest.mark.parametrize(
    ("names", "masks", "message"),
    [
        (b'["dense/kernel"]', {"0": [[1], [0], [1]]}, r"'dense/kernel' in the file has shape \(3, 1\), not \(2, 1\)"),
        (b'["dense/kernel"]', {}, "damaged: '0'"),
        (b"[1]", {"0": [[1], [0]]}, r"damaged: `\[0\]` must be text"),
        (b'{"a": 1}', {}, "damaged: it must be a list"),
        (b"\xff", {}, "damaged: "),
        (b"[" * 100_000, {}, "damaged: "),
    ],
)
def test_damaged_masks_of_a_file_are_a_typed_error_and_change_nothing(names, masks, message):
    holder = owner()
    with pytest.raises(ModelError, match=message):
        holder.load_own_variables({"names": np.frombuffer(names, np.uint8), **masks})
    assert all(np.asarray(mask).all() for mask in holder.masks().values())
