import os
import subprocess
import sys

import pytest

from tf_lottery import keras_compat


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "package"), [("1", "tf_keras"), ("true", "tf_keras"), ("0", "keras"), (None, "keras")]
)
def test_the_choice_of_keras_is_tensorflows_own(value, package):
    environment = {name: content for name, content in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    code = (
        "import tensorflow as tf; from tf_lottery.keras_compat import keras;"
        "print(keras.__name__, tf.keras.layers.Dense is keras.layers.Dense)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | ({"TF_USE_LEGACY_KERAS": value} if value else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[0].split(".")[0] == package
    assert done.stdout.split()[1] == "True"


@pytest.mark.slow
@pytest.mark.skipif(keras_compat.LEGACY, reason="legacy Keras has one backend only")
def test_another_backend_is_refused_by_name():
    code = "import keras; keras.backend.backend = lambda: 'jax'; import tf_lottery.keras_compat"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "BackendError: tf_lottery needs Keras on TensorFlow. Received: KERAS_BACKEND=jax" in done.stderr
