import fits
import numpy as np
import pytest
import tiny
from tiers import always

import tf_lottery as tfl
from tf_lottery import keras_compat
from tf_lottery.callbacks.lottery_ticket import LotteryTicket
from tf_lottery.core import masks as masks_lib
from tf_lottery.errors import ConfigError, ModelError, PruningError, TicketError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks, state, tfmot_bridge


@pytest.fixture(scope="module")
def tickets():
    return fits.found(levels=3, fraction=0.3, rewind_to=11, fit_settings=fits.VALIDATED)


def test_fit_trains_all_levels_and_ends_by_itself():
    made, history = fits.model(), None
    tickets = LotteryTicket(2, 0.5, epochs_per_level=2, rewind_to=8)
    history = fits.fit(made, tickets).history
    assert history["level"] == [0, 0, 1, 2]  # 1 and 2 begin in epoch 1
    assert tickets.total_epochs == 6
    assert tfl.density(made) == tickets.records[2]["density"] == pytest.approx(0.25, abs=0.01)
    assert history["density"] == [1, 1, tickets.records[1]["density"], tickets.records[2]["density"]]
    assert tiny.is_pruned_to_plus_zero(made)


def test_each_level_removes_exactly_its_share(tickets):
    kept = 156
    for record in tickets.records[1:]:
        kept -= round(0.3 * kept)
        assert record["density"] == kept / 156
    assert masks_lib.density_by_weight(tickets.ticket(3).masks) == tickets.records[3]["density_by_weight"]


def test_masks_nest(tickets):
    for level in (1, 2, 3):
        before, after = tickets.ticket(level - 1).masks, tickets.ticket(level).masks
        assert not any((after[name] & ~before[name]).any() for name in after)


def test_a_level_starts_at_the_masked_weights_of_step_k_bit_for_bit(tickets):
    at_k = tickets.ticket(0).weights["rewind"]
    for level in (1, 2, 3):
        ticket = tickets.ticket(level)
        assert fits.same_bits(ticket.weights["rewind"], masks_lib.apply(at_k, ticket.masks))


def test_the_global_magnitude_masks_are_those_of_a_plain_sort(tickets):
    before, after = tickets.ticket(1), tickets.ticket(2).masks
    names = list(after)
    scores = np.concatenate([np.where(before.masks[n], abs(before.weights["final"][n]), np.inf).ravel() for n in names])
    kept = np.concatenate([before.masks[name].ravel() for name in names])
    kept[np.argsort(scores, kind="stable")[: round(0.3 * kept.sum())]] = False
    assert np.array_equal(np.concatenate([after[name].ravel() for name in names]), kept)


def test_the_frame_has_a_row_for_each_level(tickets):
    frame = tickets.to_frame()
    assert frame["level"].tolist() == [0, 1, 2, 3]
    assert frame["step"].tolist() == [16, 16, 16, 16]  # the optimizer's count goes back to 11
    assert frame["epochs"].tolist() == [2, 1, 1, 1]
    assert {"density", "loss", "val_accuracy"} <= set(frame.columns)


def test_a_metric_does_not_take_the_place_of_a_column(tickets, monkeypatch):
    records = [record | {"metrics": {"level": 7.0, "loss": 0.5}} for record in tickets.records]
    monkeypatch.setattr(tickets._store, "records", records)
    assert tickets.to_frame()["level"].tolist() == [0, 1, 2, 3]
    assert [*tickets.to_frame()] == ["level", "density", "epochs", "step", "loss"]


def test_a_ticket_can_be_saved_loaded_and_restored_in_another_model(tickets, tmp_path):
    tfl.save_ticket(tmp_path / "ticket.tfl", tickets.ticket(2))
    ticket = tfl.load_ticket(tmp_path / "ticket.tfl")
    for weights in ("final", "rewind"):
        other = tfl.restore_ticket(fits.model(), ticket, weights)
        assert fits.same_bits(state.weights(other), ticket.weights[weights])
        assert fits.same_bits(tfl.get_masks(other), ticket.masks)


