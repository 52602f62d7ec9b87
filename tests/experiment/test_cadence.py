import pytest

from tf_lottery.errors import ConfigError
from tf_lottery.experiment.cadence import Cadence


@pytest.mark.parametrize("every", ["", "0it", "0min", "5", "5ep", "1.5min", "-1it", 5, None])
def test_a_cadence_is_in_steps_or_minutes(every):
    with pytest.raises(ConfigError, match=r"`checkpoint_every` is written \"500it\" .* or \"10min\" .*Received: "):
        Cadence.parse(every)


def test_a_cadence_reads_steps_and_minutes():
    assert Cadence.parse("500it") == Cadence(steps=500)
    assert Cadence.parse("10min") == Cadence(seconds=600.0)
