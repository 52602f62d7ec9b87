import importlib
import re
import sys

import numpy as np
import pytest
import tensorflow as tf
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


def test_the_plain_model_is_left_alone():
    plain = tiny.dense()
    before = [np.array(weight) for weight in plain.get_weights()]
    pruned = tfl.make_prunable(plain)
    tfl.set_masks(pruned, tiny.half_masks(pruned))
    assert all(np.array_equal(a, b) for a, b in zip(before, plain.get_weights(), strict=True))
    assert not any(isinstance(layer, tfl.Prunable) for layer in plain.layers)


def test_a_model_that_is_prunable_already_is_refused():
    for build in (tiny.dense, tiny.subclassed):
        with pytest.raises(ModelError, match="is prunable already"):
            tfl.make_prunable(tfl.make_prunable(build()))


def test_frozen_layers_stay_frozen():
    plain = tiny.dense()
    plain.layers[-1].trainable = False
    assert len(tfl.make_prunable(plain).trainable_variables) == 2
    model = tiny.subclassed()
    model.block.trainable = False
    before = len(model.trainable_variables)
    assert len(tfl.make_prunable(model).trainable_variables) == before == 4


def test_a_layer_without_get_config_is_named():
    class Opaque(keras.layers.Dense):
        def get_config(self):
            raise NotImplementedError

    model = keras.Sequential([keras.Input((2,)), Opaque(1, name="opaque")])
    with pytest.raises(ModelError, match=r"'opaque' \(Opaque\) cannot be made again from its config"):
        tfl.make_prunable(model)


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
        (("output", re.compile("_1/")), ["conv2d/kernel"]),
    ],
)
def test_exclude_takes_names_regexes_and_functions(exclude, left):
    assert list(tfl.get_masks(tfl.make_prunable(tiny.convolutional(), exclude=exclude))) == left


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ("block", ["dense/kernel", "head/output/kernel"]),
        ("head", ["block/inner/kernel", "dense/kernel"]),
        (["block/inner", "dense"], ["head/output/kernel"]),
        ("output", ["block/inner/kernel", "dense/kernel"]),
        (re.compile("nn"), ["dense/kernel", "head/output/kernel"]),
    ],
)
def test_exclude_names_what_layers_are_in_too(exclude, left):
    model = tfl.make_prunable(tiny.subclassed(), exclude=exclude)
    assert sorted(tfl.get_masks(model)) == left
    assert len(model.trainable_weights) == len(tiny.subclassed().trainable_weights)


def test_exclude_reaches_into_a_wrapped_layer():
    inside = [keras.Input((3, 2)), keras.layers.Bidirectional(keras.layers.LSTM(2, name="lstm"), name="both")]
    model = tfl.make_prunable(keras.Sequential(inside), exclude=re.compile("recurrent|backward"))
    assert list(tfl.get_masks(model)) == ["both/forward_lstm/lstm_cell/kernel"]


def test_excluding_everything_is_refused_and_changes_nothing():
    model = tiny.subclassed()
    with pytest.raises(ModelError, match=r"nothing to prune.* Found: .*dense/kernel"):
        tfl.make_prunable(model, exclude=lambda name: True)
    assert not hasattr(model, "tfl_masks")


@pytest.mark.parametrize("of", [lambda model: type(model.layers[-1]), lambda model: model.layers[-1]])
@pytest.mark.parametrize("listed", [False, True])
def test_layers_and_their_classes_are_excluded_by_name_only(of, listed):
    model = tiny.dense()
    thing = of(model)
    with pytest.raises(ModelError, match=r"`exclude` takes names of layers or weights, .* Received: .*[Dd]ense"):
        tfl.make_prunable(model, exclude=[thing] if listed else thing)


def test_an_unknown_name_in_exclude_lists_the_known_ones():
    with pytest.raises(ModelError, match=r"names 'outptu', .*Known: \['dense/kernel', 'dense_1/kernel'\]"):
        tfl.make_prunable(tiny.dense(), exclude=["outptu"])
    with pytest.raises(ModelError, match=r"has '\^outptu', which no prunable weight matches. Known: \['dense/kernel'"):
        tfl.make_prunable(tiny.dense(), exclude=re.compile("^outptu"))


def test_a_model_with_nothing_to_prune_is_refused():
    with pytest.raises(ModelError, match=r"nothing to prune: prunable are Dense, EinsumDense, .*LSTM.*. Found: none"):
        tfl.make_prunable(keras.Sequential([keras.Input((3,)), keras.layers.ReLU()]))


@pytest.mark.parametrize("maker", [tiny.dense, tiny.Net])
def test_what_makes_a_model_is_no_model(maker):
    with pytest.raises(ModelError, match=r"Received: .*: call it first, for what it makes"):
        tfl.make_prunable(maker)


def test_from_a_model_without_masks_nothing_can_be_stripped():
    with pytest.raises(ModelError, match="There is nothing to strip"):
        tfl.strip_pruning(tiny.dense())


def test_an_unbuilt_model_is_refused():
    with pytest.raises(ModelError, match=r"is not built: give it an Input"):
        tfl.make_prunable(keras.Sequential([keras.layers.Dense(3)]))


def test_a_model_of_the_other_keras_is_named_as_such():
    other = importlib.import_module("keras" if keras_compat.LEGACY else "tf_keras")
    model = other.Sequential([other.Input((3,)), other.layers.Dense(2)])
    with pytest.raises(ModelError, match=rf"works with models of \S*keras.*{keras.__version__} .*Received: \w*keras\."):
        tfl.make_prunable(model)


