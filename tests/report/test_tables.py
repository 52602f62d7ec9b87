import fakes
import pandas as pd
import pytest

from tf_lottery.experiment import run_stability
from tf_lottery.experiment.config import Stability
from tf_lottery.report import findings, results, tables


@pytest.fixture(scope="module")
def found(sweep):
    return findings.read(sweep)


def comparisons(*verdicts, variant="", statement="is good", measure="test_accuracy"):
    """Return a comparison per level, each at half the density of the one before."""
    rows = [
        {"subject": "ticket", "statement": statement, "variant": variant, "level": level, "density": 0.5**level}
        | {"measure": measure, "verdict": verdict}
        for level, verdict in enumerate(verdicts, 1)
    ]
    return pd.DataFrame(rows)


def test_stability_is_mean_min_and_max_of_ticket_and_random_mask_and_the_ratio_of_the_means(sweep, found):
    table = tables.stability(found)
    row = table[(table.variant == "k=60") & (table.level == "2") & (table.measure == "data order: angle (°)")].iloc[0]
    samples = run_stability.rows(sweep).query(
        "variant == 'k=60' and level == 2 and kind == 'data_order' and weight == 'all'"
    )
    ticket, rivals = (samples[samples.control == control].angle for control in ("", "random_mask"))
    assert row["ticket"] == f"{ticket.mean():.1f} [{ticket.min():.1f}–{ticket.max():.1f}]"
    assert row["random mask"] == f"{rivals.mean():.1f} [{rivals.min():.1f}–{rivals.max():.1f}]"
    assert row["ratio"] == f"{rivals.mean() / ticket.mean():.1f}x"
    assert (row["density"], row["replicates"], row["samples"]) == ("64.0%", "3", "9")


def test_dense_networks_have_stability_to_data_order_and_a_barrier_but_no_random_mask(found):
    table = tables.stability(found)
    dense = table[(table.level == "0") & (table.variant == "k=0")]
    assert dense.measure.tolist() == ["data order: angle (°)", "data order: distance", "error barrier (points)"]
    assert dense["random mask"].tolist() == [""] * 3
    assert dense["ratio"].tolist() == ["–"] * 3
    assert dense["ticket"].iloc[-1] == "12.50 [12.50–12.50]"  # 0.5 / 4 at the middle of every line


def test_diverged_stability_is_a_dash_and_not_left_out_of_the_mean(sweep, found):
    rows = found.stability.copy()
    rows.loc[rows.replicate == 2, "angle"] = float("nan")
    table = tables.stability(findings.Findings(**{**vars(found), "stability": rows}))
    assert set(table[table.measure == "pruning: angle (°)"].ticket) == {"– [–––]"}


def test_a_run_without_measurements_has_no_table_of_stability(tmp_path):
    config = fakes.experiment(replicates=1, stability=Stability())
    assert tables.stability(findings.read(fakes.sweep(tmp_path / "run", config))).empty


def test_claims_are_laid_out_by_level_with_verdict_and_mean_difference(found):
    table = tables.claims_by_level(found)
    assert table.columns.tolist() == ["variant", "the …", "level 0 (100.0%)", "level 1 (80.0%)", "level 2 (64.0%)"]
    assert table.iloc[0, 1] == "ticket is no less accurate than the dense network (margin: 0.2 percentage points)"
    row = found.comparisons.query("variant == 'k=0' and level == 1 and statement.str.contains('random')").iloc[0]
    cells = table[(table.variant == "k=0") & table["the …"].str.fullmatch("ticket is more accurate .*mask”")]
    assert cells["level 1 (80.0%)"].tolist() == [f"✓ {row['mean']:+.2f}"]
    assert cells["level 0 (100.0%)"].tolist() == [""]


def test_levels_that_differ_in_density_between_variants_are_named_without_it(found):
    changed = found.comparisons.assign(density=lambda frame: frame.density - 0.1 * (frame.variant == "k=60"))
    table = tables.claims_by_level(findings.Findings(**{**vars(found), "comparisons": changed}))
    assert table.columns.tolist()[2:] == ["level 0", "level 1", "level 2"]


def test_claims_in_full_hold_all_numbers_each_in_its_unit(found):
    table = tables.claims_in_full(found.comparisons).set_index(["variant", "claim"])
    row = table.loc["k=60", "The ticket at 64.0% is more stable to data order than “random mask” (distance)."]
    assert row["verdict"] == "✓ shown"
    assert row["difference"].endswith("x")  # a ratio, since logarithms are compared
    barrier = table.loc[
        "k=0", "The ticket at 64.0% has an error barrier below 2 percentage points between data orders."
    ]
    assert barrier[["mean", "compared with", "difference"]].tolist() == ["12.50 points", "2.00 points", "-10.50"]
    assert barrier[["n", "p", "d_z"]].tolist() == ["3", "–", "–"]  # all three differ as much


def test_a_run_without_variants_has_no_column_for_them_and_one_replicate_dashes(tmp_path):
    found = findings.read(fakes.sweep(tmp_path / "run", fakes.experiment(replicates=1)))
    table = tables.claims_in_full(found.comparisons)
    assert "variant" not in table
    assert "variant" not in tables.claims_by_level(found)
    assert set(table.verdict) == {"○ not shown"}
    assert set(table["95% interval"]) == {"– to –"}


