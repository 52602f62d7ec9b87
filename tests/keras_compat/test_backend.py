import contextlib
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


OTHERS = {"floatx": "float64", "epsilon": 0.5, "image_data_format": "channels_first"}  # as a keras.json could have them


def settings():
    return {name: getattr(keras_compat.keras.backend, name)() for name in OTHERS}


@pytest.fixture
def other_settings():
    before, policy = settings(), keras_compat.keras.mixed_precision.global_policy()
    for name, value in OTHERS.items():
        getattr(keras_compat.keras.backend, f"set_{name}")(value)
    yield
    for name, value in before.items():
        getattr(keras_compat.keras.backend, f"set_{name}")(value)
    # Keras makes its default policy of `floatx` when it is first asked, and that may have been in between.
    keras_compat.keras.mixed_precision.set_global_policy(policy)


@contextlib.contextmanager
def failing(context):
    """Enter a context, and leave it by an error."""
    with contextlib.suppress(ZeroDivisionError), context:
        yield
        raise ZeroDivisionError


def test_settings_are_keras_defaults_in_the_context_and_the_users_after_it_whatever_happens(other_settings):
    policy = keras_compat.keras.mixed_precision.global_policy().name
    with failing(keras_compat.pinned_settings("mixed_bfloat16")):
        assert settings() == {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}
        assert keras_compat.keras.mixed_precision.global_policy().name == "mixed_bfloat16"
    assert settings() == OTHERS
    assert keras_compat.keras.mixed_precision.global_policy().name == policy


def test_only_the_image_data_format_is_keras_default_where_networks_are_built(other_settings):
    with failing(keras_compat.channels_last()):
        assert settings() == {**OTHERS, "image_data_format": "channels_last"}
    assert settings() == OTHERS
