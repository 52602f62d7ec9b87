"""The one table of a sweep, against its CSVs."""

import fakes
import pytest

from tf_lottery.experiment.config import Stability
from tf_lottery.report import findings, sparsest


@pytest.fixture(scope="module")
def found(sweep):
    return findings.read(sweep)


def test_each_variant_has_a_row_of_its_sparsest_tickets(found):
    table = sparsest.table(found)
    assert table.variant.tolist() == ["k=0", "k=60"]
    assert table.density.tolist() == ["64.0%"] * 2
    rows = found.trainings.query("variant == 'k=60' and level == 2")
    for branch, column in (("ticket", "ticket"), ("random_mask", "random mask"), ("reinit", "reinit")):
        percent = 100 * rows[rows.branch == branch].test_accuracy
        expected = f"{percent.mean():.2f} [{percent.min():.2f}–{percent.max():.2f}]"
        assert table[column][1] == expected
    dense = 100 * found.trainings.query("variant == 'k=60' and level == 0").test_accuracy
    assert table.dense[1].startswith(f"{dense.mean():.2f} [")


def test_stability_is_that_of_the_ticket_and_in_brackets_of_the_random_mask(found):
    pairs = found.stability.query("variant == 'k=60' and level == 2 and kind == 'pruning' and weight == 'all'")
    means = pairs.groupby("control").angle.mean()
    assert sparsest.table(found)["pruning: angle (°)"][1] == f"{means['']:.1f} ({means['random_mask']:.1f})"
    barriers = found.barriers.query("variant == 'k=60' and level == 2").groupby("control").error_barrier.mean()
    expected = f"{100 * barriers['']:.2f} ({100 * barriers['random_mask']:.2f})"
    assert sparsest.table(found)["error barrier (points)"][1] == expected


def test_what_was_not_measured_has_no_column(tmp_path):
    config = fakes.experiment(replicates=1, stability=Stability(), controls=("reinit",))
    table = sparsest.table(findings.read(fakes.sweep(tmp_path / "run", config)))
    assert set(table) <= {"variant", "density", "dense", "ticket", "reinit"}
    assert "random mask" not in table


def test_what_diverged_is_a_dash(found):
    rows = found.stability.assign(angle=float("nan"))
    table = sparsest.table(findings.Findings(**{**vars(found), "stability": rows}))
    assert table["data order: angle (°)"].tolist() == ["– (–)"] * 2
