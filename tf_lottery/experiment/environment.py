"""What a training runs on, as far as it can change results."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import tensorflow as tf

import tf_lottery
from tf_lottery import keras_api

_PACKAGES = ("tensorflow", "keras", "tf-keras", "numpy", "ml-dtypes")
_SWITCHES = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "TF_XLA_FLAGS", "XLA_FLAGS", "NVIDIA_TF32_OVERRIDE")
_EXTENSIONS = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "sve")


def describe(strategy: str) -> dict[str, Any]:
    """Versions, kinds of devices, switches of TensorFlow, the Keras in use; nothing that names a person or a machine.

    What is described in the same words is taken for the same.
    """
    return {
        "tf_lottery": tf_lottery.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "vector_extensions": _vector_extensions(),
        "keras_flavour": "legacy" if keras_api.LEGACY else "keras 3",
        "devices": [_kind(device) for device in tf.config.list_physical_devices()],
        "strategy": strategy,
        "replicas": tf.distribute.get_strategy().num_replicas_in_sync,
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "switches": {name: os.environ[name] for name in _SWITCHES if name in os.environ},
    }


def _kind(device: Any) -> str:
    """`"CPU"`, or a GPU with its model."""
    details = tf.config.experimental.get_device_details(device) if device.device_type == "GPU" else {}
    return f"{device.device_type} {details.get('device_name', '')}".strip()


def _vector_extensions() -> str:
    """Those of the CPU that numerical libraries choose their code by; `""` where the system does not tell."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().partition("\nflags")[2].partition("\n")[0].split())
    except OSError:
        return ""
    return " ".join(name for name in _EXTENSIONS if name in flags)
