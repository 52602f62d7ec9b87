import pytest
import tensorflow as tf
import tiny  # noqa: F401 (it configures this process, with one thread)

from tf_lottery.errors import ConfigError
from tf_lottery.training import process


def test_a_process_that_has_started_cannot_be_configured_again():
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1
    assert tf.config.threading.get_inter_op_parallelism_threads() == 1
    tf.constant(1.0)
    with pytest.raises(ConfigError, match="already runs in this process; 7 threads cannot be set"):
        process.configure(threads=7, deterministic_ops=False)


def test_after_the_start_there_are_devices():
    process.start()
    assert tf.config.list_logical_devices()
