"""The curves of the report, drawn from synthetic results and read back from Matplotlib."""

import fakes
import pandas as pd
import pytest

from tf_lottery.report import findings, results
from tf_lottery.report.figures import curves, style


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    def result(unit):
        return 0.9 - 0.1 * bool(unit.control) + 0.01 * unit.replicate, 100 * unit.replicate

    return results.rows(fakes.run(tmp_path_factory.mktemp("figures") / "run", results=result))


def lines(axis):
    return {line.get_label(): line for line in axis.get_lines()}


@pytest.mark.parametrize("draw", [curves.accuracy_at_early_stopping, curves.accuracy_at_the_end])
def test_accuracy_is_drawn_against_density_on_a_falling_log_axis(frame, draw):
    axis = draw(frame).axes[0]
    assert axis.get_xscale() == "log"
    assert axis.xaxis_inverted()
    ticket = lines(axis)["ticket"]
    assert ticket.get_xdata().tolist() == pytest.approx([100, 80, 64])
    assert ticket.get_ydata().tolist() == pytest.approx([92, 92, 92])
    control = lines(axis)["random mask"]
    assert control.get_xdata().tolist() == pytest.approx([100, 80, 64])  # a control starts at the dense network
    assert control.get_ydata().tolist() == pytest.approx([92, 82, 82])


def test_bands_run_from_the_lowest_to_the_highest_replicate(frame):
    axis = curves.early_stopping(frame).axes[0]
    heights = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (100, 300)


def test_few_weights_are_told_apart_by_the_colours_and_markers_of_all_figures(frame):
    weights = [line for name, line in lines(curves.density_by_layer(frame).axes[0]).items() if "/" in name]
    assert [(line.get_color(), line.get_marker()) for line in weights] == [(style.BLUE, "o"), (style.VERMILION, "s")]


def test_there_is_a_line_per_weight_and_one_for_all(frame):
    axis = curves.density_by_layer(frame).axes[0]
    assert list(lines(axis)) == ["dense/kernel", "output/kernel", "all together"]
    assert lines(axis)["output/kernel"].get_ydata().tolist() == pytest.approx([100, 90, 81])


def test_weights_of_another_variant_have_no_line(frame):
    axis = curves.density_by_layer(frame.assign(**{"density:other": float("nan")})).axes[0]
    assert "other" not in lines(axis)


def test_many_weights_are_told_apart_by_colours_from_input_to_output(frame):
    plain = frame.drop(columns=[name for name in frame if name.startswith("density:")])
    weights = pd.DataFrame({f"density:conv_{index}": 0.9**plain.level for index in range(98)})
    figure = curves.density_by_layer(pd.concat([plain, weights], axis=1))
    axis, scale = figure.axes
    assert [label for label in lines(axis) if label[0] != "_"] == ["all together"]
    assert len({line.get_color() for line in axis.get_lines()}) == 99
    assert scale.get_ylabel() == "the 98 weights, from input to output"
    assert style.png(lambda: figure).startswith(b"\x89PNG")  # and no warning that it does not fit


def test_every_control_that_a_run_has_is_drawn(tmp_path):
    config = fakes.experiment(replicates=1, controls=("constant_signs", "reshuffle"))
    frame = results.rows(fakes.run(tmp_path / "run", config))
    found = lines(curves.accuracy_at_the_end(frame).axes[0])
    assert set(found) == {"ticket", "constant, signs kept", "reshuffle", "dense"}


def test_variants_are_in_one_figure_with_their_controls_thin_in_their_colours(sweep):
    frames = results.by_variant(results.rows(sweep))
    found = lines(curves.accuracy_of_variants(frames).axes[0])
    for label, frame in frames.items():
        tickets = 100 * frame[frame.branch == "ticket"].groupby("level").test_accuracy.mean()
        assert found[label].get_ydata().tolist() == pytest.approx(tickets.tolist())
        for control in ("random mask", "reinit"):
            line = found[f"{label}, {control}"]
            assert line.get_color() == found[label].get_color()
            assert line.get_linewidth() < found[label].get_linewidth()
            assert line.get_linestyle() != found[label].get_linestyle()
            assert line.get_ydata()[0] == pytest.approx(tickets[0])
    assert len({found[label].get_color() for label in frames}) == 2


