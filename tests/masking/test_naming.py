import pytest
import tiny

from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion
from tf_lottery.masking.naming import named_layers, named_variables
from tf_lottery.masking.prunable import Prunable

DENSE_NAMES = ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]


def names(model):
    return [name for name in named_variables(model) if "dropout" not in name]


def test_every_model_has_the_names_of_the_first_model_in_a_process():
    assert names(tiny.dense()) == names(tiny.dense()) == DENSE_NAMES


@pytest.mark.parametrize("build", [tiny.dense, tiny.convolutional, tiny.nested])
def test_names_do_not_change_when_a_model_is_wrapped_saved_reloaded_and_stripped(build, tmp_path):
    plain = build()
    pruned = conversion.make_prunable(plain)
    pruned.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert names(plain) == names(pruned) == names(reloaded) == names(conversion.strip_pruning(pruned))


def test_chosen_names_are_kept():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(2, name="out")])
    assert names(model) == ["dense/kernel", "dense/bias", "out/kernel", "out/bias"]


def test_a_layer_that_a_person_calls_a_model_keeps_its_name():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="model_1")])
    assert names(model) == ["model_1/kernel", "model_1/bias"]


def test_a_chosen_name_that_looks_automatic_for_another_class_is_not_given_twice():
    x = keras.Input((4,))
    y = keras.layers.BatchNormalization(name="dense")(keras.layers.Dense(2)(x))
    assert names(keras.Model(x, y))[:3] == ["dense_1/kernel", "dense_1/bias", "dense/gamma"]


def test_automatic_names_follow_the_order_of_the_graph_not_of_creation():
    first, second = keras.layers.Dense(2), keras.layers.Dense(3)
    x = keras.Input((4,))
    kernels = {name: v for name, v in named_variables(keras.Model(x, first(second(x)))).items() if "kernel" in name}
    assert {name: kernel.shape[-1] for name, kernel in kernels.items()} == {"dense/kernel": 3, "dense_1/kernel": 2}


def test_chosen_names_that_look_automatic_do_not_make_names_depend_on_the_process():
    """The number in `dense_1` is no help: a person chose it, and Keras numbers the other one as it comes."""

    def build():
        layers_ = [keras.layers.Dense(6, name="dense_1"), keras.layers.Dense(5), keras.layers.Dense(3, name="out")]
        model = keras.Sequential([keras.Input((4,)), *layers_])
        return {name: v.shape[-1] for name, v in named_variables(model).items() if "kernel" in name}

    first = build()
    for _ in range(3):
        keras.layers.Dense(1)
    assert build() == first == {"dense/kernel": 6, "dense_1/kernel": 5, "out/kernel": 3}


def test_layers_of_one_name_in_two_nested_models_have_two_names():
    def block():
        x = keras.Input((2,))
        return keras.Model(x, keras.layers.Dense(2, name="inner")(x))

    x, first, second = keras.Input((2,)), block(), block()
    model = keras.Model(x, second(first(x)))
    assert names(model) == [
        "functional/inner/kernel",
        "functional/inner/bias",
        "functional_1/inner/kernel",
        "functional_1/inner/bias",
    ]


def test_layers_of_one_name_inside_one_layer_are_numbered_by_position():
    class Twins(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.twins = [keras.layers.Dense(1, name="twin"), keras.layers.Dense(1, name="twin")]

        def build(self, shape):
            for twin in self.twins:
                twin.build(shape)

        def call(self, x):
            return self.twins[0](x) + self.twins[1](x)

    x = keras.Input((2,))
    model = keras.Model(x, Twins()(x))
    assert [name for name in names(model) if "kernel" in name] == ["twins/twin.0/kernel", "twins/twin.1/kernel"]


def test_a_name_that_would_stand_for_two_weights_is_refused():
    class Triple(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.parts = [keras.layers.Dense(1, name=name) for name in ("x", "x", "x.0")]

        def build(self, shape):
            for part in self.parts:
                part.build(shape)

        def call(self, x):
            return x

    x = keras.Input((2,))
    model = keras.Model(x, Triple()(x))
    with pytest.raises(ModelError, match=r"Two parts of the model would be called 'triple/x.0"):
        named_variables(model)


def test_a_shared_layer_has_one_name():
    x, shared = keras.Input((2,)), keras.layers.Dense(2)
    assert names(keras.Model(x, shared(shared(x)))) == ["dense/kernel", "dense/bias"]


def test_wrappers_and_mask_owners_have_no_name_of_their_own():
    found = named_layers(conversion.make_prunable(tiny.dense()))
    assert list(found)[-3:] == ["flatten", "dense", "dense_1"]
    assert type(found["dense"]) is keras.layers.Dense
    plain = list(named_layers(model := tiny.subclassed()))
    assert plain == list(named_layers(conversion.make_prunable(model)))


@pytest.mark.parametrize("build", [tiny.dense, tiny.subclassed])
def test_masks_are_not_among_the_variables(build):
    assert not any("mask" in name for name in named_variables(conversion.make_prunable(build())))


def test_a_single_layer_can_be_the_root_of_names():
    lstm = keras.layers.LSTM(2)
    lstm.build((None, 3, 2))
    kernels = [name for name in named_variables(lstm) if "kernel" in name]
    assert kernels == ["lstm_cell/kernel", "lstm_cell/recurrent_kernel"]
    assert [name for name in named_variables(Prunable(lstm)) if "kernel" in name] == [f"lstm/{n}" for n in kernels]


def test_inputs_have_one_name_in_every_build_and_in_both_kerases():
    for _ in range(2):
        left, right = keras.Input((4,)), keras.Input((4,))
        model = keras.Model([left, right], keras.layers.Add()([left, right]))
        assert list(named_layers(model)) == ["input_layer", "input_layer_1", "add"]


def test_an_input_that_has_a_name_keeps_it():
    image = keras.Input((4,), name="input")
    assert list(named_layers(keras.Model(image, keras.layers.ReLU()(image)))) == ["input", "re_lu"]
