import fits
import pytest
import tiny

from tf_lottery import keras_compat
from tf_lottery.callbacks import LotteryTicket, other_callbacks
from tf_lottery.errors import ConfigError
from tf_lottery.keras_compat import keras


def made(*names):
    """Return callbacks of classes that are derived from classes with these names."""
    return [type("Mine", (type(name, (), {}),), {})() for name in names]


def test_derived_classes_count_as_what_they_are_derived_from():
    with pytest.raises(ConfigError, match=r"Only one callback can prune .*LotteryTicket, ScheduledPruning"):
        other_callbacks.check(made("LotteryTicket"), made("ScheduledPruning"))
    with pytest.raises(ConfigError, match=r"BackupAndRestore cannot restore"):
        other_callbacks.check(made("LotteryTicket"), made("BackupAndRestore"))


def test_callbacks_for_one_training_run_are_accepted_inside_and_get_one_warning_outside():
    other_callbacks.check(made("LotteryTicket"), made("EarlyStopping", "ReduceLROnPlateau"))
    with pytest.warns(UserWarning, match=r"EarlyStopping, ReduceLROnPlateau in `fit`") as caught:
        other_callbacks.check(made("LotteryTicket", "EarlyStopping", "ReduceLROnPlateau"), [])
    assert len(caught) == 1


def test_a_checkpoint_of_the_best_epoch_inside_says_that_it_compares_levels(tmp_path):
    best = keras.callbacks.ModelCheckpoint(str(tmp_path / "best.keras"), save_best_only=True)
    with pytest.warns(
        UserWarning, match=r"ModelCheckpoint\(save_best_only=True\) .* keeps its best value from level to"
    ):
        other_callbacks.check(made("LotteryTicket"), [best])


def test_a_fit_with_too_few_epochs_is_warned_of():
    assert other_callbacks.has_enough_epochs(3, 3)
    with pytest.warns(UserWarning, match=r"epochs=2, 3 are needed"):
        assert not other_callbacks.has_enough_epochs(2, 3)


def test_a_warning_shows_the_line_that_calls_fit():
    with pytest.warns(UserWarning, match="ends before the last level is finished") as caught:
        fits.fit(fits.model(), LotteryTicket(levels=1, epochs_per_level=2), epochs=3)
    assert [warning.filename for warning in caught] == [fits.__file__]


class Listing(keras.callbacks.Callback):
    """Records the callbacks of the `fit` that it takes part in."""

    def on_train_begin(self, logs=None):
        self.found = [type(found).__name__ for found in keras_compat.callbacks_of_fit(self)]


def test_a_callback_finds_the_others_of_its_own_fit_in_their_order():
    model, listing, earlier = fits.model(), Listing(), keras.callbacks.EarlyStopping("loss")
    model.fit(tiny.X, tiny.Y, verbose=0, callbacks=[earlier])
    model.fit(tiny.X, tiny.Y, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN(), listing])
    assert [name for name in listing.found if name != "History"] == ["TerminateOnNaN", "Listing"]
    assert keras_compat.callbacks_of_fit(alone := Listing()) == [alone]


def test_a_callback_in_fit_that_acts_on_all_levels_is_warned_of_by_name():
    with pytest.warns(UserWarning, match="^EarlyStopping in `fit` acts on all levels"):
        fits.fit(
            fits.model(), LotteryTicket(levels=0, epochs_per_level=1), keras.callbacks.EarlyStopping("loss"), epochs=1
        )


class OwnList(keras.callbacks.CallbackList):
    """A CallbackList that a user has made and derived."""


def test_callbacks_in_a_list_of_the_users_own_are_found():
    model, listing = fits.model(), Listing()
    callbacks = OwnList([keras.callbacks.TerminateOnNaN(), listing], add_history=True, model=model)
    model.fit(tiny.X, tiny.Y, verbose=0, callbacks=callbacks)
    assert listing.found[:2] == ["TerminateOnNaN", "Listing"]
