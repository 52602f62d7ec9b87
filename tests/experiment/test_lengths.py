import dataclasses

import pytest

from tf_lottery.errors import ConfigError
from tf_lottery.experiment.config import Experiment, Prune, Train
from tf_lottery.experiment.lengths import lengths


def test_lengths_are_resolved_in_steps():
    config = Experiment(
        train=Train(batch_size=60, steps="2ep", evaluate_every="1ep", drops=("1ep", "30it"), warmup="5it"),
        prune=Prune(rewind_to="7it"),
    )
    found = lengths(config, examples=1000)
    assert dataclasses.astuple(found) == (34, 7, 17, (17, 30), 5)


def test_a_rewind_step_after_the_end_is_refused():
    with pytest.raises(
        ConfigError, match=r"`prune.rewind_to` must not lie after the end .* 2ep \(step 34\), .*\(step 20\)"
    ):
        lengths(Experiment(train=Train(steps="20it"), prune=Prune(rewind_to="2ep")), examples=1000)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ConfigError, match=r"at most the number of training examples, 50. Received: 60"):
        lengths(Experiment(), examples=50)


def test_a_length_beyond_32_bits_is_refused():
    with pytest.raises(ConfigError, match=r"`train.steps` must be fewer than 2\^31 steps. Received: 9999999999it"):
        lengths(Experiment(train=Train(steps="9999999999it")), examples=1000)


def test_a_repeated_drop_occurs_every_so_many_steps_or_epochs_until_the_end():
    def drops(*written, steps="10it"):
        return lengths(Experiment(train=Train(batch_size=4, steps=steps, drops=written)), 10).drops

    assert drops("every 3it") == (3, 6, 9)
    assert drops("every 5it") == (5,)
    assert drops("every 10it") == ()
    assert drops("2it", "every 4it") == (2, 4, 8)
    assert drops("every 1ep", steps="4ep") == (3, 5, 8)  # an epoch has 2.5 steps
    with pytest.raises(ConfigError, match=r"up to 10000 times. Received: 'every 1it' in 20000 steps"):
        drops("every 1it", steps="20000it")
