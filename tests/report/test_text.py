import fakes
import pandas as pd
import pytest

from tf_lottery.experiment import environment, open_run
from tf_lottery.report import analysis, text


def frame(tmp_path, **settings):
    return analysis.rows(fakes.run(tmp_path / "run", **settings))


def test_the_table_has_a_line_a_level_with_mean_and_range(tmp_path):
    accuracies = {1: 0.8, 2: 0.9, 3: 1.0}
    table = text.table(frame(tmp_path, results=lambda unit: (accuracies[unit.replicate], 100 * unit.replicate)))
    assert table["", "level"].tolist() == ["0", "1", "2"]
    assert table["", "density"].tolist() == ["100.0%", "80.0%", "64.0%"]
    assert table["", "verdict"].tolist() == ["dense", "winning", "winning"]
    assert table["test accuracy (%)", "ticket"].tolist() == ["90.00 [80.00–100.00]"] * 3
    assert table["test accuracy (%)", "random mask"].tolist()[0] == ""
    assert table["early-stop step", "reinit"].tolist()[1] == "200 [100–300]"


def test_a_run_without_controls_has_no_columns_for_them(tmp_path):
    table = text.table(frame(tmp_path, config=fakes.experiment(controls=())))
    assert [name for _, name in table] == ["level", "density", "verdict", "ticket", "ticket"]


def test_the_headline_names_the_sparsest_winning_level_beside_the_controls(tmp_path):
    def results(unit):
        return (0.5 if unit.control or unit.level == 2 else 0.9), 100

    headline = text.headline(frame(tmp_path, results=results))
    assert headline == (
        "The sparsest winning tickets keep 80.0% of the weights (level 1): test accuracy 90.00% at step 100; "
        "dense 90.00% at 100, random mask 50.00% at 100, reinit 50.00% at 100."
    )


def test_no_winning_level_is_said_too(tmp_path):
    assert text.headline(frame(tmp_path, config=fakes.experiment(replicates=2))) == (
        "No level is shown to be a winning ticket (2 replicates)."
    )


def test_one_finished_dense_network_is_enough_for_a_table(tmp_path):
    run = open_run.open_run(tmp_path / "run", fakes.experiment(), {})
    fakes.save(run, fakes.unit(1, 0))
    rows = analysis.rows(run)
    assert text.table(rows)["", "verdict"].tolist() == ["dense"]
    assert "No level" in text.headline(rows)


def test_the_description_says_what_was_run():
    assert text.description(fakes.experiment()) == (
        "lenet_300_100 on digits: 3 replicates, 2 levels of 20% (global, magnitude), "
        "10000it a training, rewound to 0it."
    )
    config = fakes.experiment(replicates=1)
    config.data.synthetic = True
    sweep = fakes.experiment(variants=("k=0:", "k=60: prune.rewind_to=60it"))
    assert text.description(sweep) == (
        "lenet_300_100 on digits: 3 replicates, 2 levels of 20% (global, magnitude), 10000it a training. "
        "Variants: k=0:; k=60: prune.rewind_to=60it."
    )
    assert text.description(config).startswith("lenet_300_100 on noise in the shape of digits: 1 replicate, 2 levels")


FIRST, SECOND = {"python": "3.12", "packages": {"numpy": "1.0"}}, {"python": "3.12", "packages": {"numpy": "2.0"}}
THIRD = {"python": "3.13", "packages": {"numpy": "2.0"}, "switches": {"XLA_FLAGS": "--fast"}}


@pytest.mark.parametrize(
    ("environments", "expected"),
    [
        ([], ""),
        ([FIRST], ""),
        (
            [FIRST, SECOND],
            "Not bit-exact: the run went on in another environment: packages.numpy=1.0, then 2.0.",
        ),
        (
            [FIRST, SECOND, THIRD],
            "Not bit-exact: the run went on in another environment: python=3.12, then 3.13; "
            "packages.numpy=1.0, then 2.0; switches.XLA_FLAGS=not set, then --fast.",
        ),
        (
            [environment.DAMAGED],
            "Perhaps not bit-exact: the record of the environment that the run was made in is damaged.",
        ),
        (
            [environment.DAMAGED, FIRST],
            "Not bit-exact: the run went on in another environment: the record of the one before is damaged.",
        ),
        (
            [environment.DAMAGED, FIRST, SECOND],
            "Not bit-exact: the run went on in another environment: the record of the one before is damaged; "
            "packages.numpy=1.0, then 2.0.",
        ),
    ],
)
def test_a_run_that_met_several_environments_is_not_bit_exact(environments, expected):
    assert text.exactness(environments) == expected


def test_dense_networks_are_compared_by_variant_on_validation_and_test_sets():
    frame = pd.DataFrame(
        {
            "variant": ["low", "low", "high", "high"],
            "level": [0, 0, 0, 1],
            "validation_accuracy": [0.8, 0.9, 0.7, 0.1],
            "test_accuracy": [0.6, 0.8, 0.5, 0.1],
        }
    )
    assert text.dense_networks(frame).to_numpy().tolist() == [
        ["low", "85.00 [80.00–90.00]", "70.00 [60.00–80.00]"],
        ["high", "70.00 [70.00–70.00]", "50.00 [50.00–50.00]"],
    ]


def test_forms_are_shown_in_bytes_shares_and_milliseconds():
    table = text.forms(
        pd.DataFrame(
            {
                "form": ["dense", "dense, gzip"],
                "bytes": [1_234_567, 617_284],
                "share": [1.0, 0.50001],
                "parameters": [266_610, None],
                "multiply_adds": [266_200, None],
                "latency_1": [0.0012345, None],
                "latency_64": [0.01, None],
            }
        )
    )
    assert table.columns.tolist() == [
        *("form", "bytes", "of dense", "parameters", "multiply-adds", "ms, batch 1", "ms, batch 64"),
    ]
    assert table.iloc[0].tolist() == ["dense", "1,234,567", "100.0%", "266,610", "266,200", "1.234", "10.000"]
    assert table.iloc[1].tolist() == ["dense, gzip", "617,284", "50.0%", "", "", "", ""]
