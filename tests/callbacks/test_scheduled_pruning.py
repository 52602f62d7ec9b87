"""Gradual pruning by a schedule: when and how much it prunes."""

import re
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tiny

import tf_lottery as tfl
from tf_lottery import keras_compat
from tf_lottery.callbacks import LotteryTicket, scheduled_pruning
from tf_lottery.callbacks.scheduled_pruning import ScheduledPruning
from tf_lottery.core import pruning
from tf_lottery.errors import ConfigError, ModelError, PruningError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import model_masks, tfmot_bridge

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # tfmot imports distutils
    TFMOT = tfmot_bridge.import_tfmot()

SIZES = {"dense/kernel": 144, "dense_1/kernel": 12}


def at(**sparsities):
    """Return a schedule from a table: at(s2=0.5) prunes to 0.5 before step 2."""
    table = {int(step[1:]): sparsity for step, sparsity in sparsities.items()}
    return lambda step: (step in table, table.get(step, 0.0))


def compiled(optimizer="sgd", **arguments):
    model = tfl.make_prunable(tiny.dense())
    model.compile(optimizer, tiny.loss(), jit_compile=False, **arguments)
    return model


def fit(model, *callbacks, batch_size=8, **arguments):
    return model.fit(tiny.X, tiny.Y, batch_size=batch_size, verbose=0, callbacks=list(callbacks), **arguments).history


class Watcher(keras.callbacks.Callback):
    """Records the masks before every execution and after the last, and checks that pruned weights are zero."""

    def __init__(self):
        super().__init__()
        self.masks = []

    def on_train_batch_begin(self, batch, logs=None):
        self.masks.append(tfl.get_masks(self.model))
        if self.kept[-1] < sum(SIZES.values()):
            assert tiny.is_pruned_to_plus_zero(self.model)

    on_train_end = lambda self, logs=None: self.on_train_batch_begin(None)  # noqa: E731

    @property
    def kept(self):
        return [sum(int(mask.sum()) for mask in masks.values()) for masks in self.masks]


def kept_by_step(schedule, *, epochs=1, model=None, **arguments):
    fit(model or compiled(), ScheduledPruning(schedule, **arguments), watcher := Watcher(), epochs=epochs)
    return watcher.kept


def test_masks_change_before_the_step_that_the_schedule_names():
    assert kept_by_step(at(s0=0.25, s2=0.5), scope="global") == [117, 117, 78, 78, 78]


def test_steps_count_on_in_the_next_epoch_and_in_the_next_fit():
    model, callback = compiled(), ScheduledPruning(at(s5=0.25, s9=0.5), scope="global")
    fit(model, callback, first := Watcher(), epochs=2)
    fit(model, callback, second := Watcher())
    assert first.kept == [156] * 5 + [117] * 4
    assert second.kept == [117, 78, 78, 78, 78]


def test_a_step_just_after_the_last_one_prunes_at_the_end():
    # The tutorials of tfmot set end_step to the number of steps, and there that is the last one.
    assert kept_by_step(at(s4=0.5), scope="global") == [156, 156, 156, 156, 78]


