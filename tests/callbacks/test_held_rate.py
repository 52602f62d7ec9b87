import pytest

from tf_lottery.callbacks.held_rate import HeldRate
from tf_lottery.keras_compat import keras


def decay():
    return keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)


def test_a_rate_follows_its_schedule_until_it_is_held():
    rate = HeldRate(decay())
    assert [float(rate(step)) for step in (0, 1, 2, 3)] == [1.0, 0.5, 0.25, 0.125]
    rate.hold(2)
    assert [float(rate(step)) for step in (0, 1, 2, 3, 10**6)] == [1.0, 0.5, 0.25, 0.25, 0.25]


def test_what_is_held_stays_held():
    rate = HeldRate(decay(), last_step=1)
    rate.hold(5)
    assert float(rate(9)) == 0.5


@pytest.mark.parametrize("last_step", [None, 3])
def test_it_survives_its_config(last_step):
    optimizer = keras.optimizers.SGD(HeldRate(decay(), last_step))
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert float(again._learning_rate(9)) == (0.125 if last_step else 0.5**9)
