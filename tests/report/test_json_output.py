"""The JSON output of commands."""

import csv
import dataclasses
import math
import re
from pathlib import Path

import fakes
import numpy as np
import pandas as pd
import pytest

from tf_lottery.experiment import open_run
from tf_lottery.experiment.storage import Unit
from tf_lottery.report import json_output, overview, page

FIELDS = [
    *("variant", "level", "branch", "replicates", "density", "verdict"),
    *("early_stop_test_accuracy_mean", "early_stop_test_accuracy_min", "early_stop_test_accuracy_max"),
    *("early_stop_step_mean", "early_stop_step_min", "early_stop_step_max"),
    *("test_accuracy_mean", "test_accuracy_min", "test_accuracy_max"),
]

pytestmark = pytest.mark.usefixtures("undrawn")


def results(unit):
    return 0.9 + 0.01 * unit.replicate - 0.02 * bool(unit.control), 100 - 10 * unit.level


def test_the_output_of_a_report_has_an_entry_per_level_and_branch(tmp_path):
    run = fakes.run(tmp_path / "run", results=results)
    path = page.write(run)
    answer = json_output.of_report(run, path)
    assert {name: value for name, value in answer.items() if name != "levels"} == {
        "run_dir": run.path,
        "report": path,
        "trainings_done": 21,
        "trainings_total": 21,
        "bit_exact": True,
    }
    assert all(list(level) == FIELDS for level in answer["levels"])
    places = [(level["branch"], level["level"]) for level in answer["levels"]]
    controls = [(control, level) for control in ("random_mask", "reinit") for level in (1, 2)]
    assert sorted(places) == sorted([("ticket", 0), ("ticket", 1), ("ticket", 2), *controls])
    (found,) = [level for level in answer["levels"] if (level["branch"], level["level"]) == ("ticket", 2)]
    assert (found["replicates"], found["verdict"], found["density"]) == (3, "winning", pytest.approx(0.64))
    assert found["early_stop_step_mean"] == 80
    assert [found[f"test_accuracy_{name}"] for name in ("mean", "min", "max")] == pytest.approx([0.92, 0.91, 0.93])


def test_its_numbers_are_those_of_the_table_beside_the_page(tmp_path):
    run = fakes.sweep(tmp_path / "run", fakes.sweep_of(replicates=2))
    path = page.write(run)
    with path.with_name("tickets.csv").open() as file:
        rows = list(csv.DictReader(file))
    for level in json_output.of_report(run, path)["levels"]:
        place = (level["variant"], str(level["level"]), level["branch"])
        found = [
            float(row["early_stop_test_accuracy"])
            for row in rows
            if (row["variant"], row["level"], row["branch"]) == place
        ]
        assert len(found) == level["replicates"] == 2
        assert level["early_stop_test_accuracy_mean"] == pytest.approx(math.fsum(found) / 2)
        assert (level["early_stop_test_accuracy_min"], level["early_stop_test_accuracy_max"]) == (
            min(found),
            max(found),
        )


def test_a_run_that_is_not_bit_exact_or_not_finished_says_so(tmp_path):
    run = open_run.open_run(tmp_path / "run", fakes.experiment(), fakes.ENVIRONMENT)
    fakes.save(run, fakes.unit())
    open_run.open_run(run.path, run.config, {"python": "4.x", "packages": {"keras": "3.x"}}, any_environment=True)
    answer = json_output.of_report(run, page.write(run))
    assert (answer["bit_exact"], answer["trainings_done"], answer["trainings_total"]) == (False, 1, 21)


def test_a_run_has_its_status_with_null_for_what_is_unknown(tmp_path):
    run = open_run.open_run(
        tmp_path,
        fakes.experiment(train=dataclasses.replace(fakes.experiment().train, steps="2ep")),
        {},
    )
    assert json_output.of_run(overview.read(run)) == {
        "run_dir": tmp_path,
        "model": "lenet_300_100",
        "data": "digits",
        "state": "stopped",
        "processes": [],
        "trainings_done": 0,
        "trainings_total": 21,
        "steps_done": None,
        "steps_total": None,
        "seconds_left": None,
        "faults": [],
    }


def test_each_unit_has_its_status_and_results(tmp_path):
    run = open_run.open_run(tmp_path, fakes.experiment(), {})
    fakes.save(run, fakes.unit(2), seconds=60)
    run.save_checkpoint(fakes.unit(3), 100, fakes.TICKET)
    found = {status.unit: json_output.of_unit(status) for status in overview.read(run).units}
    unknown = dict.fromkeys(
        ("density", "early_stop_test_accuracy", "early_stop_step", "test_accuracy", "seconds", "fault")
    )
    place = {"level": 0, "control": "", "variant": "", "shuffle_seed": 0}
    assert found[Unit(1, 0)] == {"replicate": 1, **place, "state": "waiting", "step": None, **unknown}
    assert found[Unit(3, 0)] == {"replicate": 3, **place, "state": "under way", "step": 100, **unknown}
    reached = {"density": 1.0, "early_stop_test_accuracy": 0.9, "early_stop_step": 100, "test_accuracy": 0.9}
    assert found[Unit(2, 0)] == {
        **{"replicate": 2, **place, "state": "done", "step": None},
        **{**reached, "seconds": 60, "fault": None},
    }


def test_files_are_counted_and_the_damaged_ones_named(tmp_path):
    run = fakes.run(tmp_path, fakes.experiment(replicates=1, controls=()))
    faults = [(Path("a"), ""), (Path("b"), "b is damaged")]
    assert json_output.of_files(run, faults) == {
        "run_dir": tmp_path,
        "files": 2,
        "damaged": [{"path": Path("b"), "fault": "b is damaged"}],
    }


def test_formats_have_whole_numbers_where_things_are_counted():
    frame = pd.DataFrame({"format": ["dense", "LiteRT"], "bytes": [1024.0, np.nan], "latency_1": [0.001, np.nan]})
    dense, lite = json_output.of_formats(frame)
    assert dense == {"format": "dense", "bytes": 1024, "latency_1": 0.001}
    assert type(dense["bytes"]) is int
    assert math.isnan(lite["bytes"])


@pytest.mark.parametrize("script", ["report", "runs", "export"])
def test_help_tells_of_every_field(tmp_path, script):
    run = fakes.run(tmp_path / "run", fakes.experiment(replicates=1))
    found = overview.read(run)
    fields = {
        "report": {*json_output.of_report(run, page.write(run)), *FIELDS[:6]},
        "runs": {
            *json_output.of_run(found),
            *json_output.of_unit(found.units[0]),
            *json_output.of_files(run, []),
        },
        "export": {
            *json_output.of_export(run, Unit(1, 1), format_name="keras", path=Path("a"), size=1, density=0.8),
            "formats",
        },
    }[script]
    text = (Path(__file__).parents[2] / f"scripts/{script}.py").read_text().split('"""')[1]
    assert {field for field in fields if not re.search(rf"\b{field}\b", text)} == set()
