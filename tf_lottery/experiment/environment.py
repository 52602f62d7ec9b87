"""What an experiment ran on, for the record."""

import importlib.metadata
import platform
from typing import Any

import tensorflow as tf

import tf_lottery
from tf_lottery import keras_api

_PACKAGES = ("tensorflow", "keras", "tf-keras", "numpy")


def describe(strategy: str) -> dict[str, Any]:
    """Versions, device kinds and the Keras in use; nothing that names a person or a machine."""
    return {
        "tf_lottery": tf_lottery.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "keras_flavour": "legacy" if keras_api.LEGACY else "keras 3",
        "devices": [device.device_type for device in tf.config.list_physical_devices()],
        "strategy": strategy,
        "replicas": tf.distribute.get_strategy().num_replicas_in_sync,
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }
