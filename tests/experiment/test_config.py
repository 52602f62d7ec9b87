import dataclasses

import pytest

from tf_lottery.errors import ConfigError
from tf_lottery.experiment import config as config_lib
from tf_lottery.experiment.config import Data, Experiment, Prune, Train, check, fields, from_fields, lengths
from tf_lottery.training import optimizers


def test_the_defaults_make_sense():
    check(Experiment())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("seed", -1, "`seed` must be a whole number of at least 0. Received: -1"),
        ("replicates", 0, "`replicates` must be a whole number of at least 1"),
        ("replicates", True, "`replicates` must be a whole number"),
        ("prune.levels", -1, "`prune.levels` must be a whole number of at least 0. Received: -1"),
        ("prune.fraction", 25, "For 25 percent write 0.25"),
        ("prune.fraction", 1.0, r"must be in \[0, 1\)"),
        ("prune.rates", ("output",), 'written "regex=share"'),
        ("prune.rates", ("output=0.1",), "`prune.rates` needs prune.scope=layerwise. Received: prune.scope=global"),
        ("prune.exclude", ("(",), "cannot be read"),
        ("prune.scope", "globl", "must be one of global, layerwise. Received: 'globl'. Did you mean 'global'?"),
        ("prune.criterion", "size", "must be one of magnitude, small_final"),
        ("prune.rewind", "lr", "must be one of weights, learning_rate, none"),
        ("prune.rewind_to", "5e", 'written "500it"'),
        ("data.name", "minst", "must be one of cifar10, .*, mnist, mnist1d"),
        ("data_order", "random", "must be one of replay, fresh"),
        ("controls", ("shuffle",), "must be one of random_mask, reinit"),
        ("controls", "reinit", r"`controls` must be a tuple of texts, as in \('reinit',\). Received: 'reinit'"),
        ("controls", ("reinit", "reinit"), "must name each control once"),
        ("train.optimizer", "adm", "Did you mean 'adam'?"),
        ("train.learning_rate", float("nan"), "`train.learning_rate` must be a number. Received: nan"),
        ("train.learning_rate", 10**400, "`train.learning_rate` must be a number"),
        ("train.learning_rate", -1.0, "`train.learning_rate` must be at least 2e-38"),
        ("train.learning_rate", 1e-46, "`train.learning_rate` must be at least 2e-38"),
        ("train.learning_rate", 1e39, "`train.learning_rate` must be a number"),
        ("train.final_learning_rate", 1.0, "`train.final_learning_rate` must not be above train.learning_rate"),
        ("train.threads", 2**31, "`train.threads` must be at most 1024"),
        ("train.jit_compile", "no", "`train.jit_compile` must be True or False. Received: 'no'"),
        ("train.drops", "50", "`train.drops` must be a tuple of texts"),
        ("prune.rates", (5,), "`prune.rates` must be a tuple of texts"),
        ("prune.exclude", "^output/", "`prune.exclude` must be a tuple of texts"),
        ("prune.fraction", "1/5", "`prune.fraction` must be a number. Received: '1/5'"),
        ("prune.criterion", [], "`prune.criterion` must be text in quotes"),
        ("controls", None, "`controls` must be a tuple of texts"),
        ("model.name", 5, "`model.name` must be text in quotes"),
        ("train.drop_factor", 0.0, "`train.drop_factor` must be at least 2e-38"),
        ("train.momentum", 1.0, r"`train.momentum` must be in \[0, 1\)"),
        ("train.drops", ("1.5ep",), 'written "500it"'),
        ("train.warmup", "-1it", 'written "500it"'),
        ("train.steps", "0it", "`train.steps` must be at least one step. Received: '0it'"),
        ("train.evaluate_every", "0ep", "`train.evaluate_every` must be at least one step"),
        ("train.batch_size", 0, "`train.batch_size` must be a whole number of at least 1"),
        ("train.threads", 0, "`train.threads` must be a whole number of at least 1"),
    ],
)
def test_impossible_values_are_refused_with_what_is_possible(field, value, message):
    flat = fields(Experiment()) | {field: value}
    with pytest.raises(ConfigError, match=message):
        check(from_fields(flat))


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


def test_a_length_that_no_counter_holds_is_refused():
    with pytest.raises(ConfigError, match=r"`train.steps` must be fewer than 2\^31 steps. Received: 9999999999it"):
        lengths(Experiment(train=Train(steps="9999999999it")), examples=1000)


def test_part_of_a_config_cannot_be_something_else():
    with pytest.raises(ConfigError, match=r"`prune` must be Prune\(...\). Received: None"):
        check(Experiment(prune=None))


def test_a_misspelt_field_cannot_be_set():
    with pytest.raises(AttributeError, match="fracton"):
        Experiment().prune.fracton = 0.5


def test_a_config_survives_its_fields():
    config = Experiment(seed=3, data=Data("mnist1d"), prune=Prune(rates=("a=0.1",), scope="layerwise"), controls=())
    assert from_fields(fields(config)) == config


def test_every_known_optimizer_can_be_made():
    assert set(config_lib.OPTIMIZERS) == set(optimizers.OPTIMIZERS)


def test_drops_and_a_linear_decay_exclude_each_other():
    with pytest.raises(ConfigError, match=r"`train.drops` needs train.decay='drops'. Received: train.decay='linear'"):
        config_lib.check(Experiment(train=Train(decay="linear", drops=("5it",))))


def test_a_drop_that_repeats_is_one_every_so_many_steps_or_epochs_until_the_end():
    def drops(*written, steps="10it"):
        return config_lib.lengths(Experiment(train=Train(batch_size=4, steps=steps, drops=written)), 10).drops

    assert drops("every 3it") == (3, 6, 9)
    assert drops("every 5it") == (5,)
    assert drops("every 10it") == ()
    assert drops("2it", "every 4it") == (2, 4, 8)
    assert drops("every 1ep", steps="4ep") == (3, 5, 8)  # an epoch has 2.5 steps
    with pytest.raises(ConfigError, match=r"up to 10000 times. Received: 'every 1it' in 20000 steps"):
        drops("every 1it", steps="20000it")


def test_a_smoke_run_is_the_same_experiment_at_another_size():
    config = Experiment(train=Train(drops=("every 3ep",), warmup="5ep"), prune=Prune(levels=9, rewind_to="6ep"))
    small = config_lib.smoke(config)
    config_lib.check(small)
    assert (small.data.made_up, small.replicates, small.prune.levels, small.prune.rewind_to) == (True, 1, 1, "2it")
    assert (small.train.steps, small.train.drops, small.train.warmup) == ("6it", ("every 2it",), "2it")
    assert config.data.made_up is False
    assert [config_lib.smoke(config, devices).train.batch_size for devices in (0, 1, 3, 8, 16)] == [8, 8, 9, 8, 16]
    different = {name for name, value in config_lib.fields(small).items() if config_lib.fields(config)[name] != value}
    assert different == {
        *("replicates", "data.made_up", "data.image_size", "prune.levels", "prune.rewind_to"),
        *("train.steps", "train.evaluate_every", "train.batch_size", "train.warmup", "train.drops"),
    }
