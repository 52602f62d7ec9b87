"""Models that tfmot has wrapped, whose masks this package controls. tfmot knows legacy Keras only."""

import operator
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tiny

import tf_lottery as tfl
from tf_lottery import keras_compat
from tf_lottery.callbacks import LotteryTicket, ScheduledPruning
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import naming, state, tfmot_bridge
from tf_lottery.masking.constraint import mask_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # tfmot imports distutils
    TFMOT = tfmot_bridge.import_tfmot()

legacy_keras_only = pytest.mark.skipif(not keras_compat.LEGACY, reason="tfmot wraps models of legacy Keras only")


def wrapped(plain, compiled=True, optimizer="adam", **arguments):
    model = TFMOT.prune_low_magnitude(plain, **{"pruning_schedule": TFMOT.ConstantSparsity(0.5, 0, -1, 1), **arguments})
    if compiled:
        model.compile(optimizer, tiny.loss(), jit_compile=False)
    return model


def fit(model, *callbacks, **arguments):
    return model.fit(tiny.X, tiny.Y, batch_size=8, verbose=0, callbacks=list(callbacks), **arguments)


class Watcher(keras.callbacks.Callback):
    """A callback that records the masks, and whether pruned weights are zero, at the end of every batch."""

    def __init__(self):
        super().__init__()
        self.pruned_to_zero, self.masks = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.pruned_to_zero.append(tiny.is_pruned_to_plus_zero(self.model))
        self.masks.append(tfl.get_masks(self.model))


def same(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


@legacy_keras_only
@pytest.mark.parametrize("build", [tiny.dense, tiny.convolutional, tiny.nested])
def test_masks_have_the_weight_names_of_the_plain_model(build):
    model = wrapped(build(), compiled=False)
    assert tfmot_bridge.adopt(model)
    assert list(tfl.get_masks(model)) == list(tfl.get_masks(tfl.make_prunable(build())))
    assert list(state.weights(model)) == list(naming.named_variables(build()))


@legacy_keras_only
def test_masks_go_in_and_out():
    model = wrapped(tiny.dense())
    tfmot_bridge.adopt(model)
    assert tfl.density(model) == 1.0
    tfl.set_masks(model, masks := tiny.half_masks(model))
    assert same(tfl.get_masks(model), masks)
    assert tiny.is_pruned_to_plus_zero(model)
    assert tfl.density(model) == sum(mask.sum() for mask in masks.values()) / sum(mask.size for mask in masks.values())
    model.layers[1].layer.kernel.assign(np.ones((36, 4)))
    tfl.apply_masks(model)
    assert tiny.is_pruned_to_plus_zero(model)


@legacy_keras_only
@pytest.mark.parametrize(
    "optimizer",
    [lambda: keras.optimizers.Adam(0.1), lambda: keras.optimizers.SGD(0.1, momentum=0.9)],
    ids=["adam", "momentum"],
)
def test_masks_hold_at_every_batch_end_without_any_callback_of_tfmot(optimizer):
    model = wrapped(tiny.convolutional(), optimizer=optimizer())
    tfmot_bridge.adopt(model)
    tfl.set_masks(model, masks := tiny.half_masks(model))
    fit(model, watcher := Watcher(), epochs=2)
    assert watcher.pruned_to_zero == [True] * 8
    assert all(same(seen, masks) for seen in watcher.masks)


@legacy_keras_only
@pytest.mark.parametrize("when", ["before fit", "in fit"])
def test_a_model_that_tfmot_has_pruned_in_an_earlier_fit_keeps_its_masks(when):
    class Adopt(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            tfmot_bridge.adopt(self.model)

    model = wrapped(tiny.dense(), optimizer=keras.optimizers.Adam(0.1))
    fit(model, TFMOT.UpdatePruningStep())
    masks = tfl.get_masks(model)
    assert tfl.density(model) == 0.5
    if when == "before fit":
        tfmot_bridge.adopt(model)
        assert tiny.is_pruned_to_plus_zero(model)
    fit(model, Adopt(), watcher := Watcher(), epochs=2)
    assert watcher.pruned_to_zero == [True] * 8
    assert all(same(seen, masks) for seen in watcher.masks)


@legacy_keras_only
def test_the_callback_of_tfmot_does_no_harm():
    model = wrapped(tiny.dense())
    tfmot_bridge.adopt(model)
    tfl.set_masks(model, masks := tiny.half_masks(model))
    fit(model, TFMOT.UpdatePruningStep(), watcher := Watcher())
    assert watcher.pruned_to_zero == [True] * 4
    assert same(tfl.get_masks(model), masks)


@legacy_keras_only
def test_m_by_n_masks_are_not_ranked_again_either():
    model = wrapped(
        keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(4)]),
        sparsity_m_by_n=(2, 4),
    )
    tfmot_bridge.adopt(model)
    fit(model)
    assert tfl.density(model) == 1.0


def prune_dense_alone(**arguments):
    """Return a function for `clone_model` that wraps Dense layers, each with the next schedule."""
    schedules = iter([TFMOT.ConstantSparsity(0.5, 0, -1, 1), TFMOT.ConstantSparsity(0.75, 0, -1, 1)])

    def wrap(layer):
        is_dense = isinstance(layer, keras.layers.Dense)
        return TFMOT.prune_low_magnitude(layer, next(schedules), **arguments) if is_dense else layer

    return wrap


def two_schedules():
    return keras.models.clone_model(tiny.dense(), clone_function=prune_dense_alone())


PRUNERS = {
    "LotteryTicket": lambda: LotteryTicket(1, 0.5, epochs_per_level=1),
    "ScheduledPruning": lambda: ScheduledPruning(lambda step: (step == 1, 0.5)),
}


@legacy_keras_only
@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (
            {"sparsity_m_by_n": (2, 4)},
            r"'dense[_0-9]*' with sparsity_m_by_n=\(2, 4\), 'dense.*' with sparsity_m_by_n=\(2, 4\)",
        ),
        ({"block_size": (2, 1)}, r"'dense[_0-9]*' with block_size=\(2, 1\)"),
        ({"block_size": (1, 2), "block_pooling_type": "MAX"}, r"'dense[_0-9]*' with block_size=\(1, 2\)"),
    ],
)
def test_a_pattern_is_refused_by_callbacks_that_prune_and_kept_by_adopt(pruner, arguments, named):
    model = wrapped(tiny.dense(), **arguments)
    fit(model, TFMOT.UpdatePruningStep())
    masks = tfl.get_masks(model)
    weights = state.weights(model)
    with pytest.raises(ModelError, match=f"tfmot has wrapped {named}.*would destroy this pattern"):
        fit(model, PRUNERS[pruner](), epochs=2)
    assert same(state.weights(model), weights)
    assert same(tfl.get_masks(model), masks)
    tfmot_bridge.adopt(model)
    fit(model)
    assert same(tfl.get_masks(model), masks)
    assert tiny.is_pruned_to_plus_zero(model)
    with pytest.raises(ModelError, match="would destroy this pattern"):
        fit(model, PRUNERS[pruner](), epochs=2)


@legacy_keras_only
@pytest.mark.parametrize("pruner", PRUNERS)
def test_schedules_that_differ_by_layer_are_refused_until_adopt_has_dropped_them(pruner):
    model = two_schedules()
    model.compile("sgd", tiny.loss(), jit_compile=False)
    with pytest.raises(
        ModelError, match=r"schedules of their own, such as .*0.5.* and .*0.75.*Wrap all layers with the"
    ):
        fit(model, PRUNERS[pruner](), epochs=2)
    tfmot_bridge.adopt(model)
    fit(model, PRUNERS[pruner](), epochs=2)
    assert tfl.density(model) == 0.5


@legacy_keras_only
def test_equal_schedules_that_are_not_one_object_are_accepted(tmp_path):
    model = wrapped(tiny.dense())
    model.save(tmp_path / "model.keras")
    with TFMOT.prune_scope():
        loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[1].pruning_schedule is not loaded.layers[2].pruning_schedule
    fit(loaded, PRUNERS["ScheduledPruning"]())
    assert tfl.density(loaded) == 0.5


