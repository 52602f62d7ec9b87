"""Claims of synthetic runs, against SciPy on the numbers of which they are made."""

import fakes
import numpy as np
import pandas as pd
import pytest
import scipy.stats

from tf_lottery.experiment import config as config_lib, run_stability
from tf_lottery.experiment.config import Prune, Stability
from tf_lottery.report import claims, findings, results

MEASURED = ["variant", "replicate", "level", "control"]


@pytest.fixture(scope="module")
def found(sweep):
    return comparisons(sweep)


def comparisons(run):
    barriers = run_stability.barriers(run_stability.lines(run))
    return claims.comparisons(results.rows(run), run_stability.rows(run), barriers, config_lib.members(run.config))


def claim(found, statement, **place):
    rows = found[found.statement.str.contains(statement, regex=False)]
    for name, value in place.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def numbers(run, variant, level, control="", measure="test_accuracy"):
    return np.array([run.metrics(fakes.unit(r, level, control, variant))[measure] for r in (1, 2, 3)])


def agrees(row, first, second):
    """Check that a row is the paired t-test of two arrays."""
    differences = np.array(first) - np.array(second)
    expected = scipy.stats.ttest_rel(first, second)
    interval = expected.confidence_interval(0.95)
    assert row.n == len(differences)
    assert (row["mean"], row.low, row.high) == pytest.approx((differences.mean(), differences.min(), differences.max()))
    assert (row.interval_low, row.interval_high) == pytest.approx((interval.low, interval.high))
    assert row.p == pytest.approx(expected.pvalue)
    assert row.effect == pytest.approx(differences.mean() / differences.std(ddof=1))
    return True


@pytest.mark.parametrize("control", ["random_mask", "reinit"])
def test_a_ticket_is_compared_with_the_controls_of_its_replicates(sweep, found, control):
    row = claim(found, f"than “{results.LABELS[control]}”", measure="test_accuracy", variant="k=0", level=2)
    ticket, rivals = 100 * numbers(sweep, "k=0", 2), 100 * numbers(sweep, "k=0", 2, control)
    assert agrees(row, ticket, rivals)
    assert (row.value, row.reference) == pytest.approx((ticket.mean(), rivals.mean()))
    assert row.verdict == "shown"


def test_a_ticket_is_compared_with_its_dense_network_within_the_margin_that_the_claim_names(sweep, found):
    row = claim(found, "dense network (margin: 0.2 percentage points)", variant="k=60", level=1)
    assert agrees(row, 100 * numbers(sweep, "k=60", 1), 100 * numbers(sweep, "k=60", 0))
    assert row.verdict == "contradicted"
    assert row.interval_high < -0.2


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ((0.001, 0.002, 0.003), "shown"),
        ((-0.00182, -0.0018, -0.00178), "shown"),  # within the margin
        ((-0.00222, -0.0022, -0.00218), "contradicted"),
        ((-0.004, 0.0, 0.004), "not shown"),
        ((0.01, 0.01), "not shown"),
        ((0.01,), "not shown"),
    ],
)
def test_a_ticket_within_the_margin_is_as_good_as_dense_and_fewer_than_three_replicates_show_nothing(
    tmp_path, differences, verdict
):
    config = fakes.experiment(replicates=len(differences), prune=Prune(levels=1))
    accuracy = {unit: 0.9 + differences[unit - 1] for unit in range(1, len(differences) + 1)}
    run = fakes.run(tmp_path / "run", config, lambda unit: (accuracy[unit.replicate] if unit.level else 0.9, 100))
    assert claim(comparisons(run), "no less accurate").verdict == verdict


def test_earlier_is_better(sweep, found):
    row = claim(found, "earlier than the dense network", variant="k=0", level=2)
    measure = "early_stop_step"
    assert agrees(row, numbers(sweep, "k=0", 0, measure=measure), numbers(sweep, "k=0", 2, measure=measure))