def test_conclusions_say_at_which_densities_of_which_variants_something_is_shown_or_contradicted():
    both = pd.concat(
        [
            comparisons("shown", "not shown", "contradicted", variant="a", measure="early_stop_step"),
            comparisons("shown", "shown", "shown", variant="a", statement="is great"),
            comparisons("not shown", "shown", "shown", variant="b", statement="is great"),
            comparisons("not shown", variant="b", statement="is odd"),
        ]
    )
    assert tables.conclusions(both) == [
        "✓ shown: the ticket is great: a at 50–12.5%; b at 25, 12.5%",  # accuracy comes first
        "✓ shown: the ticket is good: a at 50%",
        "✗ contradicted: the ticket is good: a at 12.5%",
    ]
    assert tables.conclusions(comparisons("shown")) == ["✓ shown: the ticket is good: at 50%"]
    assert tables.conclusions(comparisons("not shown")) == []


def test_sparsest_tickets_have_one_row_per_variant(found):
    table = tables.sparsest_tickets(found)
    assert table.variant.tolist() == ["k=0", "k=60"]
    assert table.density.tolist() == ["64.0%"] * 2
    rows = found.results.query("variant == 'k=60' and level == 2")
    for branch, column in (("ticket", "ticket"), ("random_mask", "random mask"), ("reinit", "reinit")):
        percent = 100 * rows[rows.branch == branch].test_accuracy
        expected = f"{percent.mean():.2f} [{percent.min():.2f}–{percent.max():.2f}]"
        assert table[column][1] == expected
    dense = 100 * found.results.query("variant == 'k=60' and level == 0").test_accuracy
    assert table.dense[1].startswith(f"{dense.mean():.2f} [")


def test_sparsest_tickets_show_stability_with_that_of_the_random_mask_in_brackets(found):
    pairs = found.stability.query("variant == 'k=60' and level == 2 and kind == 'pruning' and weight == 'all'")
    means = pairs.groupby("control").angle.mean()
    assert tables.sparsest_tickets(found)["pruning: angle (°)"][1] == f"{means['']:.1f} ({means['random_mask']:.1f})"
    barriers = found.barriers.query("variant == 'k=60' and level == 2").groupby("control").error_barrier.mean()
    expected = f"{100 * barriers['']:.2f} ({100 * barriers['random_mask']:.2f})"
    assert tables.sparsest_tickets(found)["error barrier (points)"][1] == expected


def test_sparsest_tickets_have_no_column_for_what_was_not_measured(tmp_path):
    config = fakes.experiment(replicates=1, stability=Stability(), controls=("reinit",))
    table = tables.sparsest_tickets(findings.read(fakes.sweep(tmp_path / "run", config)))
    assert set(table) <= {"variant", "density", "dense", "ticket", "reinit"}
    assert "random mask" not in table


def test_diverged_stability_of_sparsest_tickets_is_a_dash(found):
    rows = found.stability.assign(angle=float("nan"))
    table = tables.sparsest_tickets(findings.Findings(**{**vars(found), "stability": rows}))
    assert table["data order: angle (°)"].tolist() == ["– (–)"] * 2


def rows(tmp_path, **settings):
    return results.rows(fakes.run(tmp_path / "run", **settings))


def test_levels_have_one_row_each_with_mean_and_range(tmp_path):
    accuracies = {1: 0.8, 2: 0.9, 3: 1.0}
    table = tables.levels(rows(tmp_path, results=lambda unit: (accuracies[unit.replicate], 100 * unit.replicate)))
    assert table["", "level"].tolist() == ["0", "1", "2"]
    assert table["", "density"].tolist() == ["100.0%", "80.0%", "64.0%"]
    assert table["", "verdict"].tolist() == ["dense", "winning", "winning"]
    assert table["test accuracy (%)", "ticket"].tolist() == ["90.00 [80.00–100.00]"] * 3
    assert table["test accuracy (%)", "random mask"].tolist()[0] == ""
    assert table["early-stop step", "reinit"].tolist()[1] == "200 [100–300]"


def test_a_run_without_controls_has_no_columns_for_them(tmp_path):
    table = tables.levels(rows(tmp_path, config=fakes.experiment(controls=())))
    assert [name for _, name in table] == ["level", "density", "verdict", "ticket", "ticket"]


def test_dense_networks_are_compared_by_variant_on_validation_and_test_sets():
    frame = pd.DataFrame(
        {
            "variant": ["low", "low", "high", "high"],
            "level": [0, 0, 0, 1],
            "validation_accuracy": [0.8, 0.9, 0.7, 0.1],
            "test_accuracy": [0.6, 0.8, 0.5, 0.1],
        }
    )
    assert tables.dense_networks(frame).to_numpy().tolist() == [
        ["low", "85.00 [80.00–90.00]", "70.00 [60.00–80.00]"],
        ["high", "70.00 [70.00–70.00]", "50.00 [50.00–50.00]"],
    ]


def test_export_formats_are_shown_in_bytes_shares_and_milliseconds():
    table = tables.export_formats(
        pd.DataFrame(
            {
                "format": ["dense", "dense, gzip"],
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
        *("format", "bytes", "of dense", "parameters", "multiply-adds", "ms, batch 1", "ms, batch 64"),
    ]
    assert table.iloc[0].tolist() == ["dense", "1,234,567", "100.0%", "266,610", "266,200", "1.234", "10.000"]
    assert table.iloc[1].tolist() == ["dense, gzip", "617,284", "50.0%", "", "", "", ""]
