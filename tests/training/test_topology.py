import json

import pytest

from tf_lottery.errors import ConfigError
from tf_lottery.training.topology import ONE_DEVICE, Topology

CLUSTER = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}


def tf_config(monkeypatch, kind="worker", index=0, cluster=CLUSTER):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}}))


def test_an_unknown_strategy_lists_the_known_ones_and_the_nearest():
    with pytest.raises(
        ConfigError, match=r"default, mirrored, multi_worker, tpu\. .*'mirored'\. Did you mean 'mirrored'"
    ):
        Topology("mirored").check()


@pytest.mark.parametrize("topology", [Topology("mirrored", -1), Topology("default", 2), Topology("multi_worker", 2)])
def test_a_number_of_devices_is_for_mirrored(monkeypatch, topology):
    tf_config(monkeypatch)
    with pytest.raises(ConfigError, match=rf"strategy 'mirrored', 0 for all. Received: devices={topology.devices}"):
        topology.check()


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        '{"cluster": {}}',
        '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a"]}, "task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": "0"}}',
    ],
)
def test_several_workers_need_a_cluster(monkeypatch, text):
    if text is None:
        monkeypatch.delenv("TF_CONFIG", raising=False)
    else:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ConfigError, match="needs the environment variable TF_CONFIG, as in "):
        Topology("multi_worker").check()


def test_the_first_worker_is_the_chief_unless_there_is_one_of_that_name(monkeypatch):
    workers = Topology("multi_worker")
    tf_config(monkeypatch, index=0)
    assert workers.is_chief
    tf_config(monkeypatch, index=1)
    assert not workers.is_chief
    with_chief = {"chief": ["127.0.0.1:1"], "worker": ["127.0.0.1:2"]}
    tf_config(monkeypatch, index=0, cluster=with_chief)
    assert not workers.is_chief
    tf_config(monkeypatch, "chief", 0, with_chief)
    assert workers.is_chief


def test_one_process_is_its_own_chief_whatever_the_environment_says(monkeypatch):
    tf_config(monkeypatch, index=1)
    assert ONE_DEVICE.is_chief
    assert Topology("mirrored").is_chief


def test_only_a_single_device_lets_other_units_train():
    assert ONE_DEVICE.is_alone
    assert not Topology("mirrored", 2).is_alone
