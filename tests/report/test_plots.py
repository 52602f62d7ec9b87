import made_up
import matplotlib
import pandas as pd
import pytest

from tf_lottery.report import analysis, plots


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    def results(unit):
        return 0.9 - 0.1 * bool(unit.control) + 0.01 * unit.replicate, 100 * unit.replicate

    return analysis.rows(made_up.run(tmp_path_factory.mktemp("plots") / "run", results=results))


def lines(axis):
    return {line.get_label(): line for line in axis.get_lines()}


@pytest.mark.parametrize("draw", [plots.accuracy_at_early_stopping, plots.accuracy_at_the_end])
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
    axis = plots.early_stopping(frame).axes[0]
    heights = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (100, 300)


def test_there_is_a_line_a_weight_and_one_for_all(frame):
    axis = plots.density_by_layer(frame).axes[0]
    assert list(lines(axis)) == ["dense/kernel", "output/kernel", "all together"]
    assert lines(axis)["output/kernel"].get_ydata().tolist() == pytest.approx([100, 90, 81])


def test_many_weights_are_told_apart_by_colours_from_input_to_output(frame):
    plain = frame.drop(columns=[name for name in frame if name.startswith("density:")])
    weights = pd.DataFrame({f"density:conv_{index}": 0.9**plain.level for index in range(98)})
    figure = plots.density_by_layer(pd.concat([plain, weights], axis=1))
    axis, scale = figure.axes
    assert [label for label in lines(axis) if label[0] != "_"] == ["all together"]
    assert len({line.get_color() for line in axis.get_lines()}) == 99
    assert scale.get_ylabel() == "the 98 weights, from input to output"
    assert plots.png(lambda frame: figure, frame).startswith(b"\x89PNG")  # and no warning that it does not fit


def test_the_same_figure_gives_the_same_bytes(frame):
    drawn = plots.png(plots.early_stopping, frame)
    assert drawn.startswith(b"\x89PNG")
    with matplotlib.rc_context({"lines.linewidth": 7, "savefig.facecolor": "red", "font.size": 20}):
        assert plots.png(plots.early_stopping, frame) == drawn


def test_curves_are_told_apart_without_colour():
    looks = {(style["marker"], style["linestyle"]) for style in plots.STYLES.values()}
    assert len(looks) == len(plots.STYLES)
