import pytest

from tf_lottery.errors import ConfigError
from tf_lottery.experiment import validation
from tf_lottery.experiment.config import Experiment, Prune, Stability, Train, fields, from_fields
from tf_lottery.experiment.validation import check
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
        ("prune.levels", 2**70, "`prune.levels` must be a whole number of at least 0 and at most"),
        ("prune.levels", 2**40, "An experiment has at most about 200,000 training runs. Received: 9,895,604,649,993"),
        ("replicates", 100_000, "An experiment has at most about 200,000 training runs"),
        ("stability.points", 10_001, "`stability.points` must be a whole number of at least 0 and at most 10000"),
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
        ("shuffle", "random", "must be one of replay, fresh"),
        ("controls", ("shuffle",), "must be one of random_mask, reinit"),
        ("controls", "reinit", r"`controls` must be a tuple of strings, as in \('reinit',\). Received: 'reinit'"),
        ("controls", ("reinit", "reinit"), "must name each control once"),
        ("train.optimizer", "adm", "Did you mean 'adam'?"),
        ("train.learning_rate", float("nan"), "`train.learning_rate` must be a number. Received: nan"),
        ("train.learning_rate", 10**400, "`train.learning_rate` must be a number"),
        ("train.learning_rate", -1.0, "`train.learning_rate` must be at least 2e-38"),
        ("train.learning_rate", 1e-46, "`train.learning_rate` must be at least 2e-38"),
        ("train.learning_rate", 1e39, "`train.learning_rate` must be a number"),
        ("train.final_learning_rate", 1.0, "`train.final_learning_rate` must not be above train.learning_rate"),
        ("train.threads", 2**31, "`train.threads` must be a whole number of at least 1 and at most 1024"),
        ("train.jit_compile", "no", "`train.jit_compile` must be True, False, or None for the default. Received: 'no'"),
        ("train.drops", "50", "`train.drops` must be a tuple of strings"),
        ("prune.rates", (5,), "`prune.rates` must be a tuple of strings"),
        ("prune.exclude", "^output/", "`prune.exclude` must be a tuple of strings"),
        ("prune.fraction", "1/5", "`prune.fraction` must be a number. Received: '1/5'"),
        ("prune.criterion", [], "`prune.criterion` must be a string, as in"),
        ("controls", None, "`controls` must be a tuple of strings"),
        ("model.name", 5, "`model.name` must be a string, as in"),
        ("train.drop_factor", 0.0, "`train.drop_factor` must be at least 2e-38"),
        ("train.momentum", 1.0, r"`train.momentum` must be in \[0, 1\)"),
        ("train.drops", ("1.5ep",), 'written "500it"'),
        ("train.warmup", "-1it", 'written "500it"'),
        ("train.steps", "0it", "`train.steps` must be at least one step. Received: '0it'"),
        ("train.evaluate_every", "0ep", "`train.evaluate_every` must be at least one step"),
        ("train.batch_size", 0, "`train.batch_size` must be a whole number of at least 1"),
        ("train.threads", 0, "`train.threads` must be a whole number of at least 1"),
        ("train.threads", "2", "`train.threads` must be a whole number, or None for the default. Received: '2'"),
        ("train.steps_per_execution", 0, "`train.steps_per_execution` must be a whole number of at least 1"),
    ],
)
def test_impossible_values_are_refused_with_what_is_possible(field, value, message):
    flat = fields(Experiment()) | {field: value}
    with pytest.raises(ConfigError, match=message):
        check(from_fields(flat))


def test_the_path_of_a_config_is_refused():
    with pytest.raises(
        ConfigError, match=r"`config` must be an Experiment of .*\. Received: 'configs/digits_lenet.py'"
    ):
        check("configs/digits_lenet.py")


def test_part_of_a_config_cannot_be_something_else():
    with pytest.raises(ConfigError, match=r"`prune` must be Prune\(...\). Received: None"):
        check(Experiment(prune=None))


def test_every_known_optimizer_can_be_created():
    assert set(validation.OPTIMIZERS) == set(optimizers.OPTIMIZERS)


def test_drops_and_a_linear_decay_exclude_each_other():
    with pytest.raises(ConfigError, match=r"`train.drops` needs train.decay='drops'. Received: train.decay='linear'"):
        check(Experiment(train=Train(decay="linear", drops=("5it",))))


def test_levels_for_stability_must_exist():
    def asked(levels, **settings):
        return Experiment(prune=Prune(levels=3), stability=Stability(levels=levels, **settings))

    check(asked((0, 3)))
    for levels in ((4,), (-1,)):
        with pytest.raises(ConfigError, match=rf"between 0 and prune.levels=3. Received: {levels[0]}$"):
            check(asked(levels))
    with pytest.raises(ConfigError, match=r"must name each level once. Received: \(1, 1\)"):
        check(asked((1, 1)))
    with pytest.raises(
        ConfigError, match=r"`stability.shuffle_seeds` must be a whole number of at least 1\. Received: 0"
    ):
        check(asked((1,), shuffle_seeds=0))
    for points in (1, 2):
        with pytest.raises(ConfigError, match=rf"`stability.points` must be 0, or at least 3.*Received: {points}$"):
            check(asked((1,), points=points))
    with pytest.raises(ConfigError, match=r"`stability.levels` must be a tuple of whole numbers, as in \(3,\)"):
        check(asked(("1",)))
