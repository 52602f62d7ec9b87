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


def test_the_file_of_a_plain_model_is_refused(tmp_path):
    tiny.dense().save(tmp_path / "plain.keras")
    with pytest.raises(ModelError, match="has no masks"):
        tfl.load_model(tmp_path / "plain.keras")


INSTANCES = {
    "tf_lottery>Prunable": lambda: prunable.Prunable(
        keras.layers.Dense(3, name="mine"), only=["kernel"], name="other", trainable=False
    ),
    "tf_lottery>MaskHolder": lambda: prunable.MaskHolder(name="holder"),
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