def test_a_variant_is_compared_with_the_first_that_is_as_sparse(sweep, found):
    row = claim(found, "accurate than that of k=0", level=2)
    assert row.variant == "k=60"
    assert agrees(row, 100 * numbers(sweep, "k=60", 2), 100 * numbers(sweep, "k=0", 2))
    assert row.claim == "The ticket at 64.0% is more accurate than that of k=0."


@pytest.mark.parametrize(("kind", "measure"), [("data_order", "angle"), ("pruning", "distance")])
def test_the_stability_of_variants_is_compared_too(sweep, found, kind, measure):
    statement = f"more stable to {kind.replace('_', ' ')} than that of k=0 ({measure})"
    (row,) = found[found.statement.str.contains(statement, regex=False)].itertuples()
    rows = run_stability.rows(sweep).query("level == 2 and control == '' and weight == 'all'")
    means = rows[rows.kind == kind].groupby(["variant", "replicate"])[measure].mean()
    differences = means["k=0"] - means["k=60"] if measure == "angle" else np.log(means["k=0"] / means["k=60"])
    assert (row.variant, row.level, row.n, row.verdict) == ("k=60", 2, 3, "shown")
    assert row.mean == pytest.approx(differences.mean())


def test_a_variant_is_compared_with_the_first_of_the_same_dense_network_too(tmp_path):
    labels = ("low, k=0", "low, k=60", "high, k=0", "high, k=60")
    sweep = fakes.sweep(
        tmp_path / "run",
        fakes.sweep_of(
            {
                label: {"prune.rewind_to": f"{label.partition('k=')[2]}it", "train.learning_rate": rate}
                for label, rate in zip(labels, (0.1, 0.1, 0.2, 0.2), strict=True)
            }
        ),
    )
    found = findings.read(sweep).comparisons.query("level == 2 and statement.str.contains('accurate than that of')")
    pairs = [(row.variant, row.statement.partition("that of ")[2]) for row in found.itertuples()]
    assert pairs == [
        ("low, k=60", "low, k=0"),
        ("high, k=0", "low, k=0"),
        ("high, k=60", "high, k=0"),
        ("high, k=60", "low, k=0"),
    ]


def test_variants_of_other_networks_or_data_are_not_compared(tmp_path):
    texts = {
        "first": {},
        "noise": {"data.synthetic": True},
        "conv": {"model.name": "conv_2"},
        "third": {"prune.rewind_to": "60it"},
    }
    found = comparisons(fakes.sweep(tmp_path / "run", fakes.sweep_of(texts)))
    found = found[found.statement.str.contains("that of ")]
    assert set(found.variant) == {"third"}
    assert found.statement.str.contains("that of first").all()


def test_trained_weights_are_not_said_to_be_early(tmp_path):
    texts = {"weights": {}, "rate": {"prune.rewind": "learning_rate"}, "none": {"prune.rewind": "none"}}
    found = comparisons(fakes.sweep(tmp_path / "run", fakes.sweep_of(texts)))
    assert set(found.variant[found.measure == "early_stop_step"]) == {"weights"}


def test_variants_that_are_not_as_sparse_are_not_compared_and_levels_need_not_be_the_same(sweep):
    frame = results.rows(sweep)
    of_60 = frame.variant == "k=60"
    none, members = pd.DataFrame(), config_lib.members(sweep.config)
    other = claims.comparisons(frame.assign(kept=frame.kept.where(~of_60, frame.kept + 50)), none, none, members)
    assert not other.statement.str.contains("than that of").any()
    once = frame[~(of_60 & (frame.level == 1))]
    once = once.assign(level=once.level.where(~((once.variant == "k=60") & (once.level == 2)), 1))
    row = claim(claims.comparisons(once, none, none, members), "than that of k=0")
    assert (row.variant, row.level) == ("k=60", 1)
    assert agrees(row, 100 * numbers(sweep, "k=60", 2), 100 * numbers(sweep, "k=0", 2))


