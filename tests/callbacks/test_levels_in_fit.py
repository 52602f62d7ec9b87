"""When levels begin and end, and what other callbacks see."""

import fits
import numpy as np
import pytest
import tensorflow as tf
import tiny
from tiers import slow

from tf_lottery.callbacks.lottery_ticket import LotteryTicket
from tf_lottery.callbacks.scheduled_pruning import ScheduledPruning
from tf_lottery.errors import ConfigError
from tf_lottery.keras_compat import LEGACY, keras
from tf_lottery.masking import state


def dataset(length_is_known):
    data = tf.data.Dataset.from_tensor_slices((tiny.X, tiny.Y)).batch(4)
    return data if length_is_known else data.filter(lambda x, y: True)


@pytest.mark.parametrize(
    ("rewind_to", "epochs", "iterations"),
    [(0, [0, 1, 2], 24), slow("1ep", [1, 2], 16), (11, [1, 2], 13), slow("23it", [2], 1), slow(3, [0, 1, 2], 21)],
)
def test_levels_begin_in_the_epoch_of_step_k_and_train_the_rest_of_it(rewind_to, epochs, iterations):
    counted = []

    class Counts(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            counted.append(batch)

    journal = fits.Journal()
    callbacks = [journal, Counts()]
    fits.found(levels=2, epochs_per_level=3, rewind_to=rewind_to, callbacks=callbacks)
    assert journal.events == ["begin", 0, 1, 2, "end"] + 2 * ["begin", *epochs, "end"]
    assert len(counted) == 24 + 2 * iterations


def test_outer_callbacks_see_one_long_fit():
    journal = fits.Journal()
    fits.found(levels=2, rewind_to=11, others=[journal])
    assert journal.events == ["begin", 0, 1, 2, 3, "end"]


def test_inner_callbacks_may_end_a_level():
    journal = fits.Journal(stop_after=2)
    tickets = fits.found(levels=1, epochs_per_level=5, callbacks=[journal])
    assert journal.events == ["begin", 0, 1, "end", "begin", 0, 1, "end"]
    assert tickets.to_frame()["epochs"].tolist() == [2, 2]


def test_inner_callbacks_may_end_a_level_in_the_middle_of_an_epoch():
    class Stops(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training |= batch == 2

    tickets = fits.found(levels=1, epochs_per_level=5, callbacks=[Stops()])
    assert tickets.to_frame()["step"].tolist() == [3, 3]


def test_outer_callbacks_may_end_the_fit():
    tickets = fits.found(levels=3, epochs_per_level=2, others=[fits.Journal(stop_after=3)])
    assert [record["level"] for record in tickets.records] == [0]


@pytest.mark.parametrize("first", [False, True])
def test_an_outer_stop_in_an_epoch_that_is_cut_short_ends_the_fit(first):
    made, tickets, stop = (
        fits.model(),
        LotteryTicket(3, 0.5, epochs_per_level=2, rewind_to=2),
        fits.Journal(stop_after=3),
    )
    callbacks = [stop, tickets] if first else [tickets, stop]
    made.fit(tiny.X, tiny.Y, batch_size=4, epochs=8, verbose=0, callbacks=callbacks)
    assert len(made.history.epoch) == 3


def test_early_stopping_applies_to_one_level_and_the_record_is_of_the_restored_epoch():
    losses = []

    class Losses(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            losses.append(logs["val_loss"])

    stop = keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)
    made = fits.model(optimizer=keras.optimizers.SGD(1.0))
    tickets = LotteryTicket(1, 0.5, epochs_per_level=30, callbacks=[stop])
    fits.fit(made, tickets, Losses(), **fits.VALIDATED)
    frame = tickets.to_frame()
    assert frame["epochs"].max() < 30
    assert frame["val_loss"].tolist() == [min(losses[: frame["epochs"][0]]), min(losses[frame["epochs"][0] :])]
    assert made.evaluate(tiny.X, tiny.Y, verbose=0)[0] == pytest.approx(frame["val_loss"][1], rel=1e-5)
    assert tiny.is_pruned_to_plus_zero(made)


def test_early_stopping_that_never_stops_restores_weights_too_and_the_record_is_of_their_epoch():
    losses = []

    class Losses(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            losses.append(logs["val_loss"])

    stop = keras.callbacks.EarlyStopping("val_loss", patience=9, restore_best_weights=True)
    made = fits.model(optimizer=keras.optimizers.SGD(1.0))
    tickets = LotteryTicket(0, epochs_per_level=6, callbacks=[stop])
    fits.fit(made, tickets, Losses(), **fits.VALIDATED)
    assert min(losses) < losses[-1]
    assert tickets.to_frame()["val_loss"].tolist() == [min(losses)]
    assert made.evaluate(tiny.X, tiny.Y, verbose=0)[0] == pytest.approx(min(losses), rel=1e-5)


def test_learning_rate_schedulers_see_the_epochs_of_one_level():
    rates = []

    class Rates(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            rates.append(round(float(np.asarray(self.model.optimizer.learning_rate)), 6))

    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: [0.1, 0.01][epoch])
    fits.found(levels=1, rewind_to=4, callbacks=[scheduler, Rates()])
    assert rates == 8 * [0.1] + 8 * [0.01] + 4 * [0.1] + 8 * [0.01]


@pytest.mark.parametrize("name", ["EarlyStopping", "LearningRateScheduler", "ReduceLROnPlateau"])
def test_callbacks_for_one_training_run_in_the_outer_list_get_one_warning(name):
    arguments = [lambda epoch: 0.1] if name == "LearningRateScheduler" else []
    others = [getattr(keras.callbacks, name)(*arguments)]
    with pytest.warns(UserWarning, match=rf"{name} in `fit` acts on all levels as if they were one") as caught:
        fits.found(levels=1, epochs_per_level=1, others=others, fit_settings=fits.VALIDATED)
    assert len([warning for warning in caught if warning.category is UserWarning]) == 1


@pytest.mark.parametrize("directory", [None, "tickets"])
def test_backup_and_restore_is_refused(tmp_path, directory):
    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
    with pytest.raises(ConfigError, match=r"BackupAndRestore cannot restore the levels .*LotteryTicket\(directory=…\)"):
        fits.found(others=[backup], directory=directory and tmp_path / directory)
    assert not (tmp_path / "tickets").exists()


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # how Keras 3 learns the length
@pytest.mark.parametrize("rewind_to", [slow(0), slow(3), slow(8), 11])
def test_the_length_of_an_epoch_may_become_known_in_training(rewind_to):
    known, unknown = (LotteryTicket(1, 0.5, epochs_per_level=2, rewind_to=rewind_to) for _ in range(2))
    for tickets in (known, unknown):
        data = dataset(length_is_known=tickets is known)
        fits.model(seed=1).fit(data, epochs=4, verbose=0, shuffle=False, callbacks=[tickets])
    assert unknown.to_frame()["epochs"].tolist() == known.to_frame()["epochs"].tolist()
    for level in (0, 1):
        assert fits.same_bits(known.ticket(level).weights["final"], unknown.ticket(level).weights["final"])


@pytest.mark.slow
@pytest.mark.parametrize("steps_per_execution", [slow(2), 4, slow(8)])
def test_executions_of_several_steps_give_the_same_levels(steps_per_execution):
    one, many = (
        fits.found(
            made=fits.model(seed=1, steps_per_execution=number), levels=1, rewind_to=8, fit_settings=fits.VALIDATED
        )
        for number in (1, steps_per_execution)
    )
    assert fits.same_bits(one.ticket(1).masks, many.ticket(1).masks)
    assert one.to_frame()["step"].tolist() == many.to_frame()["step"].tolist() == [16, 16]


def test_executions_that_run_past_step_k_are_refused_before_training():
    made = fits.model(steps_per_execution=3)
    before = state.weights(made)
    with pytest.raises(
        ConfigError, match=r"`steps_per_execution=3` runs past step k: `rewind_to=4` is batch 4 of an epoch"
    ):
        fits.fit(made, LotteryTicket(1, epochs_per_level=2, rewind_to=4))
    assert fits.same_bits(before, state.weights(made))


def test_a_level_that_ends_before_step_k_is_an_error():
    with pytest.raises(ConfigError, match="ended after 1 epochs, before step 12"):
        fits.found(rewind_to=12, callbacks=[fits.Journal(stop_after=1)])


def test_no_python_runs_at_a_batch_unless_a_callback_needs_it():
    tickets = fits.found(levels=1, rewind_to=3, callbacks=[fits.Journal()])
    assert not {"on_train_batch_begin", "on_train_batch_end"} & set(vars(tickets))
    assert type(tickets).on_train_batch_begin is keras.callbacks.Callback.on_train_batch_begin


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("kind", [ScheduledPruning, LotteryTicket])
def test_a_second_callback_that_prunes_is_refused(kind, inner):
    other = kind(1, epochs_per_level=1) if kind is LotteryTicket else kind(lambda step: (True, 0.5))
    places = {"callbacks": [other]} if inner else {"others": [other]}
    with pytest.raises(ConfigError, match=r"Only one callback can prune in a `fit`. Received: .*LotteryTicket"):
        fits.found(levels=1, **places)


def test_an_initial_epoch_counts_against_the_epochs_there_are():
    with pytest.warns(UserWarning, match="ends before the last level is finished: epochs=2, 4 are needed"):
        fits.found(levels=1, fit_settings={"initial_epoch": 2})


@pytest.mark.skipif(not LEGACY, reason="Keras 3 starts over with the data, and says so itself")
def test_a_fit_whose_data_run_out_before_the_last_level_gets_a_warning():
    data = tf.data.Dataset.from_tensor_slices((tiny.X, tiny.Y)).batch(4).repeat(3)
    tickets = LotteryTicket(3, epochs_per_level=2)
    with pytest.warns(UserWarning, match=r"`fit` ended before level 2 was finished: did its data run out\?"):
        fits.model().fit(data, steps_per_epoch=8, epochs=8, verbose=0, shuffle=False, callbacks=[tickets])


def test_integers_of_numpy_and_a_single_callback_are_accepted():
    journal = fits.Journal()
    fits.found(levels=np.int64(1), epochs_per_level=np.int64(1), rewind_to=np.int64(3), callbacks=journal)
    assert journal.events == ["begin", 0, "end", "begin", 0, "end"]


class StopByTensor(keras.callbacks.Callback):
    """Sets `stop_training` to a tensor after each epoch, as a callback does that computes it in TensorFlow."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = tf.constant(epoch >= 2)


def test_a_callback_may_stop_the_fit_by_a_tensor():
    model, tickets = fits.model(), LotteryTicket(levels=3, epochs_per_level=2)
    fits.fit(model, StopByTensor(), tickets, epochs=tickets.total_epochs)
    assert [record["level"] for record in tickets.records] == [0]
