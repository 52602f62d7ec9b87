import fakes
import pytest

from tf_lottery.experiment import environment, open_run
from tf_lottery.report import results, tables, text


def frame(tmp_path, **settings):
    return results.rows(fakes.run(tmp_path / "run", **settings))


def test_the_headline_names_the_sparsest_winning_level_beside_the_controls(tmp_path):
    def result(unit):
        return (0.5 if unit.control or unit.level == 2 else 0.9), 100

    headline = text.headline(frame(tmp_path, results=result))
    assert headline == (
        "The sparsest winning tickets keep 80.0% of the weights (level 1): test accuracy 90.00% at step 100; "
        "dense 90.00% at 100, random mask 50.00% at 100, reinit 50.00% at 100."
    )


def test_the_headline_says_if_no_level_wins(tmp_path):
    assert text.headline(frame(tmp_path, config=fakes.experiment(replicates=2))) == (
        "No level is shown to be a winning ticket (2 replicates)."
    )


def test_one_finished_dense_network_is_enough_for_a_table(tmp_path):
    run = open_run.open_run(tmp_path / "run", fakes.experiment(), {})
    fakes.save(run, fakes.unit(1, 0))
    rows = results.rows(run)
    assert tables.levels(rows)["", "verdict"].tolist() == ["dense"]
    assert "No level" in text.headline(rows)


def test_the_description_says_what_was_run():
    assert text.description(fakes.experiment()) == (
        "lenet_300_100 on digits: 3 replicates, 2 levels of 20% (global, magnitude), "
        "trained for 10000it, rewound to 0it."
    )
    config = fakes.experiment(replicates=1)
    config.data.synthetic = True
    sweep = fakes.experiment(variants={"k=0": {}, "k=60": {"prune.rewind_to": "60it"}})
    assert text.description(sweep) == (
        "lenet_300_100 on digits: 3 replicates, 2 levels of 20% (global, magnitude), trained for 10000it. "
        "Variants: k=0; k=60 (prune.rewind_to=60it)."
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
            "Not bit-exact: the run was resumed in another environment: packages.numpy=1.0, then 2.0.",
        ),
        (
            [FIRST, SECOND, THIRD],
            "Not bit-exact: the run was resumed in another environment: python=3.12, then 3.13; "
            "packages.numpy=1.0, then 2.0; switches.XLA_FLAGS=not set, then --fast.",
        ),
        (
            [environment.DAMAGED],
            "Perhaps not bit-exact: the record of the environment of this run is damaged.",
        ),
        (
            [environment.DAMAGED, FIRST],
            "Not bit-exact: the run was resumed in another environment: the record of the one before is damaged.",
        ),
        (
            [environment.DAMAGED, FIRST, SECOND],
            "Not bit-exact: the run was resumed in another environment: the record of the one before is damaged; "
            "packages.numpy=1.0, then 2.0.",
        ),
    ],
)
def test_a_run_that_met_several_environments_is_not_bit_exact(environments, expected):
    assert text.exactness(environments) == expected
