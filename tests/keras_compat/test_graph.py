import pytest
import tiny

from tf_lottery import keras_compat
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion
from tf_lottery.masking.prunable import MaskHolder


class OwnCall(tiny.FunctionalNet):
    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs)


@pytest.mark.parametrize(
    ("build", "is_graph", "is_plain"),
    [
        (tiny.dense, True, True),
        (tiny.convolutional, True, True),
        (tiny.FunctionalNet, True, False),
        (tiny.sequential_subclass, True, False),
        (OwnCall, False, False),
        (tiny.subclassed, False, False),
    ],
)
def test_subclasses_are_graphs_unless_they_have_a_call_but_only_models_of_keras_own_classes_are_plain(
    build, is_graph, is_plain
):
    model = build()
    assert keras_compat.is_layer_graph(model) == is_graph
    assert keras_compat.is_plain_graph(model) == is_plain


def test_unbuilt_layers_are_those_that_may_still_get_weights():
    inside = [keras.layers.Flatten(), keras.layers.Dense(1), keras.layers.RandomFlip(), keras.layers.Average()]
    model = keras.Sequential([*inside, keras.Sequential([keras.layers.Dense(1, name="deep")])])
    assert [layer.name for layer in keras_compat.unbuilt_layers(model)] == [inside[1].name, "deep"]
    assert keras_compat.unbuilt_layers(tiny.subclassed()) == []


def test_sublayers_and_all_layers_see_wrappers_and_what_is_in_them():
    model = conversion.make_prunable(tiny.nested())
    kinds = [type(layer).__name__ for layer in keras_compat.all_layers(model)]
    assert kinds.count("Prunable") == kinds.count("Dense") == 3
    assert [type(layer).__name__ for layer in keras_compat.sublayers(model.layers[-1])] == ["Dense"]


@keras.saving.register_keras_serializable(package="tests")
class Custom(keras.layers.Dense):
    pass


@pytest.mark.parametrize("config", [keras.saving.serialize_keras_object(Custom(3)), {"class_name": "tests>Custom"}])
def test_a_layer_is_read_from_a_config_with_and_without_its_module(config):
    layer = keras_compat.layer_from_config({"config": {"units": 3}, **config})
    assert (type(layer), layer.units) == (Custom, 3)


def test_a_config_without_module_of_an_unknown_layer_is_an_error_that_names_it():
    with pytest.raises((TypeError, ValueError), match=r"(Could not locate class|Unknown layer:) 'Nowhere'"):
        keras_compat.layer_from_config({"class_name": "Nowhere", "config": {}})


def test_a_layer_that_is_attached_is_tracked_and_one_that_is_detached_leaves_nothing():
    model = tiny.subclassed()
    before = [id(variable) for variable in model.variables]
    holder = MaskHolder(name="holder")
    keras_compat.attach(model, "holder", holder)
    holder.own_mask("dense/kernel", model.first.kernel)
    assert len(model.variables) == len(before) + 1
    keras_compat.detach(model, "holder")
    assert [id(variable) for variable in model.variables] == before
    assert not hasattr(model, "holder")


@pytest.mark.skipif(keras_compat.LEGACY, reason="Keras 3 only")
def test_a_layer_is_attached_to_a_model_that_is_not_locked_and_it_stays_unlocked():
    class Unbuilt(keras.Model):
        pass

    model = Unbuilt()
    keras_compat.attach(model, "holder", MaskHolder())
    model.metric = keras.metrics.Mean()  # what a `compile` of a GAN does


def test_calls_come_in_an_order_in_which_they_can_be_made():
    model = tiny.convolutional()
    calls = keras_compat.calls(model)
    made = set()
    for call in calls:
        assert set(call.inputs) <= made
        made |= set(call.outputs)
    assert made >= set(keras_compat.output_tensors(model))
    assert [type(call.layer).__name__ for call in (calls[0], calls[-1])] == ["InputLayer", "Dense"]
    assert calls[-1].outputs[0].shape == (None, 3)


def test_a_shared_layer_has_several_calls_and_a_sequential_model_has_one_a_layer():
    model = tiny.nested()
    assert [call.layer.name for call in keras_compat.calls(model)].count("block") == 2
    assert [type(call.layer).__name__ for call in keras_compat.calls(tiny.dense())] == [
        *("InputLayer", "Flatten", "Dense", "Dense")
    ]


@pytest.mark.parametrize(
    ("settings", "is_plain"), [({}, True), ({"training": False}, True), ({"training": True}, False)]
)
def test_calls_know_whether_there_is_more_to_them_than_tensors(settings, is_plain):
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dropout(0.5)(x, **settings))
    assert keras_compat.calls(model)[-1].is_plain == is_plain


def test_masks_of_time_steps_are_more_than_tensors():
    x = keras.Input((4,), dtype="int32")
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Embedding(3, 2, mask_zero=True)(x)))
    assert [call.is_plain for call in keras_compat.calls(model)[-2:]] == [True, False]
