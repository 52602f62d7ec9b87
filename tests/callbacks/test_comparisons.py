"""Controls and the choice of the best level."""

import fits
import numpy as np
import pytest
import tiny
from tiers import slow

import tf_lottery as tfl
from tf_lottery.callbacks.comparisons import best_level
from tf_lottery.callbacks.lottery_ticket import LotteryTicket
from tf_lottery.core import masks as masks_lib
from tf_lottery.errors import ConfigError, ModelError, RunError, TicketError
from tf_lottery.keras_compat import keras, optimizer_variables
from tf_lottery.masking import conversion, state


@pytest.fixture(scope="module")
def tickets():
    return fits.found(made=fits.model(tiny.convolutional), levels=2, rewind_to=3)


def test_the_random_mask_control_starts_from_the_dense_weights_of_step_k(tickets):
    control, ticket = tickets.control("random_mask", 2), tickets.ticket(2)
    masks = tfl.get_masks(control)
    assert {name: mask.sum() for name, mask in masks.items()} == {name: m.sum() for name, m in ticket.masks.items()}
    assert not fits.same_bits(masks, ticket.masks)
    at_k = tickets.ticket(0).weights["rewind"]
    assert fits.same_bits(state.weights(control), masks_lib.apply(at_k, masks))
    assert int(control.optimizer.iterations.numpy()) == 3
    assert any(np.any(slot.numpy()) for slot in optimizer_variables(control.optimizer) if len(slot.shape))


def test_the_reinit_control_has_the_mask_of_the_ticket_and_new_weights(tickets):
    control, ticket = tickets.control("reinit", 2), tickets.ticket(2)
    assert fits.same_bits(tfl.get_masks(control), ticket.masks)
    new, old = (
        masks_lib.apply(weights, ticket.masks) for weights in (state.weights(control), ticket.weights["rewind"])
    )
    assert not any(np.array_equal(new[name], old[name]) for name in ticket.masks)
    assert tiny.is_pruned_to_plus_zero(control)


@pytest.mark.parametrize("kind", ["reshuffle", "reshuffle_signs", "constant", "constant_signs", "reinit_signs"])
def test_the_other_controls_start_from_altered_weights_under_the_mask_of_the_ticket(tickets, kind):
    control, ticket, at_k = tickets.control(kind, 2), tickets.ticket(2), tickets.ticket(0).weights["rewind"]
    assert fits.same_bits(tfl.get_masks(control), ticket.masks)
    assert int(control.optimizer.iterations.numpy()) == (0 if kind == "reinit_signs" else 3)
    assert not any(np.any(slot.numpy()) for slot in optimizer_variables(control.optimizer) if len(slot.shape))
    weights = state.weights(control)
    for name, mask in ticket.masks.items():
        start, old = weights[name][mask], at_k[name][mask]
        assert not np.array_equal(start, old)
        if kind == "reshuffle":
            assert np.array_equal(np.sort(start), np.sort(old))
        if kind.startswith("constant"):
            assert np.unique(np.abs(start)) == [np.std(at_k[name], dtype=np.float64).astype("float32")]
        if kind.endswith("_signs"):
            assert np.array_equal(np.signbit(start), np.signbit(old))
    rest = weights.keys() - ticket.masks.keys()
    assert rest
    assert kind == "reinit_signs" or all(np.array_equal(weights[name], at_k[name]) for name in rest)


def test_controls_start_with_a_new_optimizer_where_tickets_do():
    tickets = fits.found(made=fits.model(tiny.convolutional), levels=1, rewind_to=3, reset_optimizer=True)
    control = tickets.control("random_mask", 1)
    assert int(control.optimizer.iterations.numpy()) == 3
    assert not any(np.any(slot.numpy()) for slot in optimizer_variables(control.optimizer) if len(slot.shape))


@pytest.mark.parametrize("kind", ["random_mask", "reinit"])
def test_controls_are_ready_to_fit_and_leave_the_model_alone(tickets, kind):
    before = state.weights(tickets.model)
    control = tickets.control(kind, 1)
    history = control.fit(tiny.X, tiny.Y, verbose=0).history
    assert set(history) == {"loss", "accuracy"}
    assert tfl.density(control) == tickets.records[1]["density"]
    assert fits.same_bits(before, state.weights(tickets.model))


def test_the_random_mask_of_a_level_is_always_the_same(tickets):
    first, second, other = (tfl.get_masks(tickets.control("random_mask", level)) for level in (1, 1, 2))
    assert fits.same_bits(first, second)
    assert not fits.same_bits(first, other)


