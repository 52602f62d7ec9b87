import getpass
import importlib.metadata
import json
import os
import platform
import types
from pathlib import Path

import pytest
import tensorflow as tf
import tiny  # noqa: F401  (configures the process before TensorFlow starts)

import tf_lottery
from tf_lottery import keras_compat
from tf_lottery.experiment import environment

SWITCHES = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "TF_XLA_FLAGS", "XLA_FLAGS", "NVIDIA_TF32_OVERRIDE")


@pytest.fixture(autouse=True)
def no_switches(monkeypatch):
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)


def test_the_description_of_an_environment_holds_everything_that_can_change_a_result():
    described = environment.describe("mirrored")
    extensions, devices = described.pop("vector_extensions"), described.pop("devices")
    assert described == {
        "tf_lottery": tf_lottery.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "keras_flavour": "legacy" if keras_compat.LEGACY else "keras 3",
        "strategy": "mirrored",
        "replicas": 1,
        "packages": {
            "tensorflow": tf.__version__,
            "numpy": importlib.metadata.version("numpy"),
            "keras": importlib.metadata.version("keras"),
            "tf-keras": importlib.metadata.version("tf-keras"),
            "ml-dtypes": importlib.metadata.version("ml-dtypes"),
        },
        "switches": {},
    }
    assert set(extensions.split()) <= set(environment._EXTENSIONS)
    assert "CPU" in devices


def test_an_environment_has_one_description_which_survives_a_file():
    described = environment.describe("default")
    assert environment.describe("default") == described
    assert json.loads(json.dumps(described)) == described


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_is_recorded_when_it_is_set(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    assert environment.describe("default")["switches"] == {name: "1"}


def test_other_variables_of_the_environment_are_not_recorded(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    assert "hunter2" not in json.dumps(environment.describe("default"))


def test_nothing_names_a_person_or_a_machine():
    text = json.dumps(environment.describe("default"))
    for name in (platform.node(), getpass.getuser(), str(Path.home()), os.getcwd()):
        assert f'"{name}"' not in text
        assert f"{name}/" not in text


def test_the_replicas_of_the_strategy_are_counted(monkeypatch):
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: types.SimpleNamespace(num_replicas_in_sync=4))
    assert environment.describe("mirrored")["replicas"] == 4


def test_a_gpu_is_recorded_with_its_model(monkeypatch):
    devices = [tf.config.PhysicalDevice("/cpu:0", "CPU"), tf.config.PhysicalDevice("/gpu:0", "GPU")]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda: devices)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: {"device_name": "NVIDIA H100"})
    assert environment.describe("default")["devices"] == ["CPU", "GPU NVIDIA H100"]


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu sse2 fma avx avx2 avx512f bogus\nbugs\t: x\n", "avx avx2 fma avx512f"),
        ("processor\t: 0\nBogoMIPS\t: 50\n", ""),
        (OSError(), ""),
    ],
)
def test_vector_extensions_are_those_that_libraries_use(monkeypatch, cpuinfo, expected):
    def read_text(path):
        if isinstance(cpuinfo, OSError):
            raise cpuinfo
        return cpuinfo

    monkeypatch.setattr(Path, "read_text", read_text)
    assert environment._vector_extensions() == expected


FIRST = {"python": "3.12", "packages": {"numpy": "2.0", "keras": "3.15"}, "devices": ["CPU"]}
SECOND = {"python": "3.12", "packages": {"numpy": "2.1", "keras": "3.15"}, "devices": ["CPU", "GPU A100"]}
THIRD = {**FIRST, "switches": {"XLA_FLAGS": "--fast"}}


def test_equal_environments_do_not_differ():
    assert (
        environment.differences([])
        == environment.differences([FIRST])
        == environment.differences([FIRST, {**FIRST}])
        == {}
    )


def test_only_fields_that_differ_are_named_with_every_value():
    assert environment.differences([FIRST, SECOND]) == {
        "packages.numpy": ["2.0", "2.1"],
        "devices": [["CPU"], ["CPU", "GPU A100"]],
    }


def test_a_field_that_is_new_or_gone_differs():
    assert environment.differences([FIRST, THIRD]) == {"switches.XLA_FLAGS": ["not set", "--fast"]}
    assert environment.differences([THIRD, FIRST, THIRD]) == {"switches.XLA_FLAGS": ["--fast", "not set", "--fast"]}


def test_the_order_of_fields_does_not_matter():
    assert environment.differences([FIRST, dict(reversed(FIRST.items()))]) == {}
