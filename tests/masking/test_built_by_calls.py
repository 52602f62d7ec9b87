"""Layers whose weights come with their first call: what plain Keras saves and loads, prunable models do, too."""

import numpy as np
import pytest
import tiny

import tf_lottery as tfl
from tf_lottery import keras_compat
from tf_lottery.keras_compat import keras
from tf_lottery.masking.naming import named_variables

X = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)


class Configured(keras.layers.Layer):
    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="tests")
class NoBuild(Configured):
    def __init__(self, units=4, **kwargs):
        super().__init__(units, **kwargs)
        self.inner = keras.layers.Dense(units)

    def call(self, x):
        return self.inner(x)


@keras.saving.register_keras_serializable(package="tests")
class HalfBuild(Configured):
    """Builds its second layer; the first one gets its weights in the call."""

    def __init__(self, units=4, **kwargs):
        super().__init__(units, **kwargs)
        self.first, self.second = keras.layers.Dense(units), keras.layers.Dense(units)

    def build(self, shape):
        self.second.build((*shape[:-1], self.units))
        self.built = True

    def call(self, x):
        return self.second(self.first(x))


@keras.saving.register_keras_serializable(package="tests")
class Nest(Configured):
    def __init__(self, units=4, **kwargs):
        super().__init__(units, **kwargs)
        self.inside = NoBuild(units)

    def call(self, x):
        return self.inside(x)


@pytest.mark.skipif(keras_compat.LEGACY, reason="legacy Keras builds such layers in calls anyway")
@pytest.mark.filterwarnings("ignore:`build\\(\\)` was called on layer")  # Keras says so of the plain model as well
@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (NoBuild, ["no_build/dense/kernel"]),
        (HalfBuild, ["half_build/dense/kernel", "half_build/dense_1/kernel"]),
        (Nest, ["nest/no_build/dense/kernel"]),
    ],
)
@pytest.mark.parametrize("load", [tfl.load_model, keras.models.load_model])
def test_files_of_layers_that_are_built_by_calls_hold_the_masks(layer, names, load, tmp_path):
    model = tfl.make_prunable(keras.Sequential([keras.Input((4,)), layer(), keras.layers.Dense(2)]))
    assert list(tfl.get_masks(model)) == [*names, "dense/kernel"]
    tfl.set_masks(model, tiny.half_masks(model))
    model.save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras")
    assert tiny.same_masks(loaded, model)
    assert np.array_equal(loaded(X), model(X))
    loaded.compile("sgd", "mse", jit_compile=False)
    loaded.fit(X, np.ones((3, 2)), verbose=0)
    assert tiny.is_pruned_to_plus_zero(loaded)
    stripped = tfl.strip_pruning(loaded)
    stripped.save(tmp_path / "stripped.keras")
    assert np.array_equal(keras.models.load_model(tmp_path / "stripped.keras")(X), stripped(X))


class Unnamed(keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")
        self.shift = self.add_weight(shape=(shape[-1],), initializer="zeros")

    def call(self, x):
        return x * self.scale + self.shift


def test_variables_without_a_name_are_numbered_by_their_position_in_the_layer():
    def build():
        return keras.Sequential([keras.Input((4,)), Unnamed(), keras.layers.Dense(1), Unnamed()])

    names = ["unnamed/variable.0", "unnamed/variable.1", "dense/kernel", "dense/bias"]
    names += ["unnamed_1/variable.0", "unnamed_1/variable.1"]
    assert list(named_variables(build())) == list(named_variables(build())) == names


@pytest.mark.skipif(keras_compat.LEGACY, reason="Keras 3 only")
def test_a_single_variable_without_a_name_is_called_variable():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.temperature = keras.Variable(1.0)
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x) / self.temperature

    model = Own()
    model(X)
    assert list(named_variables(model)) == ["variable", "dense/kernel", "dense/bias"]


@pytest.mark.skipif(keras_compat.LEGACY, reason="Keras 3 only")
def test_an_embedding_that_is_tied_to_the_output_of_another_model_is_saved_once(tmp_path):
    tokens, table = keras.Input((4,), dtype="int32"), keras.layers.ReversibleEmbedding(9, 5, name="table")
    backbone = keras.Model(tokens, keras.layers.Dense(5, "relu")(table(tokens)), name="backbone")
    model = tfl.make_prunable(keras.Model(backbone.input, table(backbone.output, reverse=True)))
    tfl.set_masks(model, tiny.half_masks(model))
    model.save(tmp_path / "model.keras")
    loaded = tfl.load_model(tmp_path / "model.keras")
    words = np.array([[1, 2, 3, 4]])
    assert list(tfl.get_masks(loaded)) == ["table/embeddings", "dense/kernel"]
    assert tiny.same_masks(loaded, model)
    assert np.array_equal(loaded(words), model(words))
