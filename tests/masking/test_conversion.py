import importlib
import sys

import numpy as np
import pytest
import tiny

import tf_lottery as tfl
from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import constraint, conversion, model_masks, naming


@pytest.mark.parametrize("build", [tiny.dense, tiny.convolutional, tiny.nested])
def test_a_prunable_model_predicts_as_the_plain_one(build):
    plain = build()
    pruned = tfl.make_prunable(plain)
    assert np.array_equal(pruned.predict(tiny.X, verbose=0), plain.predict(tiny.X, verbose=0))
    assert [layer.name for layer in pruned.layers[1:]] == [layer.name for layer in plain.layers[1:]]
    assert tfl.density(pruned) == 1.0


def test_the_plain_model_is_left_unchanged():
    plain = tiny.dense()
    before = [np.array(weight) for weight in plain.get_weights()]
    pruned = tfl.make_prunable(plain)
    tfl.set_masks(pruned, tiny.half_masks(pruned))
    assert all(np.array_equal(a, b) for a, b in zip(before, plain.get_weights(), strict=True))
    assert not any(isinstance(layer, tfl.Prunable) for layer in plain.layers)


def test_a_model_that_is_prunable_already_is_refused():
    for build in (tiny.dense, tiny.subclassed):
        with pytest.raises(ModelError, match="already has masks"):
            tfl.make_prunable(tfl.make_prunable(build()))


def test_a_model_with_nothing_to_prune_is_refused():
    with pytest.raises(
        ModelError,
        match=r"nothing to prune. tf_lottery prunes kernels and embeddings, except .*. Found: none.$",
    ):
        tfl.make_prunable(keras.Sequential([keras.Input((3,)), keras.layers.ReLU()]))


@pytest.mark.parametrize("maker", [tiny.dense, tiny.Net])
def test_a_function_that_makes_a_model_is_no_model(maker):
    with pytest.raises(ModelError, match=r"Received: .*: call it first and pass the model that it returns"):
        tfl.make_prunable(maker)


def test_a_model_without_masks_cannot_be_stripped():
    with pytest.raises(ModelError, match="There is nothing to strip"):
        tfl.strip_pruning(tiny.dense())


def test_an_unbuilt_model_is_refused():
    with pytest.raises(ModelError, match=r"is not built: give it an Input"):
        tfl.make_prunable(keras.Sequential([keras.layers.Dense(3)]))


def test_a_model_of_the_other_keras_is_refused_by_name():
    other = importlib.import_module("keras" if keras_compat.LEGACY else "tf_keras")
    model = other.Sequential([other.Input((3,)), other.layers.Dense(2)])
    with pytest.raises(ModelError, match=rf"works with models of \S*keras.*{keras.__version__} .*Received: \w*keras\."):
        tfl.make_prunable(model)


@pytest.mark.skipif(not keras_compat.LEGACY, reason="tfmot works with legacy Keras")
def test_the_error_for_a_model_of_keras_3_explains_that_the_import_of_tfmot_chose_legacy_keras(monkeypatch):
    keras_3 = importlib.import_module("keras")
    monkeypatch.setitem(sys.modules, "tensorflow_model_optimization", object())
    model = keras_3.Sequential([keras_3.Input((3,)), keras_3.layers.Dense(2)])
    with pytest.raises(
        ModelError, match=r"importing tensorflow_model_optimization sets it, .*import_tfmot\(\) does not"
    ):
        tfl.make_prunable(model)


def test_a_subclassed_model_is_changed_in_place_and_keeps_class_layers_and_names():
    model = tiny.subclassed()
    names, layers = [weight.name for weight in model.weights], list(model.layers)
    before = model.predict(tiny.X, verbose=0)
    assert tfl.make_prunable(model) is model
    assert type(model) is tiny.Net
    assert sorted(tfl.get_masks(model)) == tiny.NET_MASKS
    assert [id(layer) for layer in model.layers] == [*map(id, layers), id(model.tfl_masks)]
    assert sorted(weight.name for weight in model.weights if "mask" not in weight.name) == sorted(names)
    assert np.array_equal(model.predict(tiny.X, verbose=0), before)