def test_a_given_model_is_used_for_the_control(tickets):
    mine = fits.model(tiny.convolutional)
    assert tickets.control("random_mask", 1, model=mine) is mine
    assert tfl.density(mine) == tickets.records[1]["density"]


@pytest.mark.parametrize("kind", ["reinit", *map(slow, ["random_mask", "constant"])])
def test_controls_are_ready_to_fit_under_a_loss_scale(kind):
    optimizer = keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD(0.05, momentum=0.9))
    tickets = fits.found(made=fits.model(optimizer=optimizer), levels=1, rewind_to=3, epochs_per_level=1)
    control = tickets.control(kind, 1)
    control.fit(tiny.X, tiny.Y, verbose=0)
    assert tfl.density(control) == tickets.records[1]["density"]


def test_a_reinitialised_control_asks_nothing_of_the_optimizer_of_a_given_model(tickets):
    new = conversion.make_prunable(tiny.convolutional())
    assert tickets.control("reinit", 1, model=new) is new
    assert fits.same_bits(tfl.get_masks(new), tickets.ticket(1).masks)


def test_an_unknown_control_is_refused(tickets):
    with pytest.raises(
        ConfigError, match=r"`kind` must be one of random_mask, .*, constant_signs\. Received: kind='shuffle'"
    ):
        tickets.control("shuffle", 1)


def test_initializers_with_fixed_seeds_cannot_be_reinitialised():
    def fixed():
        initializer = keras.initializers.GlorotUniform(seed=7)
        return keras.Sequential(
            [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3, None, True, initializer)]
        )

    tickets = fits.found(made=fits.model(fixed), levels=1, epochs_per_level=1)
    with pytest.raises(ModelError, match="dense/kernel always start with the same weights"):
        tickets.control("reinit", 1)


def test_a_model_that_cannot_be_created_again_is_named():
    class Net(keras.Model):
        def __init__(self, layer):
            super().__init__()
            self.flatten, self.layer = keras.layers.Flatten(), layer

        def call(self, x):
            return self.layer(self.flatten(x))

    def net():
        (made := Net(keras.layers.Dense(3)))(tiny.X)
        return made

    tickets = fits.found(made=fits.model(net), levels=1, epochs_per_level=1)
    with pytest.raises(
        ModelError, match=r"`control\(…, model=…\)`.* Net cannot be recreated from its config: implement"
    ):
        tickets.control("reinit", 1)


def records(*accuracies, **others):
    return [{"level": level, "metrics": {"val_accuracy": value} | others} for level, value in enumerate(accuracies)]


@pytest.mark.parametrize(
    ("accuracies", "arguments", "level"),
    [
        ([0.9, 0.95, 0.89, 0.9, 0.5], (0.0, None, None), 3),
        ([0.9, 0.95, 0.89, 0.9, 0.5], (0.5, None, None), 4),
        ([0.9, 0.8], (0.0, None, None), 0),
        ([0.9, 0.8, np.nan], (0.0, "val_accuracy", "min"), 1),
    ],
)
def test_the_best_level_is_the_sparsest_as_good_as_dense(accuracies, arguments, level):
    assert best_level(records(*accuracies), *arguments) == level


def test_losses_are_better_when_smaller():
    losses = [{"level": level, "metrics": {"val_loss": value}} for level, value in enumerate([0.5, 0.4, 0.6])]
    assert best_level(losses, 0.0, None, None) == 1
    assert best_level(losses, 0.0, "val_loss", "max") == 2


def test_an_unknown_metric_lists_the_known_ones():
    with pytest.raises(
        ConfigError, match=r"No metric 'auc' was measured at the end of level 0 .*Known: val_accuracy, loss"
    ):
        best_level(records(0.9, loss=1.0), 0.0, "auc", None)
    with pytest.raises(ConfigError, match=r"`mode` must be 'min' or 'max'. Received: mode='best'"):
        best_level(records(0.9), 0.0, None, "best")


@pytest.mark.parametrize("within", [-0.1, 40, float("nan")])
def test_an_impossible_tolerance_is_refused(within):
    with pytest.raises(ConfigError, match=r"`within` is how much worse .* Received: within="):
        best_level(records(0.9), within, None, None)


def test_a_loss_may_be_more_than_one_worse():
    assert (
        best_level(
            [{"level": 0, "metrics": {"val_loss": 1.0}}, {"level": 1, "metrics": {"val_loss": 3.0}}], 2.5, None, None
        )
        == 1
    )


