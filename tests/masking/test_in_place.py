"""Models masked in place: they keep class, methods, layers and variables, and their files and copies the masks."""

import copy
import copyreg
import pickle
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
import tiny
from tiers import always

import tf_lottery as tfl
from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import constraint, naming, state

OF_OWN_CLASS = [tiny.subclassed, tiny.FunctionalNet, tiny.sequential_subclass]
PLAIN = [tiny.dense, tiny.convolutional, tiny.nested]
ALL = [*OF_OWN_CLASS, *PLAIN]
half_masked = partial(tiny.half_masked, in_place=True)


def predictions(model):
    return model.predict(tiny.X, verbose=0)


def assert_same(first, second):
    assert type(first) is type(second)
    assert tiny.same_masks(first, second)
    assert tfl.density(first) < 1
    assert np.array_equal(predictions(first), predictions(second))


@pytest.mark.parametrize("build", ALL)
def test_a_model_masked_in_place_is_the_same_object_with_the_same_layers_and_weights(build):
    model = build()
    layers, weights = [id(layer) for layer in model.layers], [id(weight) for weight in model.weights]
    before, names = predictions(model), list(naming.named_variables(model))
    assert tfl.make_prunable(model, in_place=True) is model
    assert [id(layer) for layer in model.layers if layer is not model.tfl_masks] == layers
    assert [id(weight) for weight in model.weights if weight.dtype != "bool"] == weights
    assert list(naming.named_variables(model)) == names
    assert np.array_equal(predictions(model), before)


@pytest.mark.parametrize("build", OF_OWN_CLASS)
def test_a_model_of_its_own_class_keeps_class_and_methods(build):
    model = build()
    assert tfl.make_prunable(model) is model
    if build is not tiny.subclassed:
        assert model.best_class(tiny.X).shape == (32,)


@pytest.mark.parametrize("build", ALL)
def test_masks_hold_while_the_model_trains(build):
    model = half_masked(build)
    model.compile("adam", tiny.loss(), jit_compile=False)
    model.fit(tiny.X, tiny.Y, verbose=0)
    assert tiny.is_pruned_to_plus_zero(model)


@pytest.mark.parametrize("build", ALL)
def test_a_file_knows_the_masks_and_what_was_excluded(build, tmp_path):
    excluded = sorted(tfl.get_masks(tfl.make_prunable(build())))[0]
    model = half_masked(build, exclude=excluded)
    model.save(tmp_path / "model.keras")
    loaded = tfl.load_model(tmp_path / "model.keras")
    assert excluded not in tfl.get_masks(loaded)
    assert_same(loaded, model)
    loaded.compile("adam", tiny.loss(), jit_compile=False)
    loaded.fit(tiny.X, tiny.Y, verbose=0)
    assert tiny.is_pruned_to_plus_zero(loaded)


@pytest.mark.parametrize("build", ALL)
def test_weight_files_and_checkpoints_hold_the_masks(build, tmp_path):
    model = half_masked(build)
    from_weights, from_checkpoint = (tfl.make_prunable(build(), in_place=True) for _ in range(2))
    model.save_weights(tmp_path / "w.weights.h5")
    from_weights.load_weights(tmp_path / "w.weights.h5")
    assert_same(from_weights, model)
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=from_checkpoint).read(path).expect_partial()
    assert_same(from_checkpoint, model)


def test_the_weight_file_of_a_model_with_other_masks_is_refused_and_that_of_a_plain_model_leaves_the_masks(tmp_path):
    plain = tiny.FunctionalNet()
    plain.save_weights(tmp_path / "plain.weights.h5")
    tfl.make_prunable(plain, exclude="first").save_weights(tmp_path / "other.weights.h5")
    model = half_masked(tiny.FunctionalNet)
    masks = tfl.get_masks(model)
    with pytest.raises((ModelError, ValueError), match=r"In the model only: \['features/first/kernel'\]"):
        model.load_weights(tmp_path / "other.weights.h5")
    model.load_weights(tmp_path / "plain.weights.h5")
    tfl.apply_masks(model)
    assert all(np.array_equal(mask, masks[name]) for name, mask in tfl.get_masks(model).items())
    expected = {name: np.where(masks.get(name, True), array, 0) for name, array in state.weights(plain).items()}
    assert all(np.array_equal(array, expected[name]) for name, array in state.weights(model).items())


