import pytest

from tf_lottery.experiment.config import Data, Experiment, Prune, fields, from_fields


def test_a_misspelt_field_cannot_be_set():
    with pytest.raises(AttributeError, match="fracton"):
        Experiment().prune.fracton = 0.5


def test_a_config_survives_its_fields():
    config = Experiment(seed=3, data=Data("mnist1d"), prune=Prune(rates=("a=0.1",), scope="layerwise"), controls=())
    assert from_fields(fields(config)) == config
