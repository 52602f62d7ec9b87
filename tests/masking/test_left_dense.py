"""Trainable weights that stay dense because nobody has decided about them are named in one warning."""

import re
import warnings

import pytest

import tf_lottery as tfl
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import prunable

L = keras.layers


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    monkeypatch.setattr(prunable, "REGISTERED", {})


class Mine(L.Layer):
    """A layer with a matrix of 8 x 6, in which nobody has registered anything, and a vector."""

    def build(self, shape):
        self.matrix = self.add_weight(name="m", shape=(shape[-1], 6))
        self.vector = self.add_weight(name="v", shape=(1, 6))
        self.built = True

    def call(self, x):
        return x @ self.matrix + self.vector

    def get_config(self):
        return super().get_config()


class InAList(Mine):
    def build(self, shape):
        self.matrices = [self.add_weight(name=f"m{n}", shape=(shape[-1], 6)) for n in range(2)]
        self.built = True

    def call(self, x):
        return x @ self.matrices[0] + x @ self.matrices[1]


class Declared(Mine):
    def get_prunable_weights(self):
        return [self.matrix]


class Noisy(L.Dense):
    """A Dense layer with one more matrix."""

    def build(self, shape):
        super().build(shape)
        self.noise = self.add_weight(name="noise", shape=(shape[-1], self.units))


class Net(keras.Model):
    """A model that owns a matrix itself."""

    def __init__(self):
        super().__init__()
        self.inner = L.Dense(6)

    def build(self, shape):
        self.inner.build(shape)
        self.mix = self.add_weight(name="mix", shape=(6, 2))
        self.built = True

    def call(self, x):
        return self.inner(x) @ self.mix


def model(layer):
    return keras.Sequential([keras.Input((8,)), layer, L.Dense(2)])


def net():
    net = Net()
    net.build((None, 8))
    return net


def messages(plain, **arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = tfl.make_prunable(plain, **arguments)
    return list(tfl.get_masks(made)), [str(warning.message) for warning in caught]


def test_the_warning_names_weight_share_and_what_to_write():
    masks, (message,) = messages(model(Mine()))
    assert masks == ["dense/kernel"]
    assert message == (  # 48 of 48 + 6 + 12 + 2
        "70.6% of the trainable weights stay dense, because tf_lottery does not know whether they can be pruned: "
        "'mine/m' (8, 6). If inputs are multiplied by them, or looked up in them, call "
        '`tfl.register_prunable(Mine, "matrix")` before `make_prunable`. To keep them dense, call '
        '`tfl.register_prunable(Mine)` without attributes, or pass `exclude=["mine/m"]`.'
    )


def test_the_warning_shows_the_line_of_the_user():
    with pytest.warns(UserWarning, match="stay dense") as caught:
        tfl.make_prunable(model(Mine()))
    assert [warning.filename for warning in caught] == [__file__]


def test_what_the_warning_says_to_write_prunes_the_weight():
    tfl.register_prunable(Mine, "matrix")
    assert messages(model(Mine())) == (["mine/m", "dense/kernel"], [])


@pytest.mark.parametrize("exclude", ["mine/m", "mine", re.compile("^mine"), lambda name: name == "mine/m"])
def test_exclude_silences_it(exclude):
    assert messages(model(Mine()), exclude=exclude) == (["dense/kernel"], [])


def test_a_registered_class_and_its_subclasses_are_silent():
    tfl.register_prunable(Mine)
    assert messages(model(InAList())) == (["dense/kernel"], [])


def test_a_layer_that_declares_its_weights_is_silent():
    assert messages(model(Declared())) == (["declared/m", "dense/kernel"], [])


@pytest.mark.parametrize("frozen", ["layer", "model"])
def test_frozen_weights_are_named_too_because_frozen_layers_are_pruned_like_others(frozen):
    plain = model(Mine())
    (plain if frozen == "model" else plain.layers[0]).trainable = False
    masks, (message,) = messages(plain)
    assert masks == ["dense/kernel"]
    assert message.startswith("70.6% of the trainable weights stay dense")
    assert "'mine/m' (8, 6) of a frozen layer. If" in message


class Fixed(Mine):
    def build(self, shape):
        self.matrix = self.add_weight(name="m", shape=(shape[-1], 6), trainable=False)
        self.vector = self.add_weight(name="v", shape=(1, 6))


@pytest.mark.parametrize("frozen", [False, True])
def test_weights_that_are_never_trained_are_silent(frozen):
    plain = model(Fixed())
    plain.layers[0].trainable = not frozen
    assert messages(plain) == (["dense/kernel"], [])


def test_a_layer_that_was_frozen_when_it_was_built_is_named_as_well():
    _, (message,) = messages(model(Mine(trainable=False)))
    assert "'mine/m' (8, 6) of a frozen layer" in message


def test_a_subclass_of_a_prunable_layer_inherits_its_decisions_and_nothing_more():
    masks, (message,) = messages(model(Noisy(6)))
    assert masks == ["noisy/kernel", "dense/kernel"]
    assert "'noisy/noise' (8, 6). If" in message
    assert '`tfl.register_prunable(Noisy, "noise")`' in message


def test_a_weight_of_the_model_itself_is_named():
    masks, (message,) = messages(net())
    assert masks == ["dense/kernel"]
    assert message.startswith("18.2% of the trainable weights")  # 12 of 48 + 6 + 12
    assert "'mix' (6, 2)" in message


def test_weights_in_a_list_have_no_attribute_to_register():
    _, (message,) = messages(model(InAList()))
    assert "'in_a_list/m0' (8, 6), 'in_a_list/m1' (8, 6)." in message
    assert 'exclude=["in_a_list/m0", …]' in message


def test_many_weights_are_counted():
    layers = [Mine(name=f"mine_{letter}") for letter in "abcdefg"]
    _, (message,) = messages(keras.Sequential([keras.Input((6,)), *layers, L.Dense(2)]))
    assert "'mine_e/m' (6, 6) and 2 more. If" in message


def test_the_error_that_nothing_is_prunable_names_them_too():
    plain = keras.Sequential([keras.Input((8,)), Mine()])
    with pytest.raises(ModelError, match=r"nothing to prune.* Found: none. .*'mine/m' \(8, 6\).*Mine, \"matrix\"\)`"):
        tfl.make_prunable(plain)


def test_scales_and_biases_of_several_axes_are_decided():
    layers = [L.LayerNormalization(axis=[1, 2]), L.PReLU(), L.GRU(3, return_sequences=True), L.Dense(2)]
    assert messages(keras.Sequential([keras.Input((5, 4)), *layers]))[1] == []
