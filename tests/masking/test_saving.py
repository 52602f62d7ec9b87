"""Saved models and weights are loaded with the same masks, density and predictions, in every format."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny
from tiers import always

import tf_lottery as tfl
from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import prunable

GRAPHS = [tiny.dense, tiny.convolutional, tiny.nested]
BUILDS = [*GRAPHS, tiny.subclassed]


def predictions(model):
    return model.predict(tiny.X, verbose=0)


def trained(build):
    model = tiny.half_masked(build)
    model.compile("adam", tiny.loss(), jit_compile=False)
    model.fit(tiny.X, tiny.Y, verbose=0)
    return model


def assert_same(first, second):
    assert tiny.same_masks(first, second)
    assert tfl.density(first) == tfl.density(second) < 1
    assert np.array_equal(predictions(first), predictions(second))


@pytest.mark.parametrize("build", always(tiny.convolutional, tiny.subclassed, among=BUILDS))
def test_stripped_and_reloaded_models_predict_as_the_masked_one(build, tmp_path):
    model = trained(build)
    model.save(tmp_path / "masked.keras")
    loaded = tfl.load_model(tmp_path / "masked.keras")
    assert_same(loaded, model)
    expected = predictions(model)
    stripped = tfl.strip_pruning(model)
    stripped.save(tmp_path / "stripped.keras")
    for other in (stripped, keras.models.load_model(tmp_path / "stripped.keras")):
        assert np.array_equal(predictions(other), expected)
        assert not [layer for layer in keras_compat.all_layers(other) if "tf_lottery" in type(layer).__module__]


@pytest.mark.parametrize("build", always(tiny.convolutional, tiny.subclassed, among=BUILDS))
def test_masks_hold_when_a_loaded_model_is_trained(build, tmp_path):
    trained(build).save(tmp_path / "model.keras")
    model = tfl.load_model(tmp_path / "model.keras")
    model.fit(tiny.X, tiny.Y, verbose=0)
    assert tiny.is_pruned_to_plus_zero(model)


def test_a_weights_file_without_masks_says_where_it_belongs(tmp_path):
    tiny.dense().save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match=r"of a model without masks: load it into the plain model, before"):
        tfl.make_prunable(tiny.dense()).load_weights(tmp_path / "w.weights.h5")


@pytest.mark.parametrize("build", BUILDS)
def test_masks_are_saved_in_weight_files(build, tmp_path):
    model = tiny.half_masked(build)
    model.save_weights(tmp_path / "w.weights.h5")
    other = tfl.make_prunable(build())
    other.load_weights(tmp_path / "w.weights.h5")
    assert_same(other, model)


@pytest.mark.parametrize("build", BUILDS)
def test_masks_are_saved_in_checkpoints(build, tmp_path):
    model = tiny.half_masked(build)
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    other = tfl.make_prunable(build())
    tf.train.Checkpoint(model=other).read(path).expect_partial()
    assert_same(other, model)


@pytest.mark.parametrize("build", always(tiny.convolutional, tiny.subclassed, among=BUILDS))
def test_a_saved_model_serves_the_predictions_of_the_masked_one(build, tmp_path):
    model = tiny.half_masked(build)
    if keras_compat.LEGACY:
        model.save(tmp_path / "served", save_format="tf")
        served = tf.saved_model.load(str(tmp_path / "served"))
        outputs = next(iter(served.signatures["serving_default"](tf.constant(tiny.X)).values()))
    else:
        model.export(tmp_path / "served", verbose=False)
        served = tf.saved_model.load(str(tmp_path / "served"))
        outputs = served.serve(tiny.X)
    assert np.array_equal(outputs, predictions(model))


@pytest.mark.skipif(not keras_compat.LEGACY, reason="Keras 3 does not read them back")
@pytest.mark.parametrize("build", GRAPHS)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("path", ["model.h5", "directory"])
def test_legacy_formats_hold_wrapped_models(build, path, tmp_path):
    model = tiny.half_masked(build)
    model.save(tmp_path / path, save_format="h5" if path == "model.h5" else "tf")
    assert_same(tfl.load_model(tmp_path / path), model)


OF_OWN_CLASS = [tiny.subclassed, tiny.FunctionalNet, tiny.sequential_subclass]


@pytest.mark.skipif(not keras_compat.LEGACY, reason="Keras 3 writes no such directory")
@pytest.mark.parametrize("build", [*GRAPHS, *OF_OWN_CLASS])
def test_a_directory_holds_the_masks_of_a_model_masked_in_place(build, tmp_path):
    excluded = sorted(tfl.get_masks(tfl.make_prunable(build())))[0]
    model = tiny.half_masked(build, in_place=True, exclude=excluded)
    model.compile("adam", tiny.loss(), jit_compile=False)
    model.save(tmp_path / "model", save_format="tf")
    loaded = tfl.load_model(tmp_path / "model")
    assert_same(loaded, model)
    assert excluded not in tfl.get_masks(loaded)
    loaded.fit(tiny.X, tiny.Y, verbose=0)
    assert tiny.is_pruned_to_plus_zero(loaded)
    plain = keras.models.load_model(tmp_path / "model")
    assert np.array_equal(predictions(plain), predictions(model))
    assert tfl.density(tfl.make_prunable(plain, in_place=True)) == 1


@pytest.mark.parametrize("build", GRAPHS)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_an_h5_file_of_a_model_masked_in_place_has_its_zeros_and_is_refused_for_its_masks(build, tmp_path):
    model = tiny.half_masked(build, in_place=True)
    model.save(tmp_path / "model.h5")
    assert np.array_equal(predictions(keras.models.load_model(tmp_path / "model.h5")), predictions(model))
    with pytest.raises(ModelError, match=r"model\.h5 has no masks.* saved as `\.h5`.*: save it as `\.keras`"):
        tfl.load_model(tmp_path / "model.h5")


@pytest.mark.parametrize("build", GRAPHS)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_weights_of_an_h5_file_are_loaded_into_a_model_masked_in_place_and_leave_its_masks(build, tmp_path):
    model = tiny.half_masked(build, in_place=True)
    build().save(tmp_path / "plain.h5")
    masks = tfl.get_masks(model)
    model.load_weights(tmp_path / "plain.h5")
    tfl.apply_masks(model)
    assert all(np.array_equal(mask, masks[name]) for name, mask in tfl.get_masks(model).items())
    assert tiny.is_pruned_to_plus_zero(model)


@pytest.mark.skipif(not keras_compat.LEGACY, reason="Keras 3 has no such formats")
@pytest.mark.parametrize("build", [*GRAPHS, *OF_OWN_CLASS])
def test_checkpoints_of_save_weights_hold_the_masks_and_h5_files_those_of_layers(build, tmp_path):
    model = tiny.half_masked(build, in_place=True)
    from_checkpoint, from_h5 = (tfl.make_prunable(build(), in_place=True) for _ in range(2))
    model.save_weights(tmp_path / "checkpoint")
    from_checkpoint.load_weights(tmp_path / "checkpoint")
    assert_same(from_checkpoint, model)
    model.save_weights(tmp_path / "weights.h5")
    from_h5.load_weights(tmp_path / "weights.h5")
    assert np.array_equal(predictions(from_h5), predictions(model))
    assert (tfl.density(from_h5) < 1) == (build is tiny.subclassed)  # in others, the masks are in no layer of the graph


@pytest.mark.slow
def test_a_saved_model_loads_in_a_process_that_imports_the_wrapper(tmp_path):
    model = tiny.half_masked()
    model.save(tmp_path / "model.keras")
    code = (
        "import sys; from tf_lottery import Prunable, density; from tf_lottery.keras_compat import keras;"
        "print(density(keras.models.load_model(sys.argv[1])))"
    )
    arguments = [sys.executable, "-c", code, tmp_path / "model.keras"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert float(done.stdout) == tfl.density(model)


class Opaque(tiny.Net):
    """A model whose constructor needs an argument that its config lacks."""

    def __init__(self, how_many, **kwargs):
        super().__init__(units=len(how_many), **kwargs)


def opaque():
    model = Opaque(how_many=range(4))
    model(tiny.X[:1])
    return model


def test_saving_warns_once_of_a_keras_file_that_cannot_be_loaded_and_load_weights_reads_it(tmp_path):
    model = tiny.half_masked(opaque)
    with pytest.warns(UserWarning, match=r"Opaque cannot be recreated from its config.*Implement `get_config`"):
        model.save(tmp_path / "model.keras")
    model.save(tmp_path / "model.keras")
    other = tfl.make_prunable(opaque())
    other.load_weights(tmp_path / "model.keras")
    assert_same(other, model)


def test_the_file_of_a_plain_model_is_refused_with_the_way_out(tmp_path):
    tiny.dense().save(tmp_path / "plain.keras")
    way_out = r"plain\.keras has no masks.*`make_prunable\(keras\.models\.load_model\(path\)\)` gives it masks of ones"
    with pytest.raises(ModelError, match=way_out):
        tfl.load_model(tmp_path / "plain.keras")


INSTANCES = {
    "tf_lottery>Prunable": lambda: prunable.Prunable(
        keras.layers.Dense(3, name="mine"), only=["kernel"], name="other", trainable=False
    ),
    "tf_lottery>MaskHolder": lambda: prunable.MaskHolder(saved=["dense/kernel"], name="holder"),
}


def test_every_registered_layer_has_an_instance_here():
    registered = {
        name
        for name, cls in keras.saving.get_custom_objects().items()
        if name.startswith("tf_lottery>") and issubclass(cls, keras.layers.Layer)
    }
    assert registered == set(INSTANCES)


@pytest.mark.parametrize("name", INSTANCES)
def test_every_constructor_argument_survives_the_config(name):
    layer = INSTANCES[name]()
    assert keras.saving.get_registered_name(type(layer)) == name
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.name, again.trainable, again.dtype) == (layer.name, layer.trainable, layer.dtype)
    if hasattr(layer, "only"):
        assert again.only == layer.only == ("kernel",)
    else:
        assert again.saved == layer.saved == ("dense/kernel",)