@legacy_keras_only
def test_adopting_twice_is_the_same_as_once():
    model = wrapped(tiny.dense())
    assert tfmot_bridge.adopt(model)
    fit(model)
    constraints = [weight.constraint for weight in model.trainable_variables]
    trained = model.train_function
    assert tfmot_bridge.adopt(model)
    assert [weight.constraint for weight in model.trainable_variables] == constraints
    assert model.train_function is trained


@legacy_keras_only
def test_a_constraint_of_the_user_stays():
    layer = keras.layers.Dense(3, kernel_constraint=keras.constraints.NonNeg())
    model = wrapped(keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), layer]))
    tfmot_bridge.adopt(model)
    tfl.set_masks(model, tiny.half_masks(model))
    fit(model)
    kernel = state.weights(model)["dense/kernel"]
    assert (kernel >= 0).all()
    assert (kernel > 0).any()
    assert tiny.is_pruned_to_plus_zero(model)


@legacy_keras_only
def test_the_training_state_comes_back():
    model = wrapped(tiny.dense(), optimizer=keras.optimizers.Adam(0.1))
    tfmot_bridge.adopt(model)
    model.optimizer.build(model.trainable_variables)
    start = state.capture(model, model.optimizer)
    first = fit(model, shuffle=False).history["loss"]
    state.restore(start, model, model.optimizer)
    assert fit(model, shuffle=False).history["loss"] == first


@legacy_keras_only
def test_strip_pruning_of_tfmot_gives_the_same_predictions_with_zeros_in_the_weights():
    model = wrapped(tiny.convolutional(), optimizer=keras.optimizers.Adam(0.1))
    tfmot_bridge.adopt(model)
    tfl.set_masks(model, masks := tiny.half_masks(model))
    fit(model)
    stripped = TFMOT.strip_pruning(model)
    assert np.array_equal(stripped.predict(tiny.X, verbose=0), model.predict(tiny.X, verbose=0))
    weights = state.weights(stripped)
    assert all((weights[name][~mask] == 0).all() for name, mask in masks.items())
    assert not any(hasattr(layer, "pruning_vars") for layer in stripped.layers)


@legacy_keras_only
@pytest.mark.parametrize("adopted", [False, True])
def test_our_strip_pruning_takes_the_wrappers_of_tfmot_off_as_well(adopted):
    model = wrapped(tiny.convolutional())
    if adopted:
        tfmot_bridge.adopt(model)
    tfl.set_masks(model, tiny.half_masks(model))
    with pytest.raises(ModelError, match="already has masks"):
        tfl.make_prunable(model)
    stripped = tfl.strip_pruning(model)
    assert np.array_equal(stripped.predict(tiny.X, verbose=0), model.predict(tiny.X, verbose=0))
    assert [type(layer) for layer in stripped.layers] == [type(layer) for layer in tiny.convolutional().layers]


@legacy_keras_only
def test_a_saved_model_opens_with_tfmot_alone_and_can_be_adopted_again(tmp_path):
    model = wrapped(tiny.dense())
    tfmot_bridge.adopt(model)
    tfl.set_masks(model, masks := tiny.half_masks(model))
    fit(model)
    model.save(tmp_path / "model.keras")
    code = (
        "import sys, tf_keras; from tensorflow_model_optimization.sparsity import keras as tfmot\n"
        "with tfmot.prune_scope(): model = tf_keras.models.load_model(sys.argv[1])\n"
        "print([layer.pruning_schedule.begin_step == 2**62 for layer in model.layers], 'tf_lottery' in sys.modules)"
    )
    arguments = [sys.executable, "-c", code, tmp_path / "model.keras"]
    assert subprocess.run(arguments, capture_output=True, text=True, check=True).stdout == "[True, True, True] False\n"
    with TFMOT.prune_scope():
        reloaded = keras.models.load_model(tmp_path / "model.keras")
    tfmot_bridge.adopt(reloaded)
    fit(reloaded, watcher := Watcher())
    assert watcher.pruned_to_zero == [True] * 4
    assert same(tfl.get_masks(reloaded), masks)


