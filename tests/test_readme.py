"""What the README and the config headers say is so."""

import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest
import tiny  # noqa: F401  (configures the process before TensorFlow starts)

from tf_lottery import keras_api
from tf_lottery.report import text

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_library_example_runs_and_prunes_a_fifth_of_what_is_left(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    if keras_api.LEGACY:
        example = example.replace("import keras\n", "import tf_keras as keras\n")
    exec(compile(example, "README.md", "exec"), {})
    lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert [int(level) for level, *_ in lines] == [0, 1, 2, 3, 4, 5]
    assert [float(density) for _, density, _ in lines] == pytest.approx([0.8**level for level in range(6)], abs=1e-4)
    assert all(float(scores.strip("[]").split()[-1]) > 0.85 for *_, scores in lines)


def test_every_local_link_leads_somewhere():
    for page in (README, (ROOT / "CONTRIBUTING.md").read_text()):
        for target in re.findall(r"\]\(((?!http)[^)]+)\)", page):
            assert (ROOT / target).exists(), target


def test_every_script_and_config_that_is_named_exists():
    for page in ("README.md", "CONTRIBUTING.md"):
        for path in re.findall(r"\b(?:scripts|configs)/\w+\.(?:py|sh)\b", (ROOT / page).read_text()):
            assert (ROOT / path).exists(), path


def test_the_figures_of_the_fashion_config_are_those_of_its_runs():
    spec = importlib.util.spec_from_file_location("fashion_lenet", ROOT / "configs/fashion_lenet.py")
    spec.loader.exec_module(config := importlib.util.module_from_spec(spec))
    table = text.table(pd.read_csv(ROOT / "docs/fashion_lenet.csv"))
    accuracy, steps = table["test accuracy (%)"], table["early-stop step"]
    stated = re.findall(r"^ +([\d.]+%) +(\d.*)$", config.__doc__, re.MULTILINE)
    assert len(stated) >= 7
    for density, figures in stated:
        (row,) = table.index[table["", "density"] == density]
        seen = [cell.replace("–", "-") for cell in accuracy.loc[row] if cell]
        seen += [cell.split()[0] for cell in steps.loc[row] if cell]
        assert re.split(r"  +", figures.strip()) == seen
    winning = table[table["", "verdict"] == "winning"]["", "level"].astype(int).tolist()
    assert winning == list(range(3, 13))


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.py")), ids=lambda path: path.stem)
def test_every_config_is_a_possible_experiment_and_states_its_command(path):
    from tf_lottery.experiment.config import check

    spec = importlib.util.spec_from_file_location(path.stem, path)
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    check(module.get_config())
    assert f"--config=configs/{path.name}" in module.__doc__