def test_restore_goes_back_to_a_denser_level_too(tickets):
    made = tickets.restore(fits.model(), 3)
    tickets.restore(made, 1)
    assert fits.same_bits(state.weights(made), tickets.ticket(1).weights["final"])


def test_a_ticket_that_does_not_fit_changes_nothing(tickets):
    other = fits.model(tiny.convolutional)
    before = state.weights(other)
    with pytest.raises(ModelError, match=r"missing 'conv2d/kernel'.*unknown 'dense/kernel'"):
        tickets.restore(other, 1)
    assert fits.same_bits(before, state.weights(other))
    with pytest.raises(TicketError, match=r"holds the weights rewind, final. Received: 'initial'"):
        tickets.restore(fits.model(), 1, "initial")


def test_unfinished_levels_are_refused(tickets):
    with pytest.raises(TicketError, match=r"Levels 0 to 3 are finished. Received: level=4"):
        tickets.ticket(4)
    with pytest.raises(ConfigError, match="No level is finished yet"):
        LotteryTicket(1, epochs_per_level=1).best()


class Noting(LotteryTicket):
    """Overrides the hook at the end of a level."""

    def on_level_end(self, level, record):
        noted.append((level, record["density"], tfl.density(self.model)))


noted: list = []


def test_the_hook_at_a_levels_end_sees_the_trained_model():
    noted.clear()
    fits.found(kind=Noting, levels=1)
    assert [(level, density) for level, density, _ in noted] == [(0, 1.0), (1, 0.5)]
    assert all(density == in_model for _, density, in_model in noted)


def test_a_used_callback_is_refused():
    made, tickets = fits.model(), LotteryTicket(1, epochs_per_level=1)
    fits.fit(made, tickets)
    with pytest.raises(ConfigError, match="has trained all its levels: create a new one"):
        fits.fit(made, tickets)


def test_fit_continues_after_the_last_finished_level():
    made, tickets = fits.model(), LotteryTicket(2, 0.5, epochs_per_level=2)
    with pytest.warns(UserWarning, match="ends before the last level is finished: epochs=3, 6 are needed"):
        fits.fit(made, tickets, epochs=3)
    assert [record["level"] for record in tickets.records] == [0]
    fits.fit(made, tickets)
    assert [record["level"] for record in tickets.records] == [0, 1, 2]


def test_a_model_without_masks_is_refused():
    plain = tiny.dense()
    plain.compile("sgd", tiny.loss())
    with pytest.raises(ModelError, match=r"has no masks. Call `make_prunable\(model\)` first"):
        fits.fit(plain, LotteryTicket(1, epochs_per_level=1))


def test_a_model_that_only_fit_would_build_is_refused():
    made = keras.Sequential([keras.layers.Flatten(), tfl.Prunable(keras.layers.Dense(3))])
    made.compile("sgd", tiny.loss())
    with pytest.raises(ModelError, match="is not built: give it an Input"):
        fits.fit(made, LotteryTicket(1, epochs_per_level=1))


def test_a_rewind_step_after_the_end_is_refused_before_training():
    made = fits.model()
    before = state.weights(made)
    with pytest.raises(
        ConfigError, match=r"before the end of a level \(2 epochs of 8 steps = 16 steps\).*rewind_to=16"
    ):
        fits.fit(made, LotteryTicket(1, epochs_per_level=2, rewind_to=16))
    assert fits.same_bits(before, state.weights(made))


