import json

import pytest

from tf_lottery.errors import ConfigError
from tf_lottery.experiment import config as config_lib
from tf_lottery.experiment.config import Data, Experiment, Prune, Train, fields, fingerprint, from_fields
from tf_lottery.experiment.validation import check


def test_a_misspelt_field_cannot_be_set():
    with pytest.raises(AttributeError, match="fracton"):
        Experiment().prune.fracton = 0.5


def test_fields_that_need_no_value_may_be_missing_as_in_older_runs():
    older = fields(Experiment(seed=3))
    del older["train.steps_per_execution"]
    assert from_fields(older) == Experiment(seed=3)
    with pytest.raises(ConfigError, match=r"missing fields: train\.speed"):
        from_fields(older | {"train.speed": 1})
    del older["train.steps"]
    with pytest.raises(ConfigError, match=r"missing fields: train\.steps"):
        from_fields(older)


def test_steps_per_execution_do_not_change_the_fingerprint():
    assert fingerprint(Experiment(train=Train(steps_per_execution=7))) == fingerprint(Experiment())
    assert fingerprint(Experiment(train=Train(threads=7))) != fingerprint(Experiment())


def test_a_config_can_be_restored_from_its_fields():
    config = Experiment(seed=3, data=Data("mnist1d"), prune=Prune(rates=("a=0.1",), scope="layerwise"), controls=())
    assert from_fields(fields(config)) == config


SWEEP = Experiment(
    prune=Prune(levels=3),
    variants={
        "k=0": {},
        "k=60": {"prune.rewind_to": "60it"},
        "low": {"train.learning_rate": 0.01, "train.drops": ("5it", "7it")},
    },
)


def sweep(variants):
    return Experiment(variants=variants)


def test_an_experiment_without_variants_has_itself_as_the_only_member():
    config = Experiment()
    assert config_lib.labels(config) == [""]
    assert config_lib.variant(config, "") == config
    assert config_lib.members(config) == {"": config}


def test_a_variant_is_the_experiment_with_other_values_for_some_fields():
    assert config_lib.labels(SWEEP) == ["k=0", "k=60", "low"]
    base = Experiment(prune=Prune(levels=3))
    assert config_lib.variant(SWEEP, "k=0") == base
    assert config_lib.variant(SWEEP, "k=60") == Experiment(prune=Prune(levels=3, rewind_to="60it"))
    assert config_lib.variant(SWEEP, "low") == Experiment(
        prune=Prune(levels=3), train=Train(learning_rate=0.01, drops=("5it", "7it"))
    )
    assert SWEEP.prune.rewind_to == "0it"


def test_the_changes_between_a_variant_and_its_experiment_are_its_entry():
    for label, member in config_lib.members(SWEEP).items():
        assert config_lib.changes(member, SWEEP) == SWEEP.variants[label]


def test_variants_come_back_from_json_as_they_were():
    assert from_fields(json.loads(json.dumps(fields(SWEEP)))) == SWEEP


def test_variants_share_a_dense_network_unless_it_trains_differently():
    config = sweep(
        {
            "k=0": {},
            "k=60": {"prune.rewind_to": "60it"},
            "one-shot": {"prune.levels": 1, "shuffle": "fresh"},
            "low": {"train.learning_rate": 0.01},
            "bare": {"prune.exclude": ("output",)},
        }
    )
    found = [config_lib.dense_network_key(member) for member in config_lib.members(config).values()]
    assert found[0] == found[1] == found[2]
    assert len({found[0], found[3], found[4]}) == 3


@pytest.mark.parametrize(
    ("sweep_of", "message"),
    [
        (("k=60: prune.rewind_to=60it",), "`variants` must be a dict of dicts, as in"),
        ({"k=60": "prune.rewind_to=60it"}, "`variants` must be a dict of dicts, as in"),
        ({"k=60": {60: "60it"}}, "`variants` must be a dict of dicts, as in"),
        ({"a/b": {"prune.levels": 1}}, "Received: 'a/b'"),
        ({"../b": {}}, "A label of `variants` may contain letters"),
        ({"": {}}, "A label of `variants` may contain letters"),
        ({"controls": {}}, "must not be level_…, shuffle_seed_… or controls"),
        ({"level_01": {}}, "A label of `variants` may contain letters"),
        ({"b": {}, "a": {}, "A": {"prune.levels": 1}}, "must not differ only in case. Received: a, A"),
        ({"a": {"prune.level": 1}}, "no field 'prune.level', which variant 'a' changes. Did you mean 'prune.levels'"),
        ({"a": {"prune": {"levels": 1}}}, "The config has no field 'prune', which variant 'a' changes. Did you"),
        (
            {"a": {"seed": 1}},
            "Variants cannot change seed, replicates, variants, train.threads, train.jit_compile",
        ),
        ({"a": {"train.threads": 2}}, "Received: 'train.threads' in variant 'a'"),
        ({"a": {"prune.levels": 1.5}}, "Variant 'a': `prune.levels` must be a whole number. Received: 1.5"),
        ({"a": {"prune.rates": "output=0.1"}}, "Variant 'a': `prune.rates` must be a tuple of strings"),
        ({"a": {}, "b": {"prune.fraction": 25}}, r"Variant 'b': .*For 25 percent write 0.25"),
    ],
)
def test_impossible_variants_are_refused(sweep_of, message):
    with pytest.raises(ConfigError, match=message):
        check(sweep(sweep_of))


def test_an_unknown_variant_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"There is no variant 'k=6'\. Known: k=0, k=60, low"):
        config_lib.variant(SWEEP, "k=6")