@pytest.mark.parametrize("build", ALL)
@pytest.mark.parametrize("in_place", [True, False])
def test_a_copy_has_the_weights_and_the_masks_and_is_another_model(build, in_place):
    model = tiny.half_masked(build, in_place=in_place)
    first = next(layer for layer in model.layers if layer.weights)
    first.trainable = False
    made = tfl.copy(model)
    assert_same(made, model)
    assert [layer.trainable for layer in made.layers] == [layer.trainable for layer in model.layers]
    tfl.set_masks(made, {name: np.zeros_like(mask) for name, mask in tfl.get_masks(made).items()})
    assert tfl.density(model) > 0


def same_pickled(model):
    return pickle.loads(pickle.dumps(model))


COPIES = (
    [same_pickled] if keras_compat.LEGACY else [same_pickled, copy.copy, copy.deepcopy]
)  # legacy Keras defines both


@pytest.mark.parametrize("build", always(tiny.subclassed, tiny.convolutional, among=ALL))
@pytest.mark.parametrize("make", COPIES)
def test_pickles_and_copies_have_the_masks_and_hold_them(build, make):
    excluded = sorted(tfl.get_masks(tfl.make_prunable(build())))[0]
    model = half_masked(build, exclude=excluded)
    model.compile("adam", tiny.loss(), jit_compile=False)
    model.fit(tiny.X, tiny.Y, verbose=0)
    made = make(model)
    assert_same(made, model)
    assert excluded not in tfl.get_masks(made)
    made.fit(tiny.X, tiny.Y, verbose=0)
    assert tiny.is_pruned_to_plus_zero(made)


@pytest.mark.parametrize("make", COPIES)
def test_pickles_and_copies_of_other_models_of_the_class_are_what_keras_makes(make):
    half_masked(tiny.FunctionalNet)
    for other in (tiny.FunctionalNet(), tfl.strip_pruning(half_masked(tiny.FunctionalNet))):
        made = make(other)
        assert np.array_equal(predictions(made), predictions(other))
        assert not constraint.has_masks(made)


def test_a_user_who_has_said_how_to_pickle_the_class_is_obeyed(monkeypatch):
    monkeypatch.setitem(copyreg.dispatch_table, tiny.FunctionalNet, lambda model: (str, ("mine",)))
    assert same_pickled(half_masked(tiny.FunctionalNet)) == "mine"


@pytest.mark.parametrize("build", ALL)
def test_the_copies_that_keras_makes_have_the_zeros_and_no_masks(build):
    """The docstring of `make_prunable` says so: a class that Keras makes anew knows nothing of our layer."""
    model = half_masked(build)
    made = [keras.models.clone_model(model)]
    if keras_compat.LEGACY:
        made += [copy.copy(model), copy.deepcopy(model)]
        assert all(np.array_equal(predictions(one), predictions(model)) for one in made[1:])
    for other in made:
        with pytest.raises(ModelError, match=r"has no masks|is not built"):
            tfl.get_masks(other)


