"""The wheel and the source archive: what is in them, and that the wheel works where nothing else of ours is."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import tf_lottery
from tf_lottery import keras_compat

pytestmark = pytest.mark.skipif(keras_compat.LEGACY, reason="what is packed is the same for both")
ROOT = Path(__file__).parents[1]
PROGRAM = """
import keras
import numpy as np
import tf_lottery as tfl

print(tfl.__file__)
assert all(getattr(tfl, name) is not None for name in tfl.__all__)
digits = tfl.data.load("digits")
model = tfl.make_prunable(keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]))
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
tickets = tfl.callbacks.LotteryTicket(levels=1, fraction=0.5, epochs_per_level=1)
model.fit(digits.train.x, digits.train.y, epochs=tickets.total_epochs, callbacks=[tickets], verbose=0)
assert tickets.to_frame()["density"].tolist() == [1.0, 0.5]
"""
EXPERIMENT = """
import sys
import tf_lottery as tfl
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.smoke import smoke
from tf_lottery.report import page

if __name__ == "__main__":
    print(tfl.__file__)
    run = tfl.find_tickets(smoke(Experiment()), "run", jobs=1)
    print(page.write(run))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with both, made of a copy of what is under version control or about to be."""
    folder = tmp_path_factory.mktemp("dist")
    source = tmp_path_factory.mktemp("source")
    listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file() and not name.startswith("docs/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source)
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def python(built, tmp_path_factory):
    """An interpreter that has the wheel, and what it needs, but nothing of this repository."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=False)
    inside = sysconfig.get_path("purelib", vars={"base": str(folder)})
    (wheel,) = built.glob("*.whl")
    install = ("install", "--quiet", "--no-deps", "--no-index", "--target", inside, wheel)
    subprocess.run((sys.executable, "-m", "pip", "--disable-pip-version-check", *install), check=True)
    Path(inside, "needed.pth").write_text(sysconfig.get_path("purelib"))  # a .pth in there is not looked at
    return folder / "bin" / "python"


def run(python, program, folder):
    (script := folder / "program.py").write_text(program)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run((python, script), cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.nightly
def test_the_wheel_has_the_package_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    assert wheel.name == f"tf_lottery-{tf_lottery.__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    of_package = {str(path.relative_to(ROOT)) for path in ROOT.glob("tf_lottery/**/*.py")}
    of_package |= {"tf_lottery/py.typed", "tf_lottery/report/page.html"}
    assert {name for name in names if ".dist-info/" not in name} == of_package


@pytest.mark.nightly
def test_the_source_archive_has_what_builds_and_licenses_it(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "tf_lottery/__init__.py", "tf_lottery/report/page.html"} <= names


@pytest.mark.nightly
def test_the_wheel_finds_tickets_in_an_empty_environment(python, tmp_path):
    result = run(python, PROGRAM, tmp_path)
    assert result.returncode == 0, result.stderr
    assert str(python.parents[1]) in result.stdout


@pytest.mark.nightly
def test_the_wheel_does_a_whole_experiment_in_an_empty_environment(python, tmp_path):
    result = run(python, EXPERIMENT, tmp_path)
    assert result.returncode == 0, result.stderr
    assert str(python.parents[1]) in result.stdout
    assert (tmp_path / "run/report/index.html").exists()


def test_the_version_is_told_in_one_place():
    assert f"\nversion: {tf_lottery.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    is_released = ".dev" not in tf_lottery.__version__
    heading = (
        f"\n## {tf_lottery.__version__} - " if is_released else f"\n## Unreleased\n\nVersion {tf_lottery.__version__}."
    )
    assert heading in (ROOT / "CHANGELOG.md").read_text()
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]