def test_strip_pruning_leaves_nothing_behind_in_a_subclassed_model():
    model = tiny.subclassed()
    before, weights, layers = set(vars(model)), [id(weight) for weight in model.weights], list(model.layers)
    tfl.set_masks(tfl.make_prunable(model), tiny.half_masks(model))
    expected = model.predict(tiny.X, verbose=0)
    assert tfl.strip_pruning(model) is model
    assert set(vars(model)) - before <= {"stop_predicting"}  # Keras adds it in `predict`
    assert [id(weight) for weight in model.weights] == weights
    assert model.layers == layers
    assert not any(weight.constraint for weight in model.weights)
    assert np.array_equal(model.predict(tiny.X, verbose=0), expected)
    assert sorted(tfl.get_masks(tfl.make_prunable(model))) == tiny.NET_MASKS  # and it can be done again


def test_a_stripped_model_trains_without_masks_even_if_it_was_compiled_before():
    model = tiny.half_masked(tiny.subclassed)
    model.compile(keras.optimizers.SGD(0.5), tiny.loss(), jit_compile=False)
    model.fit(tiny.X, tiny.Y, verbose=0)
    pruned = ~tfl.get_masks(model)["head/output/kernel"]
    tfl.strip_pruning(model)
    model.fit(tiny.X, tiny.Y, verbose=0)
    assert model.head.layers[-1].kernel.numpy()[pruned].any()


def test_a_model_trained_before_it_is_made_prunable_holds_its_masks():
    model = tiny.subclassed()
    model.compile("adam", tiny.loss(), jit_compile=False)
    model.fit(tiny.X, tiny.Y, verbose=0)
    tfl.set_masks(tfl.make_prunable(model), tiny.half_masks(model))
    model.fit(tiny.X, tiny.Y, verbose=0)
    assert tiny.is_pruned_to_plus_zero(model)


def test_wrappers_that_a_subclassed_model_makes_itself_stay_and_keep_their_masks():
    class Wrapped(keras.Model):
        def __init__(self):
            super().__init__()
            self.flatten, self.dense = keras.layers.Flatten(), tfl.Prunable(keras.layers.Dense(3))

        def call(self, x):
            return self.dense(self.flatten(x))

    model = Wrapped()
    model(tiny.X)
    tfl.set_masks(model, masks := tiny.half_masks(model))
    with pytest.raises(ModelError, match="are in `Prunable` layers that its own class creates"):
        tfl.strip_pruning(model)
    assert all(np.array_equal(mask, masks[name]) for name, mask in tfl.get_masks(model).items())
    model.predict(tiny.X, verbose=0)


@pytest.mark.skipif(keras_compat.LEGACY, reason="Keras 3 only")
def test_lora_must_be_merged_first():
    plain = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    plain.layers[0].enable_lora(2)
    with pytest.raises(ModelError, match=r"has no weight 'kernel' to prune. LoRA hides it: merge it first"):
        tfl.make_prunable(plain)


@pytest.mark.parametrize("build", [tiny.dense, tiny.convolutional, tiny.nested])
def test_plain_returns_a_copy_that_predicts_as_the_model(build):
    model = tiny.half_masked(build)
    weights = [weight.numpy().tobytes() for weight in model.weights]
    plain = conversion.plain(model)
    assert plain is not model
    assert (plain(tiny.X).numpy() == model(tiny.X).numpy()).all()
    assert not any(constraint.owns_masks(layer) for layer in keras_compat.all_layers(plain))
    assert [weight.numpy().tobytes() for weight in model.weights] == weights


def test_pruned_weights_are_zero_in_a_plain_copy_even_if_the_masks_are_not_applied_yet():
    model = tiny.half_masked(tiny.dense)
    for weight, _ in model_masks.masked_variables(model).values():
        weight.assign(np.ones(weight.shape))
    plain = naming.named_variables(conversion.plain(model))
    for name, mask in tfl.get_masks(model).items():
        assert (plain[name].numpy() == mask).all()


def test_plain_returns_a_subclassed_model_itself_and_takes_models_without_masks():
    subclassed = tiny.subclassed()
    assert conversion.plain(subclassed) is subclassed
    model = tiny.convolutional()
    assert (conversion.plain(model)(tiny.X).numpy() == model(tiny.X).numpy()).all()


class Doubled(keras.Sequential):
    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs)


def test_a_sequential_model_with_its_own_call_is_treated_as_a_subclassed_one():
    model = Doubled([keras.layers.Dense(4), keras.layers.Dense(2)])
    x = tiny.X[:, 0, :4, 0]
    expected = model(x).numpy()
    assert conversion.plain(model) is model
    prunable = tfl.make_prunable(model)
    assert prunable is model
    assert (prunable(x).numpy() == expected).all()
    tfl.set_masks(prunable, tiny.half_masks(prunable))
    assert tiny.is_pruned_to_plus_zero(prunable)
