import pytest

from tf_lottery.callbacks import fellows
from tf_lottery.errors import ConfigError


def made(*names):
    """Callbacks of classes that are derived from others with these names."""
    return [type("Mine", (type(name, (), {}),), {})() for name in names]


def test_derived_classes_count_as_what_they_are_derived_from():
    with pytest.raises(ConfigError, match=r"Only one callback can prune .*LotteryTicket, ScheduledPruning"):
        fellows.check(made("LotteryTicket"), made("ScheduledPruning"))
    with pytest.raises(ConfigError, match=r"BackupAndRestore cannot restore"):
        fellows.check(made("LotteryTicket"), made("BackupAndRestore"))


def test_callbacks_of_one_training_are_fine_inside_and_get_one_warning_outside():
    fellows.check(made("LotteryTicket"), made("EarlyStopping", "ReduceLROnPlateau"))
    with pytest.warns(UserWarning, match=r"EarlyStopping, ReduceLROnPlateau in `fit`") as caught:
        fellows.check(made("LotteryTicket", "EarlyStopping", "ReduceLROnPlateau"), [])
    assert len(caught) == 1


def test_a_fit_with_too_few_epochs_is_warned_of():
    assert fellows.has_room(3, 3)
    with pytest.warns(UserWarning, match=r"epochs=2, 3 are needed"):
        assert not fellows.has_room(2, 3)
