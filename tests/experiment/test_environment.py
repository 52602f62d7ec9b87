"""What the environment of a run is, and what docs/environment.md says about it."""

import getpass
import importlib.metadata
import json
import os
import platform
import re
import types
from pathlib import Path

import fakes
import pytest
import tensorflow as tf
import tiny  # noqa: F401  (configures the process before TensorFlow starts)

import tf_lottery
from tf_lottery import keras_compat
from tf_lottery.errors import ConfigError, RunError
from tf_lottery.experiment import environment, open_run

PAGE = Path(__file__).parents[2] / "docs/environment.md"


def rows(heading):
    """Return the cells of the rows of the table under a heading of the page."""
    section = PAGE.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(cell):
    return re.findall("`([^`]+)`", cell)


PINNED = {name: value for what, _, value in rows("Pinned variables") for name in names(what)}
SETTINGS = {name: value for what, _, value in rows("Pinned settings of Keras") for name in names(what)}
VARIABLES = [name for what, *_ in rows("Compared variables") for name in names(what)]
FIELDS = [name for what, *_ in rows("Compared fields") for name in names(what)]
HARMLESS = [name for what, *_ in rows("Without influence") for name in names(what)]


@pytest.fixture(autouse=True)
def no_switches(monkeypatch):
    for name in environment.COMPARED:
        monkeypatch.delenv(name, raising=False)


def describe(strategy="default"):
    return environment.describe(strategy, {"digits": "a1"})


def refusal(path, before, now):
    """Return how a run that was begun in an environment refuses another one."""
    open_run.open_run(path, fakes.experiment(), before)
    with pytest.raises(RunError, match="another environment") as refused:
        open_run.open_run(path, fakes.experiment(), now)
    return str(refused.value)


def test_the_page_lists_what_the_code_pins_and_compares():
    assert sorted(VARIABLES) == sorted(environment.COMPARED)
    assert set(environment.variables_of_workers()) < PINNED.keys()
    assert [name for name in describe() if name != "switches"] == FIELDS
    assert not set(HARMLESS) & {*VARIABLES, *PINNED}


@pytest.mark.parametrize("name", environment.variables_of_workers())
def test_a_pinned_variable_has_the_listed_value_in_the_processes_that_train(monkeypatch, name):
    monkeypatch.delenv(name, raising=False)
    with environment.set_for_workers():
        assert os.environ[name] == names(PINNED[name])[0]
    assert name not in os.environ
    monkeypatch.setenv(name, other := "" if name == "TF_ENABLE_ONEDNN_OPTS" else "other")
    with environment.set_for_workers():
        assert os.environ[name] == names(PINNED[name])[0]
    assert os.environ[name] == other


@pytest.mark.parametrize(("asked", "chosen"), [("0", "0"), ("false", "0"), ("False", "0"), ("1", "1"), ("TRUE", "1")])
def test_onednn_runs_unless_the_user_turns_it_off(monkeypatch, asked, chosen):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", asked)
    assert environment.variables_of_workers()["TF_ENABLE_ONEDNN_OPTS"] == chosen


def test_a_value_that_tensorflow_would_ignore_is_refused(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "yes")
    with pytest.raises(ConfigError, match=r"TF_ENABLE_ONEDNN_OPTS must be 0 or 1, or not set\. Received: 'yes'"):
        environment.variables_of_workers()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_keras_has_the_listed_value_after_it_is_pinned(name):
    before = getattr(keras_compat.keras.backend, name)()
    other = {"floatx": "float64", "epsilon": 0.5, "image_data_format": "channels_first"}[name]
    getattr(keras_compat.keras.backend, f"set_{name}")(other)
    try:
        keras_compat.pin_settings("float32")
        assert SETTINGS[name] == f"`{getattr(keras_compat.keras.backend, name)()}`"
    finally:
        getattr(keras_compat.keras.backend, f"set_{name}")(before)


@pytest.mark.parametrize("name", VARIABLES)
def test_a_compared_variable_is_recorded_and_a_run_without_it_refuses_it_by_name(monkeypatch, tmp_path, name):
    before = describe()
    monkeypatch.setenv(name, "1")
    now = describe()
    assert now == {**before, "switches": {name: "1"}}
    assert f": switches.{name}=not set (run), switches.{name}=1 (now). " in refusal(tmp_path, before, now)


@pytest.mark.parametrize("name", FIELDS)
def test_a_compared_field_is_refused_by_name_if_it_differs_or_was_not_recorded(tmp_path, name):
    now, part = describe(), {"packages": "tensorflow", "data": "digits"}.get(name)
    changed = {**now, name: {**now[name], part: "other"} if part else "other"}
    shown = f"{name}.{part}" if part else name
    assert f": {shown}=other (run), " in refusal(tmp_path / "a", changed, now)
    older = {field: value for field, value in now.items() if field != name}
    assert f"{shown}=not recorded (run), " in refusal(tmp_path / "b", older, now)


