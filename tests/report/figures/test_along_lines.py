import pandas as pd
import pytest

from tf_lottery.report.figures import along_lines


def lines_of(variants=("",), levels=(0, 1, 2)):
    rows = [
        {"variant": variant, "replicate": replicate, "level": level, "control": control, "order": order}
        | {"share": share, "test_error": 0.1 * replicate + 0.01 * order + share * (1 - share), "test_loss": 1.0}
        for level in levels
        for variant in variants
        for control in (("", "random_mask") if level else ("",))
        for replicate in (1, 2)
        for order in (1, 2)
        for share in (0, 0.5, 1)
    ]
    return pd.DataFrame(rows)


def axes(lines):
    densities = lines.groupby(["variant", "level"])["level"].first().map({0: 1.0, 1: 0.5, 2: 0.25})
    return along_lines.error(lines, densities).axes


def test_without_variants_each_level_has_a_panel_with_dense_random_and_ticket():
    found = axes(lines_of())
    assert [axis.get_title() for axis in found] == ["50.0% kept", "25.0% kept"]
    for axis in found:
        assert [line.get_label() for line in axis.get_lines()] == ["dense", "random mask", "ticket"]


def test_each_variant_has_a_panel_of_its_last_level():
    titles = [axis.get_title() for axis in axes(lines_of(("k=0", "k=60", "k=9")))]
    assert titles == ["k=0, 25.0% kept", "k=60, 25.0% kept", "k=9, 25.0% kept"]


def test_lines_are_means_and_bands_run_from_min_to_max_of_all_lines():
    axis = axes(lines_of())[0]
    assert axis.get_lines()[2].get_ydata().tolist() == pytest.approx([16.5, 41.5, 16.5])
    heights = axis.collections[2].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((11, 47))


def test_a_run_that_has_only_dense_networks_so_far_has_a_panel_of_them():
    (axis,) = axes(lines_of(levels=(0,)))
    assert [line.get_label() for line in axis.get_lines()] == ["dense"]
