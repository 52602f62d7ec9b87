"""What the README and the config headers say is so."""

import importlib.util
import re
from pathlib import Path

import fakes
import pandas as pd
import pytest
import tiny
from tiers import nightly, slow

from tf_lottery import data, keras_compat, models
from tf_lottery.experiment import open_run
from tf_lottery.experiment.storage import Unit
from tf_lottery.experiment.validation import check
from tf_lottery.masking import conversion, model_masks, state
from tf_lottery.masking.ticket import Ticket
from tf_lottery.report import tables

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def example(word):
    """The one Python block of the README that holds `word`, for the Keras in use."""
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if word in code]
    return code.replace("import keras\n", "import tf_keras as keras\n") if keras_compat.LEGACY else code


def run(code):
    exec(compile(code, "README.md", "exec"), names := {})
    return names


@pytest.mark.parametrize("levels", [slow(2), nightly(6)])
def test_the_library_example_finds_tickets_and_compares_them(capsys, tmp_path, monkeypatch, levels):
    monkeypatch.chdir(tmp_path)
    code = example("LotteryTicket")
    assert "levels=6," in code
    names = run(code.replace("levels=6,", f"levels={levels},"))
    frame = names["tickets"].to_frame()
    assert frame["density"].tolist() == pytest.approx([0.6**level for level in range(levels + 1)], abs=1e-4)
    assert frame["val_accuracy"][0] > 0.9
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[-3:]]
    assert [line[0] for line in lines] == ["ticket", "random_mask", "reinit"]
    assert len({density for _, _, density, *_ in lines}) == 1
    assert keras_compat.keras.models.load_model("ticket.keras").count_params() == 50_610  # no masks


def test_the_config_example_is_a_possible_experiment():
    check(run(example("get_config"))["get_config"]())


def test_the_example_of_a_sweep_is_a_possible_experiment():
    check(run(example("variants="))["sweep"])


def test_the_way_from_a_run_back_to_keras_leads_to_the_stored_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = fakes.experiment(replicates=1)
    stored = open_run.open_run("runs/digits_lenet", config, {})
    model = conversion.make_prunable(models.build("lenet_300_100", (8, 8, 1), 10))
    model_masks.set_masks(model, tiny.half_masks(model))
    weights = state.weights(model)
    fakes.save(stored, Unit(1, 2), ticket=Ticket(model_masks.get_masks(model), {"rewind": weights, "final": weights}))
    run(example("load_network"))
    plain = keras_compat.keras.models.load_model("ticket.keras")
    images = data.load("digits").test.x
    assert (plain.predict(images, verbose=0) == model.predict(images, verbose=0)).all()


def test_the_figures_of_a_config_are_those_of_its_run():
    name = "fashion_resnet"
    spec = importlib.util.spec_from_file_location(name, ROOT / f"configs/{name}.py")
    spec.loader.exec_module(config := importlib.util.module_from_spec(spec))
    table = tables.levels(pd.read_csv(ROOT / f"docs/{name}.csv"))
    accuracy, steps = table["test accuracy (%)"], table["early-stop step"]
    stated = re.findall(r"^ +([\d.]+%) +(\d.*)$", config.__doc__, re.MULTILINE)
    assert len(stated) == 6
    for density, figures in stated:
        (row,) = table.index[table["", "density"] == density]
        seen = [cell.replace("–", "-") for cell in accuracy.loc[row] if cell]
        seen += [cell.split()[0] for cell in steps.loc[row] if cell]
        assert re.split(r"  +", figures.strip()) == seen
    assert not (table["", "verdict"] == "winning").any()
