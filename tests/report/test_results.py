import shutil

import fakes
import pandas as pd
import pytest

from tf_lottery.experiment import backups, environment, open_run
from tf_lottery.experiment.config import Prune
from tf_lottery.report import results

DENSE = (0.90, 100)


def verdict(tmp_path, *tickets):
    """Return the verdict on level 1 if its replicates reach these (accuracy, step), and every dense network DENSE."""
    config = fakes.experiment(replicates=len(tickets))
    run = fakes.run(tmp_path / "run", config, lambda unit: tickets[unit.replicate - 1] if unit.level == 1 else DENSE)
    return results.verdicts(results.rows(run))[1]


@pytest.mark.parametrize(
    ("tickets", "expected"),
    [
        ([(0.90, 100), (0.91, 100), (0.90, 90)], "winning"),
        ([(0.95, 50), (0.95, 50), (0.8999, 50)], "not shown"),
        ([(0.95, 50), (0.95, 50), (0.95, 101)], "not shown"),
        ([(0.89, 50), (0.89, 50), (0.89, 50)], "less accurate"),
        ([(0.95, 101), (0.95, 200), (0.95, 101)], "later"),
        ([(0.89, 101), (0.89, 200), (0.89, 101)], "less accurate"),
        ([(0.89, 101), (0.91, 101), (0.89, 99)], "not shown"),
        ([(0.95, 50), (0.95, 50)], "not shown"),
    ],
)
def test_a_verdict_needs_every_replicate_and_at_least_three(tmp_path, tickets, expected):
    assert verdict(tmp_path, *tickets) == expected


def test_each_ticket_is_compared_with_the_dense_network_of_its_own_replicate(tmp_path):
    accuracies = {1: 0.8, 2: 0.9, 3: 1.0}
    run = fakes.run(tmp_path / "run", results=lambda unit: (accuracies[unit.replicate], 100))
    assert results.verdicts(results.rows(run)).tolist() == ["winning", "winning"]


def test_there_is_a_row_per_unit_with_a_column_per_weight(tmp_path):
    frame = results.rows(fakes.run(tmp_path / "run"))
    assert len(frame) == 3 * 3 + 3 * 2 * 2
    assert frame.branch.value_counts().to_dict() == {"ticket": 9, "random_mask": 6, "reinit": 6}
    last = frame[(frame.branch == "ticket") & (frame.level == 2)].iloc[0]
    assert last["density:output/kernel"] == pytest.approx(0.81)
    assert not any("sha256" in column for column in frame)


def test_rows_of_an_unfinished_run_are_those_that_are_done(tmp_path):
    run = open_run.open_run(tmp_path / "run", fakes.experiment(), {})
    assert results.rows(run).empty
    fakes.save(run, fakes.unit(2, 0))
    assert results.rows(run)[["replicate", "level"]].to_numpy().tolist() == [[2, 0]]


def test_a_replicate_whose_dense_network_is_missing_gives_no_verdict(tmp_path):
    run = open_run.open_run(tmp_path / "run", fakes.experiment(), {})
    for replicate, level in [(1, 0), (1, 1), (2, 0)]:
        fakes.save(run, fakes.unit(replicate, level))
    assert results.verdicts(results.rows(run)).to_dict() == {1: "not shown"}


def test_units_without_their_dense_network_or_ticket_are_left_out(tmp_path):
    run = fakes.run(tmp_path / "run")
    shutil.rmtree(run.path / "replicate_2/level_00")
    shutil.rmtree(run.path / "replicate_1/level_01")
    frame = results.rows(run)
    assert set(frame.replicate) == {1, 3}
    assert set(frame[frame.replicate == 1].level) == {0, 2}
    assert results.verdicts(frame).to_dict() == {1: "not shown", 2: "not shown"}


def test_the_spread_is_mean_min_max_and_count(tmp_path):
    accuracies = {1: 0.8, 2: 0.9, 3: 1.0}
    run = fakes.run(tmp_path / "run", results=lambda unit: (accuracies[unit.replicate], 100 * unit.replicate))
    summary = results.spread(results.rows(run))
    assert summary.loc[("reinit", 2), "early_stop_test_accuracy"].round(6).tolist() == [0.9, 0.8, 1.0, 3]
    assert summary.loc[("ticket", 0), ("early_stop_step", "max")] == 300
    assert isinstance(summary.index, pd.MultiIndex)


def test_the_environments_of_a_run_are_known_or_damaged(tmp_path):
    run = fakes.run(tmp_path / "run")
    assert results.environments(run) == [fakes.ENVIRONMENT]
    for path in backups.paths(run.path, "environment"):
        path.write_text("{}")
    assert results.environments(run) == [environment.DAMAGED]


def steps(tmp_path, variants, prune=None, **changes):
    config = fakes.sweep_of(variants, replicates=1, **({"prune": prune} if prune else {}), **changes)
    run = fakes.sweep(tmp_path / "run", config)
    return results.rewind_steps(config, results.rows(run))


def test_variants_that_differ_in_the_rewind_step_alone_are_drawn_against_it(tmp_path):
    variants = {
        "k=60": {"prune.rewind_to": "60it"},
        "k=0": {},
        "slow": {"train.learning_rate": 0.1},
        "k=2": {"prune.rewind_to": "2it"},
    }
    found = steps(tmp_path, variants)
    assert found.k.to_dict() == {"k=60": 60, "k=0": 0, "k=2": 2}
    assert found.total.tolist() == [200] * 3


def test_without_two_rewind_steps_nothing_is_drawn_against_them(tmp_path):
    assert steps(tmp_path, {"fast": {}, "slow": {"train.learning_rate": 0.1, "prune.rewind_to": "9it"}}).empty
    assert steps(tmp_path / "dense", fakes.SWEEP, prune=Prune(levels=0)).empty
    plain = fakes.run(tmp_path / "plain")
    assert results.rewind_steps(plain.config, results.rows(plain)).empty


def test_k_is_compared_between_variants_whatever_their_controls_are(tmp_path):
    texts = {"k=0": {}, "k=9": {"prune.rewind_to": "9it", "controls": ()}, "low": {"train.learning_rate": 0.1}}
    run = fakes.sweep(tmp_path / "run", fakes.sweep_of(texts))
    assert results.rewind_steps(run.config, results.rows(run)).k.to_dict() == {"k=0": 0, "k=9": 9}
