import json

import tensorflow as tf
import tiny  # noqa: F401  (configures the process before TensorFlow starts)

from tf_lottery import keras_api
from tf_lottery.experiment import environment


def test_the_environment_names_versions_devices_and_the_keras():
    described = environment.describe("default")
    assert described["packages"]["tensorflow"] == tf.__version__
    assert described["keras_flavour"] == ("legacy" if keras_api.LEGACY else "keras 3")
    assert "CPU" in described["devices"]
    assert json.loads(json.dumps(described)) == described
