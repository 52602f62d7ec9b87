"""Masks follow weights that are renamed; those of weights that are replaced or removed are dropped, by name."""

import numpy as np
import pytest
import tensorflow as tf
import tiny

import tf_lottery as tfl
from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import keras

pytestmark = [
    pytest.mark.filterwarnings("ignore:The initializer GlorotUniform is unseeded"),  # when a layer is built again
    pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize` method"),
]
Dense = keras.layers.Dense
X, Y = np.ones((8, 4), np.float32), np.arange(8) % 3


def sequential():
    return keras.Sequential([keras.Input((4,)), Dense(4), Dense(4), Dense(3)])


@keras.saving.register_keras_serializable(package="stale")
class Blocks(keras.Model):
    """Layers in a list."""

    def __init__(self, number=3, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [Dense(4) for _ in range(number)]

    def build(self, shape):
        for block in self.blocks:
            block.build((None, 4))
        self.built = True

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return x

    def get_config(self):
        return {"number": len(self.blocks), "name": self.name}


def blocks():
    model = Blocks()
    model(X)
    return model


def masked(build, in_place=True):
    """Return a model in which weight n, from 0, has n + 1 pruned entries."""
    model = tfl.make_prunable(build(), in_place=in_place)
    masks = tfl.get_masks(model)
    for number, mask in enumerate(masks.values()):
        mask.flat[: number + 1] = False
    tfl.set_masks(model, masks)
    return model


def pruned(model):
    return {name: int(np.sum(~mask)) for name, mask in tfl.get_masks(model).items()}


def pop(model):
    model.pop()


def pop_and_add_an_equal_layer(model):
    model.pop()
    model.add(Dense(3))


def pop_and_add_another_layer(model):
    model.pop()
    model.add(Dense(5))


def remove_the_first(model):
    model.blocks.pop(0)


def remove_the_last(model):
    model.blocks.pop()


def build_again(model):
    layer = model.layers[0]
    layer = getattr(layer, "layer", layer)
    layer.built = False
    layer.build((None, 4))


def replace_the_kernel(model):
    model.layers[0].kernel = tf.Variable(np.ones((4, 4), np.float32))


CHANGES = [
    (sequential, pop, "dense_2/kernel", {"dense/kernel": 1, "dense_1/kernel": 2}),
    (sequential, pop_and_add_an_equal_layer, "dense_2/kernel", {"dense/kernel": 1, "dense_1/kernel": 2}),
    (sequential, pop_and_add_another_layer, "dense_2/kernel", {"dense/kernel": 1, "dense_1/kernel": 2}),
    (blocks, remove_the_first, "dense/kernel", {"dense/kernel": 2, "dense_1/kernel": 3}),
    (blocks, remove_the_last, "dense_2/kernel", {"dense/kernel": 1, "dense_1/kernel": 2}),
]
if keras_compat.LEGACY:  # Keras 3 refuses to change a layer that is built
    CHANGES += [
        (sequential, build_again, "dense/kernel", {"dense_1/kernel": 2, "dense_2/kernel": 3}),
        (sequential, replace_the_kernel, "dense/kernel", {"dense_1/kernel": 2, "dense_2/kernel": 3}),
    ]


@pytest.mark.parametrize(("build", "change", "dropped", "left"), CHANGES)
def test_masks_of_weights_that_are_gone_are_dropped_once_and_the_others_hold(build, change, dropped, left):
    model = masked(build)
    change(model)
    with pytest.warns(UserWarning, match=f"the masks of '{dropped}' are dropped.*strip_pruning") as caught:
        assert pruned(model) == left
    assert [warning.filename for warning in caught] == [__file__]
    assert pruned(model) == left
    model.compile("sgd", tiny.loss())
    model.fit(X, Y, verbose=0)
    assert tiny.is_pruned_to_plus_zero(model)
    assert tfl.density(tfl.make_prunable(tfl.strip_pruning(model), in_place=True)) == 1


@pytest.mark.parametrize(("build", "change", "dropped", "left"), CHANGES)
def test_a_file_that_is_written_after_a_change_can_be_read(build, change, dropped, left, tmp_path):
    model = masked(build)
    change(model)
    with pytest.warns(UserWarning, match=f"the masks of '{dropped}' are dropped"):
        model.save(tmp_path / "model.keras")
    loaded = tfl.load_model(tmp_path / "model.keras")
    assert pruned(loaded) == left
    if change is not replace_the_kernel:  # Keras itself does not know that variable to be a weight
        assert np.array_equal(loaded(X), model(X))


@pytest.mark.parametrize(("build", "change", "dropped", "left"), CHANGES[:6])  # Keras cannot copy a replaced kernel
def test_a_copy_after_a_change_has_the_masks_that_are_left(build, change, dropped, left):
    model = masked(build)
    change(model)
    with pytest.warns(UserWarning, match=f"the masks of '{dropped}' are dropped"):
        assert pruned(tfl.copy(model)) == left


def test_a_layer_that_is_added_is_dense_and_changes_no_mask(tmp_path):
    model = masked(sequential)
    model.add(Dense(2))
    assert pruned(model) == {"dense/kernel": 1, "dense_1/kernel": 2, "dense_2/kernel": 3}
    model.save(tmp_path / "model.keras")
    assert pruned(tfl.load_model(tmp_path / "model.keras")) == pruned(model)


def test_a_model_that_has_lost_all_masks_can_be_masked_anew():
    model = masked(sequential)
    for _ in range(3):
        model.pop()
    model.add(Dense(3))
    model.build((None, 4))
    with (
        pytest.warns(UserWarning, match="are dropped"),
        pytest.raises(ModelError, match="has no masks"),
    ):
        tfl.get_masks(model)
    assert tfl.density(tfl.make_prunable(model, in_place=True)) == 1


@pytest.mark.skipif(keras_compat.LEGACY, reason="Legacy Keras refuses to write lists that have lost a layer")
def test_weight_files_and_checkpoints_hold_masks_by_their_new_names(tmp_path):
    model = masked(blocks)
    remove_the_first(model)
    with pytest.warns(UserWarning, match="are dropped"):
        tfl.get_masks(model)
    plain = [Blocks(2), Blocks(2)]
    for one in plain:
        one(X)
    from_weights, from_checkpoint = map(tfl.make_prunable, plain)
    model.save_weights(tmp_path / "w.weights.h5")
    from_weights.load_weights(tmp_path / "w.weights.h5")
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=from_checkpoint).read(path).expect_partial()
    assert pruned(from_weights) == pruned(from_checkpoint) == pruned(model) == {"dense/kernel": 2, "dense_1/kernel": 3}


@pytest.mark.skipif(not keras_compat.LEGACY, reason="Keras 3 refuses to build a layer again")
def test_a_wrapper_gives_a_weight_that_is_built_again_a_new_mask(tmp_path):
    model = masked(sequential, in_place=False)
    build_again(model)
    with pytest.warns(UserWarning, match="'dense.*the masks of 'kernel' are dropped"):
        assert pruned(model) == {"dense/kernel": 0, "dense_1/kernel": 2, "dense_2/kernel": 3}
    model.save(tmp_path / "model.keras")
    assert pruned(tfl.load_model(tmp_path / "model.keras")) == pruned(model)


@pytest.mark.skipif(keras_compat.LEGACY, reason="Keras 3 only")
@pytest.mark.parametrize("in_place", [False, True])
def test_a_model_quantised_to_a_packed_format_is_not_saved_with_masks_that_do_not_fit(in_place, tmp_path):
    model = masked(sequential, in_place)
    model.quantize("int4")
    with pytest.raises(ModelError, match="Strip the model first"):
        model.save(tmp_path / "model.keras")