# dense/kernel has 144 weights, dense_1/kernel has 12.
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scope": "layerwise", "fraction": 0.9}, "Level 2 would remove all of 'dense_1/kernel'"),
        (
            {"scope": "layerwise", "rates": {"^dense/": 0.99}, "fraction": 0.1},
            "Level 2 would remove all of 'dense/kernel'",
        ),
        (
            {"scope": "layerwise", "fraction": lambda level: [0, 0, 0, 0, 0.98][level - 1]},
            "Level 5 would remove all of",
        ),
        ({"scope": "layerwise", "fraction": lambda level: {"dense/kernel": 0.1}}, r"exactly .*'dense_1/kernel'\]"),
        ({"scope": "layerwise", "fraction": lambda level: 0.1 * (level > 4) + level // 5}, r"must be in \[0, 1\)"),
        ({"fraction": 0.9}, "Level 3 would keep 0 weights, fewer than the 2 that"),
        ({"fraction": 0.5, "min_density": 0.3}, "Level 2 would keep 39 weights, fewer than the 48 that"),
        ({"fraction": lambda level: 0.1 if level < 5 else {"dense/kernel": 0.1}}, 'needs scope="layerwise"'),
        ({"fraction": lambda level: 0.1 if level < 5 else 20}, r"must be in \[0, 1\)"),
    ],
)
def test_levels_that_cannot_be_pruned_are_refused_before_training(settings, message, tmp_path):
    made, tickets = fits.model(), LotteryTicket(5, epochs_per_level=1, directory=tmp_path / "tickets", **settings)
    before = state.weights(made)
    with pytest.raises(PruningError, match=message):
        fits.fit(made, tickets)
    assert fits.same_bits(before, state.weights(made))
    assert not (tmp_path / "tickets").exists()


def test_masks_at_the_start_count_when_levels_are_checked():
    made = fits.model()
    masks = tfl.get_masks(made)
    masks["dense_1/kernel"].flat[3:] = False
    tfl.set_masks(made, masks)
    with pytest.raises(PruningError, match="Level 2 would remove all of 'dense_1/kernel'"):  # 3, 1, 0
        fits.fit(made, LotteryTicket(2, 0.6, epochs_per_level=1, scope="layerwise"))


@pytest.mark.skipif(not keras_compat.LEGACY, reason="tfmot wraps models of legacy Keras only")
def test_levels_of_a_model_that_tfmot_wrapped_are_checked_before_training():
    tfmot = tfmot_bridge.import_tfmot()
    wrapped = tfmot.prune_low_magnitude(tiny.dense(), tfmot.ConstantSparsity(0.5, 0))
    wrapped.compile("sgd", tiny.loss())
    with pytest.raises(PruningError, match=r"Level 2 would remove all of '.*dense_1/kernel.*'"):
        fits.fit(wrapped, LotteryTicket(5, 0.9, epochs_per_level=1, scope="layerwise"))


def test_a_fit_that_resumes_in_the_same_model_is_checked_from_the_masks_of_level_0():
    made, tickets = fits.model(), LotteryTicket(3, 0.6, epochs_per_level=1, scope="layerwise")
    with pytest.warns(UserWarning, match="epochs=3, 4 are needed"):
        fits.fit(made, tickets, epochs=3)
    fits.fit(made, tickets)  # from the masks of level 2, level 2 would remove all of dense_1/kernel
    small = [record["density_by_weight"]["dense_1/kernel"] for record in tickets.records]
    assert [round(12 * density) for density in small] == [12, 5, 2, 1]


def test_further_levels_are_checked_before_they_are_trained(tmp_path):
    fits.found(levels=3, fraction=0.6, scope="layerwise", epochs_per_level=1, directory=tmp_path)
    more = LotteryTicket(4, 0.6, scope="layerwise", epochs_per_level=1, directory=tmp_path)
    with pytest.raises(PruningError, match="Level 4 would remove all of 'dense_1/kernel'"):
        fits.fit(fits.model(), more)
    again = LotteryTicket(3, 0.6, scope="layerwise", epochs_per_level=1, directory=tmp_path)
    with pytest.warns(UserWarning, match="All levels of .* are finished"):
        fits.fit(fits.model(), again)  # the stored levels can be used as before
    assert len(again.records) == 4


def only_the_first(initial, trained, rng):
    """A criterion that removes dense_1/kernel first."""
    return {name: np.full(weight.shape, "dense_1" not in name) for name, weight in trained.items()}


def test_by_default_one_weight_of_each_array_is_kept_and_a_warning_names_it_once():
    made, tickets = fits.model(), LotteryTicket(3, 0.1, epochs_per_level=1, criterion=only_the_first)
    message = "^Level 1: a single weight, the minimum, is left of 'dense_1/kernel'. Exclude such arrays"
    with pytest.warns(UserWarning, match=message) as warnings:
        fits.fit(made, tickets)
    assert len(warnings) == 1
    assert [round(record["density"] * 156) for record in tickets.records] == [156, 140, 126, 113]
    assert [round(record["density_by_weight"]["dense_1/kernel"] * 12) for record in tickets.records] == [12, 1, 1, 1]