def test_plain_and_prunable_models_are_left_alone():
    plain = tiny.dense()
    assert not tfmot_bridge.adopt(plain)
    assert not tfmot_bridge.adopt(tfl.make_prunable(plain))
    assert all(mask_of(weight) is None for weight in plain.trainable_variables)


def test_layers_with_the_prunable_layer_protocol_of_tfmot_are_prunable_on_both_kerases():
    class Scaled(keras.layers.Layer, TFMOT.PrunableLayer):
        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", shape=(input_shape[-1], 2))

        def call(self, x):
            return x @ self.scale

        def get_prunable_weights(self):
            return [self.scale]

    model = tfl.make_prunable(keras.Sequential([keras.Input((3,)), Scaled(name="mine")]))
    assert list(tfl.get_masks(model)) == ["mine/scale"]


@legacy_keras_only
@pytest.mark.parametrize(("step", "density"), [(4, 0.5), (5, 1.0)])
def test_tfmot_counts_the_last_of_four_steps_as_step_4_as_the_page_on_it_says(step, density):
    model = wrapped(tiny.dense(), pruning_schedule=TFMOT.ConstantSparsity(0.5, step, frequency=1))
    fit(model, TFMOT.UpdatePruningStep())
    assert tfl.density(model) == density


@pytest.mark.skipif(keras_compat.LEGACY, reason="it is about Keras 3")
def test_tfmot_itself_refuses_models_of_keras_3():
    with pytest.raises(ValueError, match="`prune_low_magnitude` can only prune an object of the following types"):
        TFMOT.prune_low_magnitude(tiny.dense())


def mobile_net(activation=keras.layers.ReLU):
    """As XNNPACK's sparse inference needs it, from a first convolution to the pooling at the end."""
    image = keras.Input((16, 16, 3))
    x = keras.layers.ZeroPadding2D(1)(image)
    x = keras.layers.Conv2D(8, 3, strides=2, use_bias=False, name="first")(x)
    x = activation()(keras.layers.BatchNormalization()(x))
    for number in (1, 2):
        y = keras.layers.Conv2D(16, 1, use_bias=False, name=f"expand_{number}")(x)
        y = activation()(keras.layers.BatchNormalization()(y))
        y = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
        y = keras.layers.Conv2D(8, 1, name=f"project_{number}")(y)
        x = keras.layers.Add()([x, keras.layers.BatchNormalization()(y)])
    features = keras.layers.Flatten()(keras.layers.GlobalAveragePooling2D(keepdims=True)(x))
    return keras.Model(image, keras.layers.Dense(3, name="output")(features))


def excluded(model):
    return tfmot_bridge.excluded_by(TFMOT.PruneForLatencyOnXNNPack(), model)


@legacy_keras_only
def test_the_policy_for_xnnpack_leaves_the_1x1_convolutions_and_tfmot_prunes_the_same():
    model = mobile_net()
    pointwise = [f"{kind}_{number}/kernel" for number in (1, 2) for kind in ("expand", "project")]
    assert excluded(model) == ["first/kernel", "output/kernel"]
    prunable = tfl.make_prunable(model, exclude=excluded(model))
    assert list(tfl.get_masks(prunable)) == pointwise
    by_tfmot = wrapped(model, compiled=False, pruning_policy=TFMOT.PruneForLatencyOnXNNPack())
    assert list(tfl.get_masks(by_tfmot)) == pointwise


@legacy_keras_only
@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (tiny.dense, "Could not find `Conv2D 3x3` layer with stride 2x2"),
        (lambda: mobile_net(keras.layers.Softmax), "Layer Softmax is not supported"),
        (tiny.subclassed, "Subclassed models are not supported"),
        (lambda: keras.Sequential([keras.layers.Dense(2)]), "Unbuilt models are not supported"),
    ],
)
def test_what_the_policy_does_not_support_is_refused_with_its_reason(build, reason):
    with pytest.raises(ModelError, match=rf"PruneForLatencyOnXNNPack does not support '\w+': {reason}"):
        excluded(build())


