"""The tutorials run as scripts, at a small size; their notebooks are these scripts, executed at full size."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

from tf_lottery import keras_compat

FOLDER = Path(__file__).parents[1] / "docs/tutorials"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.name != "build.py")
MOST_BYTES = 500_000

# What decides how long a tutorial takes: constants of its first code cell, and what stands in their place here.
SMALL = {
    "from_tfmot": {"LEVELS": 1, "EPOCHS": 3, "SEEDS": (1,)},
    "papers_figure": {"LEVELS": 1, "MORE_LEVELS": 2, "REPLICATES": 1, "STEPS": "20it"},
    "scale_out": {"LEVELS": 1, "STEPS": "40it", "CHECKPOINT_EVERY": "10it"},
    "ship_it_small": {"LEVELS": 1, "EPOCHS": 3, "ALPHA": 0.25, "ROUNDS": 2},
    "your_own_model": {"LEVELS": 1, "EPOCHS": 3, "REWIND_EPOCHS": 1, "SEEDS": (1, 2)},
    "your_own_plugins": {"LEVELS": 1, "EPOCHS": 2, "STEPS": "20it", "REPLICATES": 1},
}
LEGACY_ONLY = {"from_tfmot"}  # tfmot wraps models of legacy Keras only
KERAS_3_ONLY = {"papers_figure", "scale_out", "ship_it_small"}  # other tests of the same code run on both


def script(name):
    return (FOLDER / f"{name}.py").read_text()


def cells(name, kind):
    return [cell for cell in nbformat.read(FOLDER / f"{name}.ipynb", 4).cells if cell.cell_type == kind]


def small(name):
    """The script with its small constants, for the Keras in use."""
    code = script(name)
    for constant, value in SMALL[name].items():
        code = re.sub(rf"^{constant} = .*?(?=  #|$)", f"{constant} = {value!r}", code, flags=re.MULTILINE)
    return (
        re.sub("^import keras$", "import tf_keras as keras", code, flags=re.MULTILINE) if keras_compat.LEGACY else code
    )


def test_every_tutorial_has_small_sizes_and_only_those_there_are():
    assert sorted(SMALL) == NAMES


def test_sizes_are_constants_of_the_first_code_cell_and_stand_there_once():
    for name in NAMES:
        code = (cell.source for cell in jupytext.reads(script(name), "py:percent").cells if cell.cell_type == "code")
        first = next(code)
        for constant in SMALL[name]:
            line = re.compile(rf"^{constant} = ", re.MULTILINE)
            assert len(line.findall(first)) == len(line.findall(script(name))) == 1, (name, constant)


@pytest.mark.nightly
@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_runs_to_its_end_and_warns_of_nothing(name, tmp_path):
    if name in (KERAS_3_ONLY if keras_compat.LEGACY else LEGACY_ONLY):
        pytest.skip(f"it is for {'Keras 3' if keras_compat.LEGACY else 'legacy Keras'} only")
    (tmp_path / f"{name}.py").write_text(small(name))
    environment = os.environ | {"MPLBACKEND": "agg"}
    environment.pop("DISPLAY", None)  # where there is one, agg would warn that it shows nothing
    done = subprocess.run(
        [sys.executable, f"{name}.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


def test_notebooks_have_the_cells_of_their_scripts():
    for name in NAMES:
        ours = jupytext.reads(script(name), "py:percent").cells
        theirs = nbformat.read(FOLDER / f"{name}.ipynb", 4).cells
        assert [(cell.cell_type, cell.source) for cell in theirs] == [(cell.cell_type, cell.source) for cell in ours]


def test_notebooks_were_executed_from_their_first_cell_to_their_last():
    counts = {name: [cell.execution_count for cell in cells(name, "code")] for name in NAMES}
    assert counts == {name: [*range(1, len(count) + 1)] for name, count in counts.items()}


def test_notebooks_show_neither_errors_nor_warnings_nor_places_of_a_machine():
    for output in (output for name in NAMES for cell in cells(name, "code") for output in cell.outputs):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text
        text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
        assert "\x1b" not in text  # colours and moving bars of a terminal
        assert not re.search(r"(?<![\w.:/])/(?:home|root|tmp|work|usr)/", text), text


def test_notebooks_are_small():
    assert [name for name in NAMES if (FOLDER / f"{name}.ipynb").stat().st_size >= MOST_BYTES] == []


def test_every_local_link_leads_somewhere():
    for name in NAMES:
        text = "\n".join(cell.source for cell in jupytext.reads(script(name), "py:percent").cells)
        links = re.findall(r"\]\(((?!http|#)[^)]+)\)", text)
        assert [target for target in links if not (FOLDER / target).exists()] == []


def test_the_list_of_tutorials_names_each():
    text = (FOLDER / "README.md").read_text()
    assert [name for name in NAMES if f"({name}.ipynb)" not in text] == []