def test_of_many_variants_only_the_tickets_are_drawn(sweep):
    frame = results.rows(sweep)
    frames = {str(number): frame[frame.variant == "k=0"].assign(variant=str(number)) for number in range(6)}
    found = lines(curves.accuracy_of_variants(frames).axes[0])
    assert [label for label in found if label[0] != "_"] == [*frames, "dense"]
    assert len(found) == 6 + 1  # one line for all dense networks, which are the same


def samples(variants=("",), levels=(1, 2)):
    rows = [
        {"variant": variant, "replicate": replicate, "level": level, "branch": branch, "measure": measure}
        | {"value": 10 * level + replicate + 30 * (branch == "random_mask")}
        for variant in variants
        for level in levels
        for branch in ("ticket", "random_mask")
        for measure in ("data_order_angle", "pruning_angle")
        for replicate in (1, 2, 3)
    ]
    return pd.DataFrame(rows)


def stability_axes(rows):
    densities = rows.groupby(["variant", "level"])["level"].first().map({1: 0.5, 2: 0.25})
    return curves.stability_by_density(rows, densities, measure="angle", unit="degrees").axes


def test_stability_is_drawn_in_a_panel_for_data_order_and_one_for_pruning():
    axes = stability_axes(samples())
    assert [axis.get_title() for axis in axes] == ["to data order", "to pruning"]
    for axis in axes:
        assert lines(axis)["ticket"].get_xdata().tolist() == [50, 25]
        assert lines(axis)["ticket"].get_ydata().tolist() == [12, 22]
        assert lines(axis)["random mask"].get_ydata().tolist() == [42, 52]


def test_stability_of_variants_is_told_apart_by_colour_and_that_of_random_masks_by_line():
    found = lines(stability_axes(samples(("a", "b")))[0])
    assert list(found) == ["a ticket", "a random mask", "b ticket", "b random mask"]
    assert found["a ticket"].get_color() == found["a random mask"].get_color() != found["b ticket"].get_color()
    assert found["a ticket"].get_linestyle() != found["a random mask"].get_linestyle()
    assert list(lines(stability_axes(samples("abcde"))[0])) == [f"{label} ticket" for label in "abcde"]


@pytest.fixture(scope="module")
def found(sweep):
    return findings.read(sweep)


@pytest.fixture(scope="module")
def steps(sweep, found):
    return results.rewind_steps(sweep.config, found.results)


def test_accuracy_is_drawn_at_each_k_from_zero_on(found, steps):
    axis = curves.accuracy_by_rewind_step(found.results, steps, level=2).axes[0]
    frame = found.results
    for branch, label in (("ticket", "ticket"), ("random_mask", "random mask"), ("reinit", "reinit")):
        rows = frame[(frame.branch == branch) & (frame.level == 2)]
        means = [100 * rows[rows.variant == variant].test_accuracy.mean() for variant in ("k=0", "k=60")]
        assert lines(axis)[label].get_xdata().tolist() == [0, 60]
        assert lines(axis)[label].get_ydata().tolist() == pytest.approx(means)
    dense = 100 * frame[frame.level == 0].test_accuracy.mean()
    assert lines(axis)["dense"].get_ydata() == pytest.approx([dense, dense])


def test_the_axis_of_accuracies_fits_what_is_trained_after_pruning(found, steps):
    frame, untrained = found.results, steps.assign(k=steps.k.where(steps.index != "k=60", steps.total))
    low = frame.assign(test_accuracy=frame.test_accuracy.where((frame.variant != "k=60") | (frame.level == 0), 0.1))
    for of, lowest in ((untrained, 80), (steps, 0)):
        bottom, top = curves.accuracy_by_rewind_step(low, of, level=2).axes[0].get_ylim()
        assert lowest < bottom < lowest + 20
        assert top > 95