class But:
    """A policy of a user's own: all layers but those of one class."""

    def __init__(self, left_out):
        self.left_out = left_out

    def allow_pruning(self, layer):
        return not isinstance(layer, self.left_out)

    def ensure_model_supports_pruning(self, model):
        pass


@legacy_keras_only
def test_a_policy_decides_on_whole_layers_at_any_depth_of_models():
    both = keras.layers.Bidirectional(keras.layers.SimpleRNN(2), name="both")
    inner = keras.Sequential([keras.Input((4, 2)), both, keras.layers.Dense(2, name="bothersome")], name="inner")
    model = keras.Sequential([keras.Input((4, 2)), inner])
    recurrent = [
        f"inner/both/{way}_simple_rnn/simple_rnn_cell/{kernel}"
        for way in ("forward", "backward")
        for kernel in ("kernel", "recurrent_kernel")
    ]
    assert tfmot_bridge.excluded_by(But(keras.layers.Dense), model) == ["inner/bothersome/kernel"]
    assert tfmot_bridge.excluded_by(But(keras.layers.Bidirectional), model) == recurrent
    assert tfmot_bridge.excluded_by(But(keras.layers.SimpleRNN), model) == []


@pytest.mark.skipif(keras_compat.LEGACY, reason="it is about Keras 3")
def test_policies_are_for_legacy_keras_and_say_so():
    with pytest.raises(ModelError, match=r"legacy Keras only\. Set TF_USE_LEGACY_KERAS=1"):
        excluded(mobile_net())


PROGRAM = """
import os, sys
from tf_lottery import tfmot_bridge
from tf_lottery.keras_compat import keras
before = dict(os.environ)
tfmot_bridge.adopt(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
print("tensorflow_model_optimization" in sys.modules, os.environ == before)
tfmot_bridge.import_tfmot()
import tensorflow as tf
print("tensorflow_model_optimization" in sys.modules, os.environ == before, tf.keras.Model is keras.Model)
"""


@pytest.mark.slow
def test_adopting_a_plain_model_imports_no_tfmot_and_import_tfmot_changes_neither_environment_nor_keras():
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    environment |= {"TF_USE_LEGACY_KERAS": "1"} if keras_compat.LEGACY else {}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False True", "True True True"]


def blocks(kind):
    page = (Path(__file__).parents[2] / "docs/tfmot.md").read_text()
    return re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)


def test_the_page_on_tfmot_names_all_of_tfmot_and_only_what_there_is_here():
    page = (Path(__file__).parents[2] / "docs/tfmot.md").read_text()
    assert all(f"`{name}" in page for name in dir(TFMOT) if not name.startswith("_"))
    for path in re.findall(r"\btfl\.([\w.]+)", page):
        operator.attrgetter(path)(tfl)


def test_the_page_on_tfmot_prunes_by_a_schedule_of_tfmot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    code = code.replace("import keras\n", "import tf_keras as keras\n") if keras_compat.LEGACY else code
    exec(compile(code, "docs/tfmot.md", "exec"), names := {})
    assert names["history"].history["density"] == [
        pytest.approx(0.2 + 0.8 * (2 / 3) ** 3, abs=1e-2),
        pytest.approx(0.2 + 0.8 * (1 / 3) ** 3, abs=1e-2),
        0.2,
        0.2,
    ]
    assert (names["plain"].layers[0].get_weights()[0] == 0).mean() == pytest.approx(0.8)
    assert list((tmp_path / "logs/density").iterdir())


@legacy_keras_only
def test_the_page_on_tfmot_prunes_a_model_that_tfmot_wrapped():
    code, _ = blocks("python legacy")
    exec(compile(code, "docs/tfmot.md", "exec"), names := {})
    assert tfl.density(names["wrapped"]) == 0.5
    assert (names["plain"].layers[0].get_weights()[0] == 0).mean() == 0.5


@legacy_keras_only
def test_the_page_on_tfmot_prunes_what_its_policy_allows():
    _, code = blocks("python legacy")
    exec(compile(code, "docs/tfmot.md", "exec"), names := {})
    assert names["excluded"] == ["conv2d/kernel"]
    assert list(tfl.get_masks(names["model"])) == ["conv2d_1/kernel"]
