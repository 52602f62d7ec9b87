import importlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tiny

import tf_lottery as tfl
from tf_lottery import keras_api
from tf_lottery.errors import ModelError, PruningError
from tf_lottery.keras_api import keras


@pytest.mark.parametrize("build", [tiny.dense, tiny.convolutional, tiny.nested])
def test_a_prunable_model_predicts_as_the_plain_one(build):
    plain = build()
    pruned = tfl.make_prunable(plain)
    assert np.array_equal(pruned.predict(tiny.X, verbose=0), plain.predict(tiny.X, verbose=0))
    assert [layer.name for layer in pruned.layers[1:]] == [layer.name for layer in plain.layers[1:]]
    assert tfl.density(pruned) == 1.0


def test_the_plain_model_is_left_alone():
    plain = tiny.dense()
    before = [np.array(weight) for weight in plain.get_weights()]
    pruned = tfl.make_prunable(plain)
    tfl.set_masks(pruned, tiny.half_masks(pruned))
    assert all(np.array_equal(a, b) for a, b in zip(before, plain.get_weights(), strict=True))
    assert not any(isinstance(layer, tfl.Prunable) for layer in plain.layers)


def test_layers_of_inner_models_have_masks_too():
    model = tfl.make_prunable(tiny.nested())
    assert sorted(tfl.get_masks(model)) == ["block/inner/kernel", "dense/kernel", "dense_1/kernel"]


def test_a_layer_that_two_inner_models_share_stays_shared():
    shared = keras.layers.Dense(4, name="shared")
    first, second = (keras.Sequential([keras.Input((4,)), shared], name=name) for name in ("first", "second"))
    x = keras.Input((4,))
    plain = keras.Model(x, keras.layers.Dense(2, name="out")(second(first(x))))
    pruned = tfl.make_prunable(plain)
    assert sorted(tfl.get_masks(pruned)) == ["first/shared/kernel", "out/kernel"]
    assert len(pruned.trainable_variables) == len(plain.trainable_variables)
    x = tiny.X.reshape(-1, 4)
    assert np.array_equal(pruned.predict(x, verbose=0), plain.predict(x, verbose=0))


def test_layers_inside_other_layers_are_left_alone_and_not_counted():
    inside = [keras.Input((5, 4)), keras.layers.TimeDistributed(keras.layers.Dense(3))]
    with pytest.raises(ModelError, match="nothing to prune"):
        tfl.make_prunable(keras.Sequential(inside))
    model = tfl.make_prunable(keras.Sequential([*inside, keras.layers.Dense(2, name="out")]))
    assert list(tfl.get_masks(model)) == ["out/kernel"]


def test_a_model_that_is_prunable_already_is_refused():
    with pytest.raises(ModelError, match="is prunable already"):
        tfl.make_prunable(tfl.make_prunable(tiny.dense()))


def test_keras_masks_pass_through():
    network = [
        keras.Input((6,), dtype="int32"),
        keras.layers.Embedding(10, 4, mask_zero=True),
        keras.layers.Dense(4),
        keras.layers.LSTM(3),
        keras.layers.Dense(2),
    ]
    plain = keras.Sequential(network)
    tokens = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]], np.int32)
    assert np.array_equal(tfl.make_prunable(plain).predict(tokens, verbose=0), plain.predict(tokens, verbose=0))


def test_exclude_takes_keras_own_layer_names_where_they_are_clear():
    tiny.dense()  # so that the next model's automatic names count on
    plain = tiny.dense()
    names = [layer.name for layer in plain.layers if "dense" in layer.name]
    assert list(tfl.get_masks(tfl.make_prunable(plain, exclude=names[1]))) == ["dense/kernel"]


def test_a_name_that_means_one_layer_to_keras_and_another_here_is_refused():
    layers_ = [keras.layers.Dense(3, name=name) for name in ("dense_1", "dense_2")]
    with pytest.raises(ModelError, match=r"Keras calls \{'dense/kernel'\} so, but in weight names it is \{'dense_1/ke"):
        tfl.make_prunable(keras.Sequential([keras.Input((3,)), *layers_]), exclude="dense_1")


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ((), ["conv2d/kernel", "conv2d_1/kernel", "output/kernel"]),
        (["output"], ["conv2d/kernel", "conv2d_1/kernel"]),
        ("output/kernel", ["conv2d/kernel", "conv2d_1/kernel"]),
        (["conv2d"], ["conv2d_1/kernel", "output/kernel"]),
        ([re.compile("^conv2d")], ["output/kernel"]),
        (lambda name: "conv" in name, ["output/kernel"]),
    ],
)
def test_exclude_takes_names_regexes_and_functions(exclude, left):
    assert list(tfl.get_masks(tfl.make_prunable(tiny.convolutional(), exclude=exclude))) == left


def test_an_unknown_name_in_exclude_lists_the_known_ones():
    with pytest.raises(ModelError, match=r"names 'outptu', .*Known: \['dense/kernel', 'dense_1/kernel'\]"):
        tfl.make_prunable(tiny.dense(), exclude=["outptu"])