@pytest.mark.parametrize("kind", ["data_order", "pruning"])
@pytest.mark.parametrize("measure", ["angle", "distance"])
def test_stability_is_the_mean_of_the_samples_of_a_replicate_beside_that_of_the_random_mask(
    sweep, found, kind, measure
):
    row = claim(found, f"stable to {kind.replace('_', ' ')} than “random mask” ({measure})", variant="k=60")
    samples = run_stability.rows(sweep).query("variant == 'k=60' and weight == 'all' and level == 2 and kind == @kind")
    means = {
        control: np.array([rows[measure].to_numpy().mean() for _, rows in of_control.groupby("replicate")])
        for control, of_control in samples.groupby("control")
    }
    ticket, rivals = means[""], means["random_mask"]
    assert (row.value, row.reference) == pytest.approx((ticket.mean(), rivals.mean()))
    assert row.ratio == pytest.approx(rivals.mean() / ticket.mean())
    change = np.log if measure == "distance" else np.array
    assert agrees(row, change(rivals), change(ticket))


def test_equal_networks_have_no_ratio_and_show_nothing(sweep):
    rows = run_stability.rows(sweep).assign(distance=0.0, angle=0.0)
    found = claims.comparisons(results.rows(sweep), rows, pd.DataFrame(), config_lib.members(sweep.config))
    found = found[found.measure.isin(claims.STABILITY)]
    assert found.ratio.isna().all()
    assert (found.verdict == "not shown").all()


def barriers(sweep, *values):
    """Return the claim about the error barriers of the tickets of level 2 of k=0, given one per replicate."""
    place = {"variant": "k=0", "level": 2, "control": "", "shuffle_seed": 1}
    rows = pd.DataFrame(
        [place | {"replicate": number, "error_barrier": value} for number, value in enumerate(values, 1)]
    )
    found = claims.comparisons(results.rows(sweep), pd.DataFrame(), rows, config_lib.members(sweep.config))
    return claim(found, "error barrier below 2 percentage")


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.005, 0.006, 0.007), "shown"),
        ((0.10, 0.12, 0.11), "contradicted"),
        ((0.0, 0.02, 0.04), "not shown"),
        ((0.0, 0.0), "not shown"),
        ((0.0, float("nan"), 0.0), "not shown"),
    ],
)
def test_a_network_is_stable_where_its_barrier_is_below_two_percentage_points(sweep, values, verdict):
    assert barriers(sweep, *values).verdict == verdict


def test_the_barrier_is_compared_by_a_test_of_one_sample(sweep):
    row, expected = barriers(sweep, 0.005, 0.006, 0.008), scipy.stats.ttest_1samp([0.5, 0.6, 0.8], 2)
    assert (row.value, row.reference, row["mean"]) == pytest.approx((1.9 / 3, 2, 2 - 1.9 / 3))
    assert row.p == pytest.approx(expected.pvalue)
    assert row.claim == "The ticket at 64.0% has an error barrier below 2 percentage points between data orders."


def test_dense_networks_and_random_masks_have_barriers_too(found):
    subjects = found[found.measure == "error_barrier"].claim.str.extract(r"^The (.*?)(?: at| has)")[0]
    assert subjects.value_counts().to_dict() == {"ticket": 2, "random mask": 2, "dense network": 2}


def test_a_replicate_that_lacks_one_of_both_does_not_count(sweep):
    frame = results.rows(sweep)
    frame = frame[~((frame.branch == "random_mask") & (frame.replicate == 1))]
    found = claims.comparisons(frame, pd.DataFrame(), pd.DataFrame(), config_lib.members(sweep.config))
    row = claim(found, "random mask", variant="k=0", level=1)
    assert (row.n, row.verdict) == (2, "not shown")


def test_every_claim_is_a_sentence_of_its_own_in_its_variant(found):
    assert not found.duplicated(["variant", "claim"]).any()
    assert found.claim.str.fullmatch(r"The .*\.").all()
    assert tuple(found.columns) == claims.COLUMNS


def test_without_results_there_are_no_claims(tmp_path):
    config = fakes.experiment(prune=Prune(levels=0), stability=Stability())
    assert comparisons(fakes.run(tmp_path / "run", config)).empty
    assert claims.comparisons(pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), {}).empty