@keras.saving.register_keras_serializable(package="tests")
class Adapted(keras.Model):
    """A model of a class of its own, with a layer that has been adapted to data and one that is frozen."""

    def __init__(self, **kwargs):
        image = keras.Input((6, 6, 1))
        norm, frozen = keras.layers.Normalization(axis=None, name="norm"), keras.layers.Dense(4, name="frozen")
        features = frozen(keras.layers.Flatten()(norm(image)))
        super().__init__(inputs=image, outputs=keras.layers.Dense(3)(features), **kwargs)
        self.norm, self.frozen = norm, frozen

    def get_config(self):
        return {"name": self.name}


def adapted():
    made = Adapted()
    made.norm.adapt(100 + 9 * tiny.X)
    made.frozen.trainable = False
    return made


def test_controls_are_adapted_to_the_data_and_frozen_as_their_ticket():
    made = fits.model(adapted)
    frozen = made.frozen.kernel.numpy()
    tickets = fits.found(made=made, levels=1, fraction=0.0, fit_settings={"data": (100 + 9 * tiny.X, tiny.Y)})
    for kind in ("random_mask", "reinit"):
        control = tickets.control(kind, 1)
        assert abs(np.std(np.asarray(control.norm(100 + 9 * tiny.X))) - 1) < 1e-3
        np.testing.assert_array_equal(control.frozen.kernel.numpy(), frozen)
        assert not control.frozen.trainable


def compiled(momentum=0.9, loss=None, weights=None, frozen=False):
    made = fits.model()
    made.layers[-2].trainable = not frozen
    made.compile(keras.optimizers.SGD(0.05, momentum=momentum), loss or tiny.loss(), loss_weights=weights)
    return made


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    fits.found(made=compiled(), levels=0, directory=folder)
    return folder


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"momentum": 0.5}, r"optimizer_settings=.*'momentum': 0.9.* \(stored\), .*'momentum': 0.5"),
        ({"loss": "mse"}, r"loss=\{'SparseCategoricalCrossentropy': .*'from_logits': True.*\} \(stored\), mse \(now\)"),
        ({"weights": [0.5]}, r"loss_weights=None \(stored\), \[0.5\]"),
        ({"frozen": True}, r"frozen=none \(stored\), dense \(now\)"),
    ],
)
def test_a_model_that_is_compiled_or_frozen_differently_does_not_resume_a_directory(stored, changed, said):
    with pytest.raises(RunError, match=said):
        fits.fit(compiled(**changed), LotteryTicket(1, 0.5, epochs_per_level=2, directory=stored))


@pytest.mark.parametrize(
    ("metric", "best"),
    [
        *((name, 0) for name in ("val_mae", "mse", "kl_divergence", "d_loss", "mean_absolute_error", "perplexity")),
        *((name, 1) for name in ("val_auc_1", "top_5_accuracy", "io_u", "out_recall", "f1_score", "val_acc")),
    ],
)
def test_best_knows_which_direction_is_better(metric, best):
    records = [{"level": level, "metrics": {metric: 0.1 * (1 + level)}} for level in (0, 1)]
    assert best_level(records, 0.0, metric, None) == best


def test_best_asks_for_the_direction_of_a_metric_that_it_does_not_know():
    records = [{"level": 0, "metrics": {"fid": 1.0}}]
    with pytest.raises(
        ConfigError, match=r"whether 'fid' is better if it is larger: write `mode='max'` or `mode='min'`"
    ):
        best_level(records, 0.0, "fid", None)
    assert best_level(records, 0.0, "fid", "min") == 0


def test_a_control_that_averages_weights_says_when_they_need_masks():
    made = fits.model(optimizer=keras.optimizers.SGD(0.05, use_ema=True))
    with pytest.warns(UserWarning, match="tickets hold these and not their averages"):
        tickets = fits.found(made=made, levels=1, epochs_per_level=1)
    with pytest.warns(UserWarning, match=r"call `tfl.apply_masks\(control\)` before you evaluate"):
        control = tickets.control("random_mask", 1)
    fits.fit(control, keras.callbacks.Callback(), epochs=1)
    tfl.apply_masks(control)
    assert tiny.is_pruned_to_plus_zero(control)


@pytest.mark.parametrize("level", ["1", 1.0, True, None, 2, -1])
def test_what_is_no_finished_level_is_refused(tickets, level):
    finished = len(tickets.records) - 1
    if level == 2 and type(level) is int:
        level = finished + 1
    with pytest.raises(TicketError, match=rf"Levels 0 to {finished} are finished. Received: level="):
        tickets.control("reinit", level)
