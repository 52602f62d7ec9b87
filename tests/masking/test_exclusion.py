import re

import pytest
import tiny

import tf_lottery as tfl
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import keras


def test_exclude_takes_keras_own_layer_names_where_they_are_clear():
    tiny.dense()  # so that Keras gives the layers of the next model higher numbers
    plain = tiny.dense()
    names = [layer.name for layer in plain.layers if "dense" in layer.name]
    assert list(tfl.get_masks(tfl.make_prunable(plain, exclude=names[1]))) == ["dense/kernel"]


def test_a_name_that_means_one_layer_to_keras_and_another_here_is_refused():
    layers_ = [keras.layers.Dense(3, name=name) for name in ("dense_1", "dense_2")]
    with pytest.raises(ModelError, match=r"layer of \['dense/bias', 'dense/kernel'\], but it is the weight name of"):
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
def test_exclude_takes_names_of_layers_and_models_that_contain_layers(exclude, left):
    model = tfl.make_prunable(tiny.subclassed(), exclude=exclude)
    assert sorted(tfl.get_masks(model)) == left
    assert len(model.trainable_weights) == len(tiny.subclassed().trainable_weights)


def test_exclude_reaches_into_a_wrapped_layer():
    inside = [keras.Input((3, 2)), keras.layers.Bidirectional(keras.layers.LSTM(2, name="lstm"), name="both")]
    model = tfl.make_prunable(keras.Sequential(inside), exclude=re.compile("recurrent|backward"))
    assert list(tfl.get_masks(model)) == ["both/forward_lstm/lstm_cell/kernel"]


@pytest.mark.parametrize("exclude", ["depthwise_conv2d", re.compile("depthwise"), ["conv2d/bias"]])
def test_to_exclude_what_is_never_pruned_changes_nothing(exclude):
    layers = [keras.Input((4, 4, 2)), keras.layers.DepthwiseConv2D(2), keras.layers.Conv2D(2, 1)]
    assert list(tfl.get_masks(tfl.make_prunable(keras.Sequential(layers), exclude=exclude))) == ["conv2d/kernel"]


def test_excluding_everything_is_refused_and_changes_nothing():
    model = tiny.subclassed()
    with pytest.raises(ModelError, match=r"nothing to prune.* Found: .*dense/kernel"):
        tfl.make_prunable(model, exclude=lambda name: True)
    assert not hasattr(model, "tfl_masks")


@pytest.mark.parametrize("exclude", [3, 0.5, True])
def test_what_is_no_name_is_refused(exclude):
    with pytest.raises(ModelError, match="`exclude` takes names of layers or weights"):
        tfl.make_prunable(tiny.dense(), exclude=exclude)


@pytest.mark.parametrize("of", [lambda model: type(model.layers[-1]), lambda model: model.layers[-1]])
@pytest.mark.parametrize("listed", [False, True])
def test_layers_and_their_classes_are_excluded_by_name_only(of, listed):
    model = tiny.dense()
    thing = of(model)
    with pytest.raises(ModelError, match=r"`exclude` takes names of layers or weights, .* Received: .*[Dd]ense"):
        tfl.make_prunable(model, exclude=[thing] if listed else thing)


def test_an_unknown_name_in_exclude_lists_the_known_ones():
    with pytest.raises(ModelError, match=r"names 'outptu', .*Known: dense/kernel, dense/bias, dense_1/kernel"):
        tfl.make_prunable(tiny.dense(), exclude=["outptu"])
    with pytest.raises(ModelError, match=r"has '\^outptu', which no weight matches. Known: dense/kernel, "):
        tfl.make_prunable(tiny.dense(), exclude=re.compile("^outptu"))
