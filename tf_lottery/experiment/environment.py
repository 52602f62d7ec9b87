"""The environment of a run: everything besides the config that can change its results.

Some of it is pinned in the processes that train, and the rest is recorded in the run and compared when it is resumed.
docs/environment.md lists both.
"""

import contextlib
import importlib.metadata
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tf_lottery
from tf_lottery.errors import ConfigError

_PACKAGES = ("tensorflow", "keras", "tf-keras", "numpy", "scipy", "ml-dtypes")
_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# Variables of the processes that train; docs/environment.md has the reasons.
_PINNED = {
    "KERAS_BACKEND": "tensorflow",
    "TF_ONEDNN_ASSUME_FROZEN_WEIGHTS": "0",
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
}
# Variables that can change results, if they are set. Not all that begin with TF_: TF_VAR_password is Terraform's.
COMPARED = (
    *(_ONEDNN, "TF_ENABLE_ONEDNN_SPMM", "TF_ENABLE_ZENDNN_OPTS"),
    *("ONEDNN_MAX_CPU_ISA", "ONEDNN_CPU_ISA_HINTS", "ONEDNN_DEFAULT_FPMATH_MODE", "TF_SET_ONEDNN_FPMATH_MODE"),
    *("DNNL_MAX_CPU_ISA", "DNNL_CPU_ISA_HINTS", "DNNL_DEFAULT_FPMATH_MODE"),
    *("XLA_FLAGS", "TF_XLA_FLAGS", "TF_FUNCTION_JIT_COMPILE_DEFAULT", "TF_JIT_COMPILE_REWRITE"),
    *("TF_DETERMINISTIC_OPS", "TF_CUDNN_DETERMINISTIC", "TF_DISABLE_SCATTER_OP_DETERMINISM", "TF_USE_DEEP_CONV2D"),
    *("TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_LEVEL", "TF_CONV2D_USE_FP16_ACCUMULATE", "TF_FP16_CONV_USE_FP32_COMPUTE"),
    *("TF_FP16_MATMUL_USE_FP32_COMPUTE", "TF_FP16_RNN_USE_FP32_COMPUTE", "NVIDIA_TF32_OVERRIDE"),
    *("TF_CUDNN_USE_AUTOTUNE", "TF_CUDNN_USE_FRONTEND", "TF_CUDNN_USE_RUNTIME_FUSION", "TF_CUDNN_RNN_USE_AUTOTUNE"),
    *("TF_CUDNN_WORKSPACE_LIMIT_IN_MB", "TF_CUDNN_DISABLE_CONV_1X1_OPTIMIZATION", "TF_USE_DEFAULT_CONV_ALGO"),
    *("TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT", "TF_ENABLE_WINOGRAD_NONFUSED", "TF_USE_CUBLASLT"),
    *("TF_MATMUL_AUTOTUNE_ENABLE", "TF_CUBLAS_WORKSPACE_LIMIT_IN_MB", "CUBLAS_WORKSPACE_CONFIG"),
    *("NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES", "OPENBLAS_CORETYPE", "MKL_CBWR", "GLIBC_TUNABLES"),
)
# By the names of Linux for x86 and ARM: what oneDNN, XLA, Eigen, NumPy and the C library choose their code by.
_EXTENSIONS = (
    *("avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"),
    *("avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimddp", "asimdhp", "sve", "sve2", "bf16", "i8mm", "sme"),
)
_CPU = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def variables_of_workers() -> dict[str, str]:
    """Return the variables that every process that trains is started with, besides those of this process.

    Libraries read them when they are imported, so it is too late to set them in that process. Whether TensorFlow uses
    oneDNN would follow from the processor if TF_ENABLE_ONEDNN_OPTS were not set; it is on unless the user turns it off.

    Raises:
        ConfigError: TF_ENABLE_ONEDNN_OPTS has a value that TensorFlow does not understand, and would ignore.
    """
    asked = os.environ.get(_ONEDNN) or "1"
    if asked.lower() not in ("0", "1", "false", "true"):
        raise ConfigError(f"The environment variable {_ONEDNN} must be 0 or 1, or not set. Received: {asked!r}")
    return {**_PINNED, _ONEDNN: "1" if asked.lower() in ("1", "true") else "0"}