@pytest.mark.parametrize("name", [name for name in HARMLESS if name.isupper()])
def test_a_variable_without_influence_is_not_compared(monkeypatch, name):
    before = describe()
    monkeypatch.setenv(name, "1")
    assert describe() == before


def test_the_description_of_an_environment_holds_everything_that_can_change_a_result():
    described = describe("mirrored")
    extensions, caches, devices = (described.pop(name) for name in ("vector_extensions", "caches", "devices"))
    assert described == {
        "tf_lottery": tf_lottery.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "keras_flavour": "legacy" if keras_compat.LEGACY else "keras 3",
        "strategy": "mirrored",
        "replicas": 1,
        "packages": {
            "tensorflow": tf.__version__,
            **{name: importlib.metadata.version(name) for name in ("numpy", "scipy", "keras", "tf-keras", "ml-dtypes")},
        },
        "data": {"digits": "a1"},
        "switches": {},
    }
    assert set(extensions.split()) <= set(environment._EXTENSIONS)
    assert re.fullmatch(r"(L\d \d+[KM](, )?)*", caches)
    assert "CPU" in devices


def test_an_environment_has_one_description_which_survives_a_file():
    described = describe()
    assert describe() == described
    assert json.loads(json.dumps(described)) == described


@pytest.mark.parametrize("name", ["XLA_FLAGS", "TF_XLA_FLAGS"])
def test_of_a_file_with_flags_its_flags_are_recorded(monkeypatch, tmp_path, name):
    (tmp_path / "flags").write_text("--first=1\n --second=2\n")
    monkeypatch.setenv(name, str(tmp_path / "flags"))
    assert describe()["switches"] == {name: "--first=1 --second=2"}
    monkeypatch.setenv(name, " --first=1")
    assert describe()["switches"] == {name: "--first=1"}


def test_other_variables_of_the_environment_are_not_recorded(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    assert "hunter2" not in json.dumps(describe())


def test_nothing_names_a_person_or_a_machine():
    text = json.dumps(describe())
    for name in (platform.node(), getpass.getuser(), str(Path.home()), os.getcwd()):
        assert f'"{name}"' not in text
        assert f"{name}/" not in text


def test_the_replicas_of_the_strategy_are_counted(monkeypatch):
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: types.SimpleNamespace(num_replicas_in_sync=4))
    assert describe("mirrored")["replicas"] == 4


def test_a_gpu_is_recorded_with_its_model_and_the_versions_of_its_libraries(monkeypatch):
    devices = [tf.config.PhysicalDevice("/cpu:0", "CPU"), tf.config.PhysicalDevice("/gpu:0", "GPU")]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda: devices)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: {"device_name": "NVIDIA H100"})
    installed = [types.SimpleNamespace(name=name) for name in ("nvidia-cudnn-cu12", "rich", None)]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: installed)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"version of {name}")
    described = describe()
    assert described["devices"] == ["CPU", "GPU NVIDIA H100"]
    assert described["packages"]["nvidia-cudnn-cu12"] == "version of nvidia-cudnn-cu12"
    assert "rich" not in described["packages"]


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu sse2 fma avx avx2 avx512f bogus\nbugs\t: x\n", "avx avx2 fma avx512f"),
        ("processor\t: 0\nFeatures\t: fp asimd sve bf16\nCPU part\t: x\n", "asimd sve bf16"),
        ("processor\t: 0\nBogoMIPS\t: 50\n", ""),
        (None, ""),
    ],
)
def test_vector_extensions_are_those_that_libraries_use(monkeypatch, tmp_path, cpuinfo, expected):
    monkeypatch.setattr(environment, "_CPU", tmp_path / "cpuinfo")
    if cpuinfo:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert environment._vector_extensions() == expected


def test_caches_are_listed_by_level_without_those_of_instructions(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "_CACHES", tmp_path)
    assert environment._caches() == ""
    for index, (level, kind, size) in enumerate(
        [(2, "Unified", "1024K"), (1, "Instruction", "64K"), (1, "Data", "32K")]
    ):
        (folder := tmp_path / f"index{index}").mkdir()
        for name, value in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(f"{value}\n")
    assert environment._caches() == "L1 32K, L2 1024K"
    (tmp_path / "index2/size").unlink()
    assert environment._caches() == ""


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


def test_a_field_that_older_versions_did_not_record_is_not_recorded():
    assert environment.differences([FIRST, {**FIRST, "libc": "glibc 2.x"}]) == {"libc": ["not recorded", "glibc 2.x"]}


def test_the_order_of_fields_does_not_matter():
    assert environment.differences([FIRST, dict(reversed(FIRST.items()))]) == {}