@pytest.mark.parametrize("scope", pruning.SCOPES)
@pytest.mark.parametrize(
    "schedule",
    [
        TFMOT.PolynomialDecay(0.1, 0.8, begin_step=1, end_step=9, frequency=2),
        TFMOT.ConstantSparsity(0.9, 2, frequency=3),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_the_schedules_of_tfmot_lead_to_exact_counts(schedule, scope):
    fit(compiled(), ScheduledPruning(schedule, scope=scope), watcher := Watcher(), epochs=3)
    sparsity, expected = 0.0, []
    for step in range(13):
        should_prune, asked = schedule(np.int64(step))
        sparsity = float(str(asked.numpy())) if should_prune else sparsity
        sizes = SIZES.values() if scope == "layerwise" else [sum(SIZES.values())]
        expected.append(sum(round(size * (1 - sparsity)) for size in sizes))
    assert watcher.kept == expected
    assert len(set(expected)) == (6 if "Poly" in type(schedule).__name__ else 2)


def test_layerwise_brings_each_weight_to_the_sparsity():
    model = compiled()
    fit(model, ScheduledPruning(at(s1=0.75)))
    assert {name: int(mask.sum()) for name, mask in tfl.get_masks(model).items()} == {
        "dense/kernel": 36,
        "dense_1/kernel": 3,
    }


def test_at_least_one_weight_stays():
    model = compiled()
    fit(model, ScheduledPruning(at(s1=0.99)))
    assert {name: int(mask.sum()) for name, mask in tfl.get_masks(model).items()} == {
        "dense/kernel": 1,
        "dense_1/kernel": 1,
    }


def test_global_pruning_leaves_one_weight_of_each_array_and_names_it_once():
    def only_the_first(initial, trained, rng):
        return {name: np.full(weight.shape, "dense_1" not in name) for name, weight in trained.items()}

    model = compiled()
    with pytest.warns(UserWarning, match="a single weight") as seen:
        fit(model, ScheduledPruning(at(s1=0.5, s2=0.75, s3=0.999), scope="global", criterion=only_the_first))
    assert [str(warning.message).split(".")[0] for warning in seen] == [
        "Step 1: a single weight, the minimum, is left of 'dense_1/kernel'",
        "Step 3: a single weight, the minimum, is left of 'dense/kernel'",
    ]
    assert {name: int(mask.sum()) for name, mask in tfl.get_masks(model).items()} == dict.fromkeys(SIZES, 1)


def test_the_smallest_weights_go():
    model = compiled()
    before = model_masks.prunable_weights(model)
    fit(model, ScheduledPruning(at(s0=0.5), scope="global"))
    ones = {name: np.ones_like(weight) for name, weight in before.items()}
    expected = pruning.prune({name: np.abs(weight) for name, weight in before.items()}, ones, 0.5)
    assert all((expected[name] == mask).all() for name, mask in tfl.get_masks(model).items())


def test_nothing_pruned_ever_returns_even_if_the_schedule_falls():
    model = compiled(keras.optimizers.Adam(0.1))
    fit(model, ScheduledPruning(at(s1=0.5, s3=0.2, s5=0.7, s6=0.6)), watcher := Watcher(), epochs=2)
    assert watcher.kept == [156] + [78] * 4 + [47] * 4
    for earlier, later in zip(watcher.masks, watcher.masks[1:], strict=False):
        assert all((later[name] <= earlier[name]).all() for name in later)


def test_existing_masks_stay():
    model = compiled()
    tfl.set_masks(model, start := tiny.half_masks(model))
    fit(model, ScheduledPruning(at(s0=0.1, s1=0.75)), watcher := Watcher())
    assert watcher.kept[0] == sum(mask.sum() for mask in start.values())
    assert watcher.kept[-1] == 36 + 3
    assert all((mask <= start[name]).all() for name, mask in tfl.get_masks(model).items())


@pytest.mark.parametrize(
    ("steps_per_execution", "expected"), [(2, [156, 156, 117, 78, 78]), (3, [156, 117, 78, 78]), (8, [156, 78])]
)
def test_with_several_steps_per_execution_masks_change_after_the_execution_that_reaches_the_step(
    steps_per_execution, expected
):
    model = compiled(steps_per_execution=steps_per_execution)
    fit(model, ScheduledPruning(at(s3=0.25, s5=0.5), scope="global"), watcher := Watcher(), batch_size=4)
    assert watcher.kept == expected


def test_if_several_steps_fall_into_one_execution_the_sparsest_counts():
    model = compiled(steps_per_execution=4)
    fit(model, ScheduledPruning(at(s1=0.75, s2=0.5), scope="global"), watcher := Watcher())
    assert watcher.kept == [156, 39]


def test_density_is_in_the_logs_and_validation_is_of_the_pruned_model():
    model = compiled()
    history = fit(
        model, ScheduledPruning(at(s3=0.25, s8=0.5), scope="global"), epochs=2, validation_data=(tiny.X, tiny.Y)
    )
    assert history["density"] == [0.75, 0.5]
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(tiny.X, tiny.Y, verbose=0), rel=1e-5)


def test_a_model_that_is_set_back_is_pruned_again():
    model = compiled()
    ones = tfl.get_masks(model)

    def set_back(epoch, logs):
        model.optimizer.iterations.assign(0)
        tfl.set_masks(model, ones)

    back = keras.callbacks.LambdaCallback(on_epoch_begin=set_back)
    fit(model, back, ScheduledPruning(at(s2=0.25), scope="global"), watcher := Watcher(), epochs=2)
    assert watcher.kept == [156, 156, 117, 117] * 2 + [117]


def test_a_sparsity_is_read_as_its_shortest_decimal():
    model = tfl.make_prunable(keras.Sequential([keras.Input((5,)), keras.layers.Dense(5)]))
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(tiny.X[:5, 0, :5, 0], tiny.X[:5, 0, :5, 0], verbose=0, callbacks=[ScheduledPruning(at(s0=0.9))])
    assert tfl.get_masks(model)["dense/kernel"].sum() == 2  # of 2.5, to even; in binary it is 2.5000006


def test_a_schedule_is_evaluated_again_after_its_look_ahead(monkeypatch):
    monkeypatch.setattr(scheduled_pruning, "_LOOK_AHEAD", 3)
    assert (
        kept_by_step(at(s3=0.25, s6=0.5, s7=0.75), epochs=2, scope="global") == [156] * 3 + [117] * 3 + [78] + [39] * 2
    )


def test_a_schedule_is_not_asked_again_at_each_step():
    asked = []

    def schedule(step):
        asked.append(step)
        return False, 0.5

    fit(compiled(), ScheduledPruning(schedule), epochs=3)
    assert len(asked) == 1  # once, as a graph, for all of the first 1000 steps


@pytest.mark.parametrize("schedule", [lambda step: (step % 2 == 1, 0.5), lambda step: (bool(step % 2), 0.5)])
def test_a_schedule_may_be_any_function_of_tensors_or_of_numbers(schedule):
    assert kept_by_step(schedule) == [156, 78, 78, 78, 78]


def test_a_schedule_that_takes_numbers_only_leaves_tensorflow_as_it_was():
    fit(compiled(), ScheduledPruning(lambda step: (bool(step % 2), 0.5)))
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        assert tf.Variable(1.0).numpy() == 1


def test_a_custom_schedule_class_for_tfmot_works_unchanged():
    class EveryStep(TFMOT.PruningSchedule):
        def __call__(self, step):
            return self._should_prune_in_step(step, 2, -1, 1), 0.25 * tf.cast(step - 1, tf.float32)

        def get_config(self):
            return {}

    assert kept_by_step(EveryStep()) == [156, 156, 117, 78, 39]


def test_the_error_of_a_broken_schedule_comes_through():
    with pytest.raises(ZeroDivisionError):
        fit(compiled(), ScheduledPruning(lambda step: (True, 1 / 0)))


@pytest.mark.skipif(keras_compat.LEGACY, reason="Keras 3 only")
def test_accumulated_gradients_count_as_steps():
    model = compiled(keras.optimizers.SGD(0.1, gradient_accumulation_steps=3))
    assert kept_by_step(at(s2=0.25, s5=0.5), epochs=2, model=model, scope="global") == [156] * 2 + [117] * 3 + [78] * 4


def test_movement_is_measured_from_the_start_of_fit():
    model = compiled(keras.optimizers.SGD(0.5))
    start = model_masks.prunable_weights(model)
    end = {}
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: end.update(model_masks.prunable_weights(model))
    )
    fit(model, note, ScheduledPruning(at(s4=0.5), criterion="movement", scope="global"))
    ones = {name: np.ones_like(weight) for name, weight in start.items()}
    expected = pruning.prune({name: np.abs(end[name] - start[name]) for name in start}, ones, 0.5)
    assert all((expected[name] == mask).all() for name, mask in tfl.get_masks(model).items())