@keras.saving.register_keras_serializable(package="tests")
class Around(keras.Model):
    """A model around a model."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = tiny.FunctionalNet()

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        return {"name": self.name}


def test_the_pickle_of_a_model_around_one_masked_in_place_has_the_zeros_and_no_masks():
    """`docs/limits.md` says so: nobody tells us of the model around it."""
    outer = Around()
    outer(tiny.X[:1])
    tfl.set_masks(tfl.make_prunable(outer.inner), tiny.half_masks(outer.inner))
    made = same_pickled(outer)
    assert np.array_equal(predictions(made), predictions(outer))
    assert not constraint.has_masks(made)


@pytest.mark.parametrize("build", PLAIN)
def test_the_copies_that_keras_makes_of_wrapped_models_have_the_masks(build):
    model = tiny.half_masked(build)
    assert_same(copy.deepcopy(model), model)
    assert tfl.density(keras.models.clone_model(model)) == 1


@pytest.mark.parametrize("build", ALL)
def test_stripping_leaves_nothing_behind_and_plain_keras_loads_the_file(build, tmp_path):
    model = build()
    attributes, weights = set(vars(model)), [id(weight) for weight in model.weights]
    tfl.set_masks(tfl.make_prunable(model, in_place=True), tiny.half_masks(model))
    expected = predictions(model)
    assert tfl.strip_pruning(model) is model
    assert set(vars(model)) - attributes <= {"stop_predicting"}  # Keras adds it in `predict`
    assert [id(weight) for weight in model.weights] == weights
    assert not any(constraint.mask_of(weight) is not None for weight in model.weights)
    assert "tfl_masks" not in model._trackable_children()  # what checkpoints and SavedModels contain
    model.save(tmp_path / "stripped.keras")
    assert np.array_equal(predictions(keras.models.load_model(tmp_path / "stripped.keras")), expected)


def test_no_method_of_the_model_its_layers_or_its_optimizer_is_replaced():
    for build in ALL:
        model = build()
        model.compile(keras.optimizers.SGD(use_ema=True), tiny.loss())
        things = [model.optimizer, *keras_compat.all_layers(model)]  # the model is one of them
        before = [{name for name, value in vars(thing).items() if callable(value)} for thing in things]
        tfl.set_masks(tfl.make_prunable(model, in_place=True), tiny.half_masks(model))
        after = [{name for name, value in vars(thing).items() if callable(value)} for thing in things]
        new = [names - old for names, old in zip(after, before, strict=True)]
        assert [names for names in new if names] == [{"tfl_masks"}]


class NoConfig(keras.layers.Layer):
    """A layer that cannot be made again: its constructor takes no name."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.dense = factor, keras.layers.Dense(3)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.factor * self.dense(x)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def test_a_layer_that_cannot_be_recreated_is_refused_with_the_way_out_which_works():
    model = keras.Sequential([keras.Input((4,)), NoConfig(2.0)])
    with pytest.raises(ModelError, match=r"\(NoConfig\) cannot be recreated.* `make_prunable\(model, in_place=True\)`"):
        tfl.make_prunable(model)
    assert list(tfl.get_masks(tfl.make_prunable(model, in_place=True))) == ["no_config/dense/kernel"]


def test_a_model_that_shares_layers_with_one_masked_in_place_is_masked_too():
    image = keras.Input((4,))
    code = keras.layers.Dense(2, name="code")(image)
    encoder, whole = keras.Model(image, code), keras.Model(image, keras.layers.Dense(4)(code))
    tfl.make_prunable(whole, in_place=True)
    tfl.set_masks(whole, tiny.half_masks(whole))
    assert np.array_equal(tfl.get_masks(encoder)["code/kernel"], tfl.get_masks(whole)["code/kernel"])