def test_without_a_minimum_the_fit_ends_before_a_level_that_empties_a_layer_with_all_records():
    made, tickets = fits.model(), LotteryTicket(3, 0.1, epochs_per_level=1, criterion=only_the_first, min_density=0)
    with pytest.warns(UserWarning, match="ends with level 0: level 1 would remove all of 'dense_1/kernel'"):
        fits.fit(made, tickets)
    assert [record["level"] for record in tickets.records] == [0]
    assert fits.same_bits(state.weights(made), tickets.ticket(0).weights["final"])


def test_min_density_leaves_a_share_of_every_layer_and_the_count_exact():
    tickets = fits.found(levels=2, fraction=0.1, min_density=0.25, criterion=only_the_first)
    assert tickets.records[1]["density_by_weight"]["dense_1/kernel"] == 0.25
    assert [round(record["density"] * 156) for record in tickets.records] == [156, 140, 126]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinite_weights_are_named_when_pruning(value):
    class Breaks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.trainable_variables[0].assign(np.full((36, 4), value, np.float32))

    tickets = LotteryTicket(1, epochs_per_level=1, callbacks=[Breaks()])
    with pytest.raises(PruningError, match="'dense/kernel' holds NaN or infinite weights: training diverged"):
        fits.fit(fits.model(), tickets)
    assert len(tickets.records) == 1


def test_rates_give_single_weights_other_fractions():
    tickets = fits.found(levels=1, fraction=0.5, scope="layerwise", rates={"^dense_1/": 0.25})
    assert tickets.records[1]["density_by_weight"] == {"dense/kernel": 0.5, "dense_1/kernel": 0.75}


def test_a_schedule_may_give_the_fraction_of_each_level():
    tickets = fits.found(levels=2, fraction=tfl.schedules.one_shot(0.25))
    assert [record["density"] for record in tickets.records] == [1.0, 0.25, 0.25]


@pytest.mark.parametrize("criterion", always("magnitude", "movement", among=tfl.criteria.CRITERIA))
def test_every_criterion_finds_tickets(criterion):
    tickets = fits.found(levels=1, criterion=criterion, epochs_per_level=1, scope="layerwise")
    assert tickets.records[1]["density"] == 0.5


def test_a_subclassed_model_is_changed_in_place_and_works_the_same():
    net = tiny.Net()
    net(tiny.X)
    net = fits.model(lambda: net)
    tickets = fits.found(made=net, levels=1, rewind_to=3)
    assert sorted(tickets.ticket(1).masks) == tiny.NET_MASKS
    assert tfl.density(net) == 0.5
    assert tfl.density(tickets.control("random_mask", 1)) == 0.5


@pytest.mark.parametrize("build", [tiny.dense, tiny.convolutional])
def test_a_model_masked_in_place_finds_the_tickets_of_a_wrapped_one(build):
    found = []
    for in_place in (False, True):
        keras.utils.set_random_seed(0)
        made = conversion.make_prunable(build(), in_place=in_place)
        made.compile(keras.optimizers.Adam(0.01), tiny.loss())
        found.append(fits.found(made=made, levels=2, rewind_to=3))
        assert tfl.density(made) == 0.25
    wrapped, masked = (tickets.ticket(2) for tickets in found)
    assert fits.same_bits(wrapped.masks, masked.masks)
    assert fits.same_bits(wrapped.weights["final"], masked.weights["final"])


def test_model_checkpoints_in_fit_hold_masked_weights(tmp_path):
    path = str(tmp_path / "{epoch}.weights.h5")
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    tickets = fits.found(levels=1, others=[checkpoint])
    other = tfl.make_prunable(tiny.dense())
    other.load_weights(tmp_path / "4.weights.h5")
    assert fits.same_bits(model_masks.get_masks(other), tickets.ticket(1).masks)
    assert fits.same_bits(state.weights(other), tickets.ticket(1).weights["final"])