def test_a_custom_criterion_is_used():
    def later_entries(initial, trained, rng):
        return {name: np.arange(weight.size).reshape(weight.shape) for name, weight in trained.items()}

    model = compiled()
    fit(model, ScheduledPruning(at(s1=0.25), criterion=later_entries))
    assert tfl.get_masks(model)["dense_1/kernel"].astype(int).tolist() == [[0] * 3, [1] * 3, [1] * 3, [1] * 3]


def test_random_pruning_repeats_with_its_seed():
    def masks(seed):
        fit(model := compiled(), ScheduledPruning(at(s1=0.5), criterion="random", seed=seed))
        return tfl.get_masks(model)["dense/kernel"].tolist()

    assert masks(0) == masks(0) != masks(1)


def test_subclassed_models_are_pruned_too():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.flatten, self.dense = keras.layers.Flatten(), keras.layers.Dense(3)

        def call(self, x):
            return self.dense(self.flatten(x))

    net = Net()
    net(tiny.X)
    tfl.make_prunable(net).compile("sgd", tiny.loss(), jit_compile=False)
    assert fit(net, ScheduledPruning(at(s1=0.5)))["density"] == [0.5]


@pytest.mark.skipif(not keras_compat.LEGACY, reason="tfmot wraps models of legacy Keras only")
def test_a_model_that_tfmot_wrapped_is_pruned_by_our_schedule_and_not_by_its_own():
    model = TFMOT.prune_low_magnitude(tiny.dense(), TFMOT.ConstantSparsity(0.9, 0, frequency=1))
    model.compile("adam", tiny.loss(), jit_compile=False)
    assert kept_by_step(at(s1=0.25, s2=0.5), model=model, scope="global") == [156, 117, 78, 78, 78]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scope": "locally"}, r"`scope` must be one of global, layerwise. Received: scope='locally'"),
        (
            {"criterion": "size"},
            r"`criterion` must be one of magnitude, small_final, .*random.*. Received: criterion='si",
        ),
    ],
)
def test_an_unknown_name_lists_the_known_ones(arguments, message):
    with pytest.raises(PruningError, match=message):
        ScheduledPruning(at(s0=0.5), **arguments)


