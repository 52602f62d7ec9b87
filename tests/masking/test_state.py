import numpy as np
import pytest
import tiny

from tf_lottery import keras_compat
from tf_lottery.errors import ModelError, PruningError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks, state


def trained():
    model = conversion.make_prunable(tiny.convolutional())
    model.compile(keras.optimizers.Adam(0.01), tiny.loss())
    model.fit(tiny.X, tiny.Y, batch_size=8, verbose=0)
    return model


def same(first, second):
    return all(np.array_equal(first[group][name], second[group][name]) for group in first for name in first[group])


def test_a_state_holds_everything_that_training_changes_except_the_masks():
    captured = state.capture(model := trained(), model.optimizer)
    weights = set(captured["weights"])
    assert {"conv2d/kernel", "batch_normalization/moving_variance", "output/bias"} < weights
    assert any(name.startswith("dropout/") for name in weights)
    assert not any("mask" in name for name in weights)
    assert len(captured["optimizer"]) >= 1 + 2 * len(model.trainable_variables)


def test_a_restored_state_is_the_captured_one():
    model = trained()
    before = state.capture(model, model.optimizer)
    model.fit(tiny.X, tiny.Y, batch_size=8, verbose=0)
    assert not same(before, state.capture(model, model.optimizer))
    state.restore(before, model, model.optimizer)
    assert same(before, state.capture(model, model.optimizer))


@pytest.mark.skipif(not keras_compat.LEGACY, reason="Keras 3 always has a random state that can be captured")
def test_legacy_dropout_that_cannot_be_captured_is_named_in_a_warning():
    keras.backend.experimental.disable_tf_random_generator()
    try:
        model = conversion.make_prunable(tiny.convolutional())
    finally:
        keras.backend.experimental.enable_tf_random_generator()
    model.compile("adam", tiny.loss())
    model.optimizer.build(model.trainable_variables)
    with pytest.warns(UserWarning, match="The random state of dropout cannot be captured"):
        state.capture(model, model.optimizer)


def test_captured_arrays_are_copies():
    model = trained()
    before = state.weights(model)
    kernel = before["output/kernel"].copy()
    model.get_layer("output").layer.kernel.assign(kernel * 0)
    assert np.array_equal(before["output/kernel"], kernel)


def test_exact_start_a_restored_state_is_masked_bit_for_bit():
    model = trained()
    before = state.capture(model, model.optimizer)
    model_masks.set_masks(model, masks := tiny.half_masks(model))
    state.restore(before, model, model.optimizer)
    for name, weight in model_masks.prunable_weights(model).items():
        expected = np.where(masks[name], before["weights"][name], np.float32(0))
        assert weight.tobytes() == expected.tobytes()


@pytest.mark.parametrize("use_ema", [False, True])
def test_exact_start_new_masks_and_a_state_are_restored_together(use_ema):
    model = conversion.make_prunable(tiny.dense())
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9, use_ema=use_ema), tiny.loss())
    model.fit(tiny.X, tiny.Y, batch_size=8, verbose=0)
    before, masks = state.capture(model, model.optimizer), tiny.half_masks(model)
    returned = state.restore(before, model, model.optimizer, {name: mask.astype(int) for name, mask in masks.items()})
    assert all(np.array_equal(mask, masks[name]) for name, mask in model_masks.get_masks(model).items())
    now, trained = state.weights(model), state.trained_weights(model)
    for name, array in before["weights"].items():
        expected = np.where(masks[name], array, np.float32(0)) if name in masks else array
        assert now[name].tobytes() == returned[name].tobytes() == expected.tobytes()
    assert all(not array[~masks[name]].any() for name, array in trained.items() if name in masks)
    weights = [weight for weight, _ in model_masks.masked_variables(model).values()]
    averages = [average.numpy() for _, average in keras_compat.moving_averages(model.optimizer, weights)]
    assert len(averages) == (len(masks) if use_ema else 0)
    assert all(not average[~mask].any() for average, mask in zip(averages, masks.values(), strict=False))


@pytest.mark.parametrize("masks", [{}, {"dense/kernel": np.ones((1, 1)), "dense_1/kernel": np.ones((4, 3))}])
def test_masks_that_do_not_fit_change_nothing(masks):
    model = tiny.half_masked()
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), tiny.loss())
    model.fit(tiny.X, tiny.Y, batch_size=8, verbose=0)
    before = state.capture(model, model.optimizer)
    zeros = {group: {name: array * 0 for name, array in arrays.items()} for group, arrays in before.items()}
    with pytest.raises(PruningError, match="Masks must fit the weights they are for"):
        state.restore(zeros, model, model.optimizer, masks)
    with pytest.raises(PruningError, match="Masks must fit the weights they are for"):
        state.set_weights(zeros["weights"], model, masks)
    assert same(before, state.capture(model, model.optimizer))


def test_training_does_not_change_the_arrays_that_were_set():
    model = tiny.half_masked()
    model.compile(keras.optimizers.Adam(0.1), tiny.loss())
    arrays = {name: aligned(array) for name, array in state.weights(model).items()}
    returned = state.set_weights(arrays, model)
    kept = [{name: array.copy() for name, array in each.items()} for each in (arrays, returned)]
    model.fit(tiny.X, tiny.Y, batch_size=8, verbose=0)
    assert all(np.array_equal(array, kept[0][name]) for name, array in arrays.items())
    assert all(np.array_equal(array, kept[1][name]) for name, array in returned.items())
    assert not np.array_equal(state.weights(model)["dense_1/bias"], arrays["dense_1/bias"])


def aligned(array):
    """A copy that begins where TensorFlow's own arrays begin: such a one it may take without copying."""
    room = np.empty(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def test_a_state_of_another_model_is_refused_and_changes_nothing():
    model, other = trained(), tiny.dense()
    before = state.weights(model)
    with pytest.raises(ModelError, match=r"missing 'conv2d/kernel'.*unknown 'dense/kernel'"):
        state.set_weights(state.weights(other), model)
    wrong = {**before, "output/bias": np.zeros(7, np.float32)}
    with pytest.raises(ModelError, match=r"'output/bias' has shape \(7,\), expected \(3,\)"):
        state.set_weights(wrong, model)
    assert all(np.array_equal(array, state.weights(model)[name]) for name, array in before.items())


@pytest.mark.parametrize("group", ["weights", "optimizer"])
def test_a_state_that_lacks_a_group_is_refused(group):
    model = trained()
    captured = state.capture(model, model.optimizer)
    del captured[group]
    with pytest.raises(ModelError, match=f"The state lacks {group}"):
        state.restore(captured, model, model.optimizer)


@pytest.mark.parametrize("read", [state.exempt_from_decay, state.build_optimizers])
def test_an_optimizer_of_weights_that_the_model_does_not_have_is_refused(read):
    names = {"": ["other/kernel"]}
    optimizer = keras.optimizers.SGD()
    with pytest.raises(ModelError, match="weights that the model does not have: other/kernel"):
        read(tiny.dense(), {"": optimizer}, {"undecayed": names} if read is state.exempt_from_decay else names)


def test_an_optimizer_of_another_kind_is_refused_before_the_weights_are_touched():
    model = trained()
    captured = state.capture(model, model.optimizer)
    captured["weights"] = {name: array * 0 for name, array in captured["weights"].items()}
    del captured["optimizer"]["0003"]
    with pytest.raises(ModelError, match="missing '0003'"):
        state.restore(captured, model, model.optimizer)
    assert state.weights(model)["output/kernel"].any()