def test_a_model_with_nothing_to_prune_is_refused():
    with pytest.raises(ModelError, match=r"nothing to prune: prunable are Dense, Conv2D, Conv2DTranspose. Found: none"):
        tfl.make_prunable(keras.Sequential([keras.Input((3,)), keras.layers.ReLU()]))


def test_an_unbuilt_model_is_refused():
    with pytest.raises(ModelError, match=r"is not built: give it an Input"):
        tfl.make_prunable(keras.Sequential([keras.layers.Dense(3)]))


def test_a_model_of_the_other_keras_is_named_as_such():
    other = importlib.import_module("keras" if keras_api.LEGACY else "tf_keras")
    model = other.Sequential([other.Input((3,)), other.layers.Dense(2)])
    with pytest.raises(ModelError, match=rf"works with models of \S*keras.*{keras.__version__} .*Received: \w*keras\."):
        tfl.make_prunable(model)


def test_a_subclassed_model_is_refused():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    net = Net()
    net(np.zeros((1, 3), np.float32))
    with pytest.raises(ModelError, match=r"Only Sequential and functional models can be wrapped. Received: Net"):
        tfl.make_prunable(net)


def test_masks_come_out_as_they_went_in():
    model = tfl.make_prunable(tiny.convolutional())
    masks = tiny.half_masks(model)
    tfl.set_masks(model, {name: mask.astype(np.int64) for name, mask in masks.items()})
    assert all(np.array_equal(mask, masks[name]) for name, mask in tfl.get_masks(model).items())
    assert tiny.is_pruned_to_plus_zero(model)
    kept, size = sum(mask.sum() for mask in masks.values()), sum(mask.size for mask in masks.values())
    assert tfl.density(model) == kept / size


def test_wrong_masks_change_nothing():
    model = tfl.make_prunable(tiny.dense())
    masks = tiny.half_masks(model)
    masks["dense_1/kernel"] = masks["dense_1/kernel"][:1]
    with pytest.raises(PruningError, match=r"'dense_1/kernel' has shape \(1, 3\), expected \(4, 3\)"):
        tfl.set_masks(model, masks)
    assert tfl.density(model) == 1.0


def test_a_model_without_masks_is_told_what_to_do():
    with pytest.raises(ModelError, match=r"has no masks. Call `make_prunable\(model\)` first"):
        tfl.get_masks(tiny.dense())


def test_apply_masks_zeroes_what_set_weights_brought_back():
    model = tfl.make_prunable(tiny.dense())
    weights = model.get_weights()
    tfl.set_masks(model, tiny.half_masks(model))
    masks_and_old_weights = [
        new if new.dtype == bool else old for old, new in zip(weights, model.get_weights(), strict=True)
    ]
    model.set_weights(masks_and_old_weights)
    assert not tiny.is_pruned_to_plus_zero(model)
    tfl.apply_masks(model)
    assert tiny.is_pruned_to_plus_zero(model)


@pytest.mark.parametrize("build", [tiny.dense, tiny.convolutional, tiny.nested])
def test_law_9_stripped_and_reloaded_models_predict_as_the_masked_one(build, tmp_path):
    model = tfl.make_prunable(build())
    tfl.set_masks(model, tiny.half_masks(model))
    expected = model.predict(tiny.X, verbose=0)
    model.save(tmp_path / "masked.keras")
    stripped = tfl.strip_pruning(model)
    stripped.save(tmp_path / "stripped.keras")
    reloaded = keras.models.load_model(tmp_path / "masked.keras")
    for other in (stripped, reloaded, keras.models.load_model(tmp_path / "stripped.keras")):
        assert np.array_equal(other.predict(tiny.X, verbose=0), expected)
    assert not any(isinstance(layer, tfl.Prunable) for layer in stripped.layers)
    assert all(np.array_equal(mask, tfl.get_masks(reloaded)[name]) for name, mask in tfl.get_masks(model).items())


def test_a_saved_model_loads_in_a_process_that_imports_the_wrapper(tmp_path):
    model = tfl.make_prunable(tiny.dense())
    tfl.set_masks(model, tiny.half_masks(model))
    model.save(tmp_path / "model.keras")
    code = (
        "import sys; from tf_lottery import Prunable, density; from tf_lottery.keras_api import keras;"
        "print(density(keras.models.load_model(sys.argv[1])))"
    )
    arguments = [sys.executable, "-c", code, tmp_path / "model.keras"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert float(done.stdout) == tfl.density(model)


def test_masks_travel_in_weight_files(tmp_path):
    model = tfl.make_prunable(tiny.dense())
    tfl.set_masks(model, tiny.half_masks(model))
    model.save_weights(tmp_path / "w.weights.h5")
    other = tfl.make_prunable(tiny.dense())
    other.load_weights(tmp_path / "w.weights.h5")
    assert all(np.array_equal(mask, tfl.get_masks(model)[name]) for name, mask in tfl.get_masks(other).items())
    assert np.array_equal(other.predict(tiny.X, verbose=0), model.predict(tiny.X, verbose=0))