def test_two_callbacks_that_prune_are_refused_in_any_order_before_anything_changes():
    tickets = LotteryTicket(1, 0.5, epochs_per_level=1)
    for others in ([ScheduledPruning(at(s1=0.25))], [tickets], [type("Mine", (ScheduledPruning,), {})(at(s1=0.25))]):
        for order in (1, -1):
            model = compiled()
            weights = model_masks.prunable_weights(model)
            with pytest.raises(ConfigError, match=r"Only one callback can prune in a `fit`. Received: .*Scheduled"):
                fit(model, *[ScheduledPruning(at(s0=0.5)), *others][::order], epochs=2)
            assert tfl.density(model) == 1
            assert all((weight == weights[name]).all() for name, weight in model_masks.prunable_weights(model).items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, r"`seed` must be a whole number, at least 0. Received: seed=-1"),
        ({"seed": 0.5}, r"Received: seed=0.5"),
        ({"seed": True}, r"Received: seed=True"),
        ({"criterion": None}, r"Received: criterion=None"),
        ({"criterion": ["magnitude"]}, r"Received: criterion=\['magnitude'\]"),
        ({"scope": ["global"]}, r"Received: scope=\['global'\]"),
    ],
)
def test_arguments_of_another_kind_are_refused_at_once(arguments, message):
    with pytest.raises(PruningError, match=message):
        ScheduledPruning(at(s0=0.5), **arguments)


@pytest.mark.parametrize(
    "schedule",
    [
        TFMOT.ConstantSparsity,  # the class, not an object of it
        keras.optimizers.schedules.CosineDecay(0.1, 10),
        lambda: (True, 0.5),
        lambda step, epoch: (True, 0.5),
        None,
    ],
)
def test_what_does_not_take_a_step_is_no_schedule(schedule):
    with pytest.raises(PruningError, match=r"must be a function `schedule\(step\) -> .* Received: "):
        ScheduledPruning(schedule)


def test_functions_without_a_readable_signature_are_accepted():
    ScheduledPruning(max)


@pytest.mark.parametrize("answer", [0.5, (True, 0.5, 1), None])
def test_a_schedule_that_returns_no_pair_is_named_with_what_it_returned(answer):
    message = f"must return a pair \\(should_prune, sparsity\\). Received, for step 0: {re.escape(repr(answer))}"
    with pytest.raises(PruningError, match=message):
        fit(compiled(), ScheduledPruning(lambda step: answer))


@pytest.mark.parametrize("sparsity", [1.0, -0.1, 80, float("nan")])
def test_an_impossible_sparsity_is_refused(sparsity):
    with pytest.raises(PruningError, match=rf"must return sparsities in \[0, 1\). Received: sparsity={sparsity}"):
        fit(compiled(), ScheduledPruning(lambda step: (step == 1, sparsity)))


def test_a_model_without_masks_is_refused_with_advice():
    model = tiny.dense()
    model.compile("sgd", tiny.loss(), jit_compile=False)
    with pytest.raises(ModelError, match=r"has no masks. Call `make_prunable\(model\)` first"):
        fit(model, ScheduledPruning(at(s0=0.5)))


def test_nan_weights_are_named():
    model = compiled(keras.optimizers.SGD(float("nan")))
    with pytest.raises(PruningError, match=r"'dense/kernel' holds NaN. Did training diverge\?"):
        fit(model, ScheduledPruning(at(s2=0.5)))


def test_a_model_is_refused_as_a_schedule():
    with pytest.raises(PruningError, match=r"must be a function .* Received: <"):
        ScheduledPruning(tiny.dense())


def test_a_schedule_that_is_not_a_function_is_refused():
    with pytest.raises(PruningError, match=r"must be a function .* Received: 0.5"):
        ScheduledPruning(0.5)


class TwoUpdates(keras.Sequential):
    """Trains with an optimizer of its own, twice a batch; the compiled one counts nothing."""

    def train_step(self, data):
        for _ in range(2):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(self(data[0]) ** 2)
            weights = self.trainable_variables
            self.own.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"loss": loss}


def test_a_schedule_counts_batches_whatever_optimizers_count():
    model = TwoUpdates([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(4)])
    model.own = keras.optimizers.SGD(0.01)
    model = tfl.make_prunable(model)
    model.compile("adam")
    callback = ScheduledPruning(lambda step: (step in (2, 6), 0.25 if step < 6 else 0.5))
    history = model.fit(tiny.X, tiny.Y, batch_size=8, epochs=2, verbose=0, callbacks=[callback]).history
    assert history["density"] == [0.75, 0.5]


def test_weights_that_come_back_at_the_end_are_warned_of():
    model = tiny.half_masked()
    model.compile("sgd", tiny.loss())
    stop = keras.callbacks.EarlyStopping("loss", restore_best_weights=True)
    with pytest.warns(UserWarning, match=r"EarlyStopping\(restore_best_weights=True\) brings back the weights"):
        model.fit(tiny.X, tiny.Y, verbose=0, callbacks=[ScheduledPruning(lambda step: (False, 0.0)), stop])
