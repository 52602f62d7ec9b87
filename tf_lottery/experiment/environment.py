"""The environment of a run: everything besides the config that can change its results."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tf_lottery

_PACKAGES = ("tensorflow", "keras", "tf-keras", "numpy", "ml-dtypes")
_SWITCHES = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "TF_XLA_FLAGS", "XLA_FLAGS", "NVIDIA_TF32_OVERRIDE")
_EXTENSIONS = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "sve")


def describe(strategy: str) -> dict[str, Any]:
    """Return a description of this process: versions, kinds of devices, switches of TensorFlow, the Keras in use.

    Environments with equal descriptions count as the same. Nothing in a description names a person or a machine.
    """
    import tensorflow as tf  # here, because code that only compares environments does without TensorFlow

    from tf_lottery import keras_compat

    return {
        "tf_lottery": tf_lottery.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "vector_extensions": _vector_extensions(),
        "keras_flavour": "legacy" if keras_compat.LEGACY else "keras 3",
        "devices": [_kind(device, tf) for device in tf.config.list_physical_devices()],
        "strategy": strategy,
        "replicas": tf.distribute.get_strategy().num_replicas_in_sync,
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "switches": {name: os.environ[name] for name in _SWITCHES if name in os.environ},
    }


def _kind(device: Any, tf: Any) -> str:
    """Return `"CPU"`, or `"GPU"` with the name of the model."""
    details = tf.config.experimental.get_device_details(device) if device.device_type == "GPU" else {}
    return f"{device.device_type} {details.get('device_name', '')}".strip()


def _vector_extensions() -> str:
    """Return the vector extensions of the CPU that numerical libraries use; `""` if the system does not list them."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().partition("\nflags")[2].partition("\n")[0].split())
    except OSError:
        return ""
    return " ".join(name for name in _EXTENSIONS if name in flags)


DAMAGED = {"record": "damaged"}  # in place of an environment whose record is damaged
_MISSING = "not set"


def flat(environment: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return all fields by dotted name.

    >>> flat({"python": "3.12", "packages": {"numpy": "2.0"}})
    {'python': '3.12', 'packages.numpy': '2.0'}
    """
    fields: dict[str, Any] = {}
    for name, value in environment.items():
        fields |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return fields


def differences(environments: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the fields in which environments differ, each with its values in the order of the environments.

    >>> differences([{"python": "3.12", "strategy": "default"}, {"python": "3.13", "strategy": "default"}])
    {'python': ['3.12', '3.13']}
    """
    described = [flat(environment) for environment in environments]
    names = dict.fromkeys(name for fields in described for name in fields)
    values = {name: [fields.get(name, _MISSING) for fields in described] for name in names}
    return {name: found for name, found in values.items() if any(value != found[0] for value in found)}
