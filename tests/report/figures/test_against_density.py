import fakes
import pandas as pd
import pytest

from tf_lottery.report import analysis
from tf_lottery.report.figures import against_density, look


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    def results(unit):
        return 0.9 - 0.1 * bool(unit.control) + 0.01 * unit.replicate, 100 * unit.replicate

    return analysis.rows(fakes.run(tmp_path_factory.mktemp("figures") / "run", results=results))


def lines(axis):
    return {line.get_label(): line for line in axis.get_lines()}


@pytest.mark.parametrize("draw", [against_density.accuracy_at_early_stopping, against_density.accuracy_at_the_end])
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
    axis = against_density.early_stopping(frame).axes[0]
    heights = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (100, 300)


def test_few_weights_are_told_apart_by_the_colours_and_markers_of_all_figures(frame):
    weights = [line for name, line in lines(against_density.density_by_layer(frame).axes[0]).items() if "/" in name]
    assert [(line.get_color(), line.get_marker()) for line in weights] == [(look.BLUE, "o"), (look.VERMILION, "s")]


def test_there_is_a_line_a_weight_and_one_for_all(frame):
    axis = against_density.density_by_layer(frame).axes[0]
    assert list(lines(axis)) == ["dense/kernel", "output/kernel", "all together"]
    assert lines(axis)["output/kernel"].get_ydata().tolist() == pytest.approx([100, 90, 81])


def test_weights_of_another_variant_have_no_line(frame):
    axis = against_density.density_by_layer(frame.assign(**{"density:other": float("nan")})).axes[0]
    assert "other" not in lines(axis)


def test_many_weights_are_told_apart_by_colours_from_input_to_output(frame):
    plain = frame.drop(columns=[name for name in frame if name.startswith("density:")])
    weights = pd.DataFrame({f"density:conv_{index}": 0.9**plain.level for index in range(98)})
    figure = against_density.density_by_layer(pd.concat([plain, weights], axis=1))
    axis, scale = figure.axes
    assert [label for label in lines(axis) if label[0] != "_"] == ["all together"]
    assert len({line.get_color() for line in axis.get_lines()}) == 99
    assert scale.get_ylabel() == "the 98 weights, from input to output"
    assert look.png(lambda: figure).startswith(b"\x89PNG")  # and no warning that it does not fit


def test_every_control_that_a_run_has_is_drawn(tmp_path):
    config = fakes.experiment(replicates=1, controls=("constant_signs", "reshuffle"))
    frame = analysis.rows(fakes.run(tmp_path / "run", config))
    found = lines(against_density.accuracy_at_the_end(frame).axes[0])
    assert set(found) == {"ticket", "constant, signs kept", "reshuffle", "dense"}


def test_variants_are_in_one_figure_with_their_controls_thin_in_their_colours(sweep):
    frames = analysis.by_variant(analysis.rows(sweep))
    found = lines(against_density.accuracy_of_variants(frames).axes[0])
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
    frame = analysis.rows(sweep)
    frames = {str(number): frame[frame.variant == "k=0"].assign(variant=str(number)) for number in range(6)}
    found = lines(against_density.accuracy_of_variants(frames).axes[0])
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


def stability(rows):
    densities = rows.groupby(["variant", "level"])["level"].first().map({1: 0.5, 2: 0.25})
    return against_density.stability(rows, densities, "angle", "degrees").axes


def test_stability_is_drawn_in_a_panel_for_data_order_and_one_for_pruning():
    axes = stability(samples())
    assert [axis.get_title() for axis in axes] == ["to data order", "to pruning"]
    for axis in axes:
        assert lines(axis)["ticket"].get_xdata().tolist() == [50, 25]
        assert lines(axis)["ticket"].get_ydata().tolist() == [12, 22]
        assert lines(axis)["random mask"].get_ydata().tolist() == [42, 52]


def test_stability_of_variants_is_told_apart_by_colour_and_that_of_random_masks_by_line():
    found = lines(stability(samples(("a", "b")))[0])
    assert list(found) == ["a ticket", "a random mask", "b ticket", "b random mask"]
    assert found["a ticket"].get_color() == found["a random mask"].get_color() != found["b ticket"].get_color()
    assert found["a ticket"].get_linestyle() != found["a random mask"].get_linestyle()
    assert list(lines(stability(samples("abcde"))[0])) == [f"{label} ticket" for label in "abcde"]