@pytest.mark.skipif(not keras_compat.LEGACY, reason="tfmot works with legacy Keras")
def test_a_model_of_keras_3_after_tfmots_import_is_told_what_has_happened(monkeypatch):
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
    assert set(vars(model)) - before <= {"stop_predicting"}  # of Keras, by `predict`
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


def test_wrappers_in_a_class_of_ones_own_are_not_taken_off_and_keep_their_masks():
    class Wrapped(keras.Model):
        def __init__(self):
            super().__init__()
            self.flatten, self.dense = keras.layers.Flatten(), tfl.Prunable(keras.layers.Dense(3))

        def call(self, x):
            return self.dense(self.flatten(x))

    model = Wrapped()
    model(tiny.X)
    tfl.set_masks(model, masks := tiny.half_masks(model))
    with pytest.raises(ModelError, match="are in `Prunable` layers of its own"):
        tfl.strip_pruning(model)
    assert all(np.array_equal(mask, masks[name]) for name, mask in tfl.get_masks(model).items())
    model.predict(tiny.X, verbose=0)


@pytest.mark.skipif(keras_compat.LEGACY, reason="Keras 3 only")
def test_lora_must_be_merged_first():
    plain = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    plain.layers[0].enable_lora(2)
    with pytest.raises(ModelError, match=r"has no weight 'kernel' to prune. LoRA hides it: merge it first"):
        tfl.make_prunable(plain)


def test_synchronized_batch_norm_stays_synchronized():
    layers_of = [keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization(synchronized=True)]
    wrapped = tfl.make_prunable(keras.Sequential(layers_of))
    assert wrapped.layers[1].synchronized
    assert tfl.strip_pruning(wrapped).layers[1].synchronized


@pytest.mark.parametrize("build", [tiny.dense, tiny.convolutional, tiny.nested])
def test_what_exports_start_from_is_a_copy_that_predicts_as_the_model(build):
    model = tiny.half_masked(build)
    weights = [weight.numpy().tobytes() for weight in model.weights]
    plain = conversion.plain(model)
    assert plain is not model
    assert (plain(tiny.X).numpy() == model(tiny.X).numpy()).all()
    assert not any(constraint.owns_masks(layer) for layer in keras_compat.all_layers(plain))
    assert [weight.numpy().tobytes() for weight in model.weights] == weights


def test_exports_start_from_pruned_zeros_also_where_the_masks_are_not_applied_yet():
    model = tiny.half_masked(tiny.dense)
    for weight, _ in model_masks.masked_variables(model).values():
        weight.assign(np.ones(weight.shape))
    plain = naming.named_variables(conversion.plain(model))
    for name, mask in tfl.get_masks(model).items():
        assert (plain[name].numpy() == mask).all()


def test_exports_start_from_a_subclassed_model_itself_and_from_models_without_masks():
    subclassed = tiny.subclassed()
    assert conversion.plain(subclassed) is subclassed
    model = tiny.convolutional()
    assert (conversion.plain(model)(tiny.X).numpy() == model(tiny.X).numpy()).all()


def adapted(layer, examples):
    layer.adapt(examples)
    return layer


LEARNED = {
    "normalization": (
        lambda: adapted(keras.layers.Normalization(), 4 * np.random.randn(50, 4) + 9),
        tiny.X[:, 0, :4, 0],
    ),
    "discretization": (
        lambda: adapted(keras.layers.Discretization(num_bins=4), np.random.randn(50, 4)),
        tiny.X[:, 0, :4, 0],
    ),
    "lookup": (lambda: adapted(keras.layers.IntegerLookup(), np.array([1, 5, 9])), np.array([[1, 5, 9, 3]])),
}


@pytest.mark.parametrize("kind", LEARNED)
def test_what_layers_have_learned_by_adapt_stays_in_every_copy(kind):
    make, x = LEARNED[kind]
    inputs = keras.Input((4,), dtype=str(x.dtype))
    features = keras.layers.Lambda(lambda found: tf.cast(found, tf.float32))(make()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(features))
    expected = model(x).numpy()
    prunable = tfl.make_prunable(model)
    for copy in (prunable, tfl.strip_pruning(prunable), conversion.plain(model), conversion.plain(prunable)):
        assert (copy(x).numpy() == expected).all()


def test_statistics_inside_a_layer_of_layers_stay_too():
    inner = keras.Sequential([keras.Input((4,)), adapted(keras.layers.Normalization(), 4 * np.random.randn(50, 4) + 9)])
    model = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(2)])
    x = tiny.X[:, 0, :4, 0]
    assert (conversion.plain(model)(x).numpy() == model(x).numpy()).all()


class Doubled(keras.Sequential):
    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs)


def test_a_sequential_model_with_a_call_of_its_own_is_a_subclassed_one():
    model = Doubled([keras.layers.Dense(4), keras.layers.Dense(2)])
    x = tiny.X[:, 0, :4, 0]
    expected = model(x).numpy()
    assert conversion.plain(model) is model
    prunable = tfl.make_prunable(model)
    assert prunable is model
    assert (prunable(x).numpy() == expected).all()
    tfl.set_masks(prunable, tiny.half_masks(prunable))
    assert tiny.is_pruned_to_plus_zero(prunable)