def test_the_axis_shows_zero_and_small_steps_and_their_share_of_training(found, steps):
    axis = curves.accuracy_by_rewind_step(found.results, steps, level=2).axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0\n0%", "60\n30%"]
    assert axis.get_xscale() == "symlog"
    assert axis.get_xlim()[0] > -60


def test_both_stabilities_of_ticket_and_random_mask_are_drawn_with_their_extremes(found, steps):
    axis = curves.stability_by_rewind_step(found.samples, steps, level=2, measure="angle", unit="degrees").axes[0]
    assert set(lines(axis)) == {
        f"{branch}, to {kind}" for branch in ("ticket", "random mask") for kind in ("data order", "pruning")
    }
    rows = found.stability.query("control == '' and kind == 'pruning' and level == 2 and weight == 'all'")
    line = lines(axis)["ticket, to pruning"]
    means = [rows[rows.variant == variant].angle.mean() for variant in ("k=0", "k=60")]
    assert line.get_ydata().tolist() == pytest.approx(means)
    lowest = min(path.vertices[:, 1].min() for band in axis.collections for path in band.get_paths())
    assert lowest == pytest.approx(found.stability.query("level == 2 and weight == 'all'").angle.min())


def lines_of(variants=("",), levels=(0, 1, 2)):
    rows = [
        {"variant": variant, "replicate": replicate, "level": level, "control": control, "shuffle_seed": order}
        | {"share": share, "test_error": 0.1 * replicate + 0.01 * order + share * (1 - share), "test_loss": 1.0}
        for level in levels
        for variant in variants
        for control in (("", "random_mask") if level else ("",))
        for replicate in (1, 2)
        for order in (1, 2)
        for share in (0, 0.5, 1)
    ]
    return pd.DataFrame(rows)


def line_axes(points):
    densities = points.groupby(["variant", "level"])["level"].first().map({0: 1.0, 1: 0.5, 2: 0.25})
    return curves.error_along_lines(points, densities).axes


def test_without_variants_each_level_has_a_panel_with_dense_random_and_ticket():
    found = line_axes(lines_of())
    assert [axis.get_title() for axis in found] == ["50.0% kept", "25.0% kept"]
    for axis in found:
        assert [line.get_label() for line in axis.get_lines()] == ["dense", "random mask", "ticket"]


def test_each_variant_has_a_panel_of_its_last_level():
    titles = [axis.get_title() for axis in line_axes(lines_of(("k=0", "k=60", "k=9")))]
    assert titles == ["k=0, 25.0% kept", "k=60, 25.0% kept", "k=9, 25.0% kept"]


def test_lines_are_means_and_bands_run_from_min_to_max_of_all_lines():
    axis = line_axes(lines_of())[0]
    assert axis.get_lines()[2].get_ydata().tolist() == pytest.approx([16.5, 41.5, 16.5])
    heights = axis.collections[2].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((11, 47))


def test_a_run_that_has_only_dense_networks_so_far_has_a_panel_of_them():
    (axis,) = line_axes(lines_of(levels=(0,)))
    assert [line.get_label() for line in axis.get_lines()] == ["dense"]


def test_overlap_is_drawn_beside_chance():
    rows = pd.DataFrame(
        {
            "kind": "replicates",
            "variant": ["a", "a", "a", "a", "b", "b"],
            "level": [1, 1, 2, 2, 1, 2],
            "density": [0.5, 0.5, 0.25, 0.25, 0.5, 0.25],
            "overlap": [0.4, 0.6, 0.2, 0.3, 0.7, 0.8],
            "chance": [0.3, 0.3, 0.1, 0.1, 0.3, 0.1],
        }
    )
    (axis,) = curves.overlap_by_density(rows, rows.variant, title="Overlap").axes
    found = {line.get_label(): line for line in axis.get_lines()}
    assert list(found) == ["a", "b", "chance"]
    assert found["a"].get_xdata().tolist() == [50, 25]
    assert found["a"].get_ydata().tolist() == pytest.approx([0.5, 0.25])
    assert found["chance"].get_ydata().tolist() == pytest.approx([0.3, 0.1])
    assert axis.collections[0].get_paths()[0].vertices[:, 1].min() == pytest.approx(0.2)
