import pytest

from tf_lottery.errors import ConfigError
from tf_lottery.experiment.config import Data, Experiment, Prune, Train, fields, fingerprint, from_fields


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