@keras.saving.register_keras_serializable()
class Parts(keras.Model):
    """A model with a `train_step` and no `call`, as GANs are written; `compile` makes a metric."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def compile(self, **settings):
        super().compile(**settings)
        self.mean = keras.metrics.Mean(name="mean")

    def train_step(self, data):
        x, _ = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self.second(self.first(x)) ** 2)
        weights = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self.mean.update_state(loss)
        return {"mean": self.mean.result()}

    def get_config(self):
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("first", "second")}

    @classmethod
    def from_config(cls, config):
        return cls(*map(keras.saving.deserialize_keras_object, config.values()))


def part(inputs, outputs):
    return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(5), keras.layers.Dense(outputs)])


def test_a_model_without_call_is_built_when_its_parts_are():
    model = tfl.make_prunable(Parts(part(6, 4), part(4, 1)), exclude="sequential_1")
    tfl.set_masks(model, tiny.half_masks(model))
    model.compile(optimizer="adam")
    model.fit(tiny.X[:, 0, :, 0], tiny.Y, verbose=0)
    assert tiny.is_pruned_to_plus_zero(model)
    assert all(name.startswith("sequential/") for name in tfl.get_masks(model))


@pytest.mark.skipif(keras_compat.LEGACY, reason="Keras 3 only: legacy Keras writes no model that was never called")
@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_the_file_of_a_model_without_call_keeps_its_masks(tmp_path):
    model = tfl.make_prunable(Parts(part(6, 4), part(4, 1)))
    tfl.set_masks(model, tiny.half_masks(model))
    model.save(tmp_path / "model.keras")
    loaded = tfl.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, Parts)
    for of in (state.weights, tfl.get_masks):
        first, second = of(model), of(loaded)
        assert all(np.array_equal(first[name], second[name]) for name in {**first, **second})


def test_parts_that_are_not_built_are_named():
    with pytest.raises(ModelError, match=r"'parts.*' is not built: .* Not built: dense_\d+, dense_\d+\."):
        tfl.make_prunable(Parts(part(6, 4), keras.Sequential([keras.layers.Dense(5), keras.layers.Dense(1)])))


class Lazy(keras.Model):
    """A model whose layers get their weights in a call."""

    def __init__(self):
        super().__init__()
        self.inside = [keras.layers.Dense(3, name="inside")]

    def call(self, x):
        return self.inside[0](x)


def test_a_model_that_is_built_without_its_layers_is_told_which_are_not():
    model = Lazy()
    model.built = True  # what `build(shape)` may leave
    with pytest.raises(ModelError, match=r"nothing to prune\..* not built, call the model on data first: inside"):
        tfl.make_prunable(model)


def with_a_masked_model_inside():
    inner = half_masked(tiny.FunctionalNet)
    return keras.Sequential([keras.Input((6, 6, 1)), inner, keras.layers.Dense(3)])


def test_a_model_masked_in_place_inside_another_one_keeps_its_masks_in_copies_and_files(tmp_path):
    model = with_a_masked_model_inside()
    assert_same(tfl.copy(model), model)
    model.save(tmp_path / "model.keras")
    loaded = tfl.load_model(tmp_path / "model.keras")
    assert_same(loaded, model)
    assert not hasattr(loaded, "tfl_masks")
    assert hasattr(loaded.layers[-2], "tfl_masks")


@pytest.mark.parametrize("in_place", [False, True])
def test_a_copy_keeps_what_adapt_has_taught_layers_inside_layers(in_place):
    norm, words = keras.layers.Normalization(axis=None), keras.layers.IntegerLookup()
    norm.adapt(100 + 9 * tiny.X[:, 0, :4, 0])
    words.adapt(np.array([1, 5, 9]))
    block = keras.Sequential([keras.Input((4,)), norm, keras.layers.Dense(2)])
    numbers, word = keras.Input((4,)), keras.Input((1,), dtype="int64")
    looked_up = keras.layers.Flatten()(keras.layers.Embedding(5, 2)(words(word)))
    plain = keras.Model([numbers, word], keras.layers.Dense(1)(keras.layers.Add()([block(numbers), looked_up])))
    model = tiny.half_masked(lambda: plain, in_place=in_place)
    inputs = [tf.constant(100 + 9 * tiny.X[:3, 0, :4, 0]), tf.constant([[1], [9], [4]], tf.int64)]
    assert np.array_equal(tfl.copy(model)(inputs), model(inputs))
