import numpy as np
import pytest
import tensorflow as tf
import tiny

from tf_lottery.errors import ClusterError, ConfigError, ModelError
from tf_lottery.masking import conversion, naming
from tf_lottery.training import devices
from tf_lottery.training.devices import Replicas
from tf_lottery.training.topology import STRATEGIES, Topology


def test_every_strategy_can_be_made():
    assert set(devices._STRATEGIES) == set(STRATEGIES)


def test_fewer_gpus_than_asked_for_are_refused(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["one", "two"] if kind == "GPU" else [])
    with pytest.raises(ConfigError, match=r"`devices` must be at most the number of GPUs, 2. Received: devices=3"):
        devices.make(Topology("mirrored", 3))


def test_a_cpu_that_is_in_use_cannot_be_divided():
    tf.constant(1.0)
    with pytest.raises(ConfigError, match=r"already runs in this process; its CPU cannot be made 2 devices now"):
        devices.make(Topology("mirrored", 2))


def test_a_batch_that_replicas_cannot_share_is_refused_with_the_nearest_sizes():
    class Eight:
        num_replicas_in_sync = 8

    devices.check_batch_size(64, Eight())
    with pytest.raises(ConfigError, match=r"all 8 replicas together, so 8 must divide it: 56 or 64. Received: 60"):
        devices.check_batch_size(60, Eight())
    with pytest.raises(ConfigError, match=r"8 must divide it: 8. Received: 3"):
        devices.check_batch_size(3, Eight())


def test_one_replica_has_nothing_to_agree_on():
    model = conversion.make_prunable(tiny.convolutional())
    replicas = Replicas(model.variables, averaged=naming.named_variables(model))
    before = [variable.numpy().tobytes() for variable in model.variables]
    replicas.unify()
    replicas.check()
    replicas.meet()
    assert replicas.mean([0.5, 2.0]) == [0.5, 2.0]
    assert replicas.own_values() == {}
    replicas.set_own_values({})
    with pytest.raises(ModelError, match=r"must be those of .*moving_mean.* Received: other"):
        replicas.set_own_values({"other": np.zeros((1, 2))})
    assert not replicas.are_many
    assert [variable.numpy().tobytes() for variable in model.variables] == before


def test_errors_of_one_process_are_not_taken_for_lost_workers(monkeypatch):
    def fail():
        with devices.lost_workers():
            raise tf.errors.UnavailableError(None, None, "gone")

    with pytest.raises(tf.errors.UnavailableError):
        fail()
    cluster = type("Strategy", (), {"cluster_resolver": "some"})()
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: cluster)
    with pytest.raises(ClusterError, match=r"Another worker has stopped .* finished units are stored"):
        fail()


def test_a_process_that_has_started_cannot_be_configured_again():
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1
    assert tf.config.threading.get_inter_op_parallelism_threads() == 1
    tf.constant(1.0)
    with pytest.raises(ConfigError, match="already runs in this process; 7 threads cannot be set"):
        devices.configure(threads=7, deterministic_ops=False)


def test_after_the_start_there_are_devices():
    devices.start()
    assert tf.config.list_logical_devices()