@contextlib.contextmanager
def set_for_workers() -> Iterator[None]:
    """Set the variables of `variables_of_workers`; processes that are started in this context inherit them."""
    changed = variables_of_workers()
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def describe(strategy: str, data: Mapping[str, str]) -> dict[str, Any]:
    """Return a description of this process: versions, processor, devices, variables that are set, the Keras in use.

    Environments with equal descriptions count as the same. Nothing in a description names a person or a machine.

    Args:
        strategy: One of `topology.STRATEGIES`.
        data: The checksums of the datasets, by name.
    """
    import tensorflow as tf  # here, because code that only compares environments does without TensorFlow

    from tf_lottery import keras_compat

    devices = [_kind(device, tf) for device in tf.config.list_physical_devices()]
    return {
        "tf_lottery": tf_lottery.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()).strip(),
        "vector_extensions": _vector_extensions(),
        "caches": _caches(),
        "keras_flavour": "legacy" if keras_compat.LEGACY else "keras 3",
        "devices": devices,
        "strategy": strategy,
        "replicas": tf.distribute.get_strategy().num_replicas_in_sync,
        "packages": _packages(any(device.startswith("GPU") for device in devices)),
        "data": dict(data),
        "switches": {name: _value(name) for name in COMPARED if name in os.environ},
    }


def _value(name: str) -> str:
    """Return the value of a variable. XLA's flags can be in a file that it names: of such a file, return the flags."""
    value = os.environ[name]
    if not name.endswith("XLA_FLAGS"):
        return value
    with contextlib.suppress(OSError, ValueError):
        if not value.lstrip().startswith("-"):
            value = Path(value).read_text()
    return " ".join(value.split())


def _kind(device: Any, tf: Any) -> str:
    """Return `"CPU"`, or `"GPU"` with the name of the model."""
    details = tf.config.experimental.get_device_details(device) if device.device_type == "GPU" else {}
    return f"{device.device_type} {details.get('device_name', '')}".strip()


def _packages(with_gpu: bool) -> dict[str, str]:
    """Return the versions of the packages that compute; with a GPU, those of NVIDIA's libraries too."""
    installed = [distribution.name or "" for distribution in importlib.metadata.distributions()] if with_gpu else []
    of_nvidia = sorted({name for name in installed if name.startswith("nvidia-")})
    return {name: importlib.metadata.version(name) for name in (*_PACKAGES, *of_nvidia)}


def _vector_extensions() -> str:
    """Return the vector extensions of the CPU that numerical libraries use; `""` if the system does not list them."""
    try:
        listed = re.search(r"^(?:flags|Features)\s*:(.*)$", _CPU.read_text(), re.MULTILINE)
    except OSError:
        return ""
    flags = set(listed[1].split()) if listed else set()
    return " ".join(name for name in _EXTENSIONS if name in flags)


def _caches() -> str:
    """Return the sizes of the CPU's data caches, as in `"L1 32K, L2 1024K"`; `""` if the system does not list them.

    Libraries part the sums of a matrix product into pieces that fit the caches.
    """
    sizes = {}
    try:
        for folder in _CACHES.glob("index*"):
            if (folder / "type").read_text().strip() != "Instruction":
                sizes["L" + (folder / "level").read_text().strip()] = (folder / "size").read_text().strip()
    except OSError:
        return ""
    return ", ".join(f"{level} {sizes[level]}" for level in sorted(sizes))


DAMAGED = {"record": "damaged"}  # in place of an environment whose record is damaged


def flat(environment: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return all fields by dotted name.

    >>> flat({"python": "3.12", "packages": {"numpy": "2.0"}})
    {'python': '3.12', 'packages.numpy': '2.0'}
    """
    fields: dict[str, Any] = {}
    for name, value in environment.items():
        fields |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return fields


def with_new_data(environment: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return an environment with the checksums of the datasets that only `now` has: variants that a run is extended by.

    >>> with_new_data({"data": {"digits": "a1"}}, {"data": {"digits": "b2", "mnist": "c3"}})
    {'data': {'digits': 'a1', 'mnist': 'c3'}}
    """
    if not (isinstance(environment.get("data"), Mapping) and isinstance(now.get("data"), Mapping)):
        return dict(environment)
    return {**environment, "data": {**now["data"], **environment["data"]}}


def differences(environments: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the fields in which environments differ, each with its values in the order of the environments.

    A variable that an environment lacks is "not set", and another field "not recorded": older versions recorded less.

    >>> differences([{"python": "3.12", "strategy": "default"}, {"python": "3.13", "strategy": "default"}])
    {'python': ['3.12', '3.13']}
    """
    described = [flat(environment) for environment in environments]
    names = dict.fromkeys(name for fields in described for name in fields)
    values = {name: [fields.get(name, _missing(name)) for fields in described] for name in names}
    return {name: found for name, found in values.items() if any(value != found[0] for value in found)}


def _missing(name: str) -> str:
    return "not set" if name.startswith("switches.") else "not recorded"
