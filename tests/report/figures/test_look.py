import matplotlib
import pytest

from tf_lottery.experiment.controls import CONTROLS
from tf_lottery.report.figures import look


def draw():
    figure, axis = look.figure("Title")
    axis.plot([1, 2], [3, 4])
    return figure


def test_the_same_figure_gives_the_same_bytes():
    drawn = look.png(draw)
    assert drawn.startswith(b"\x89PNG")
    with matplotlib.rc_context({"lines.linewidth": 7, "savefig.facecolor": "red", "font.size": 20}):
        assert look.png(draw) == drawn


def test_all_colours_are_those_of_okabe_and_ito():
    published = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
    used = [style["color"] for style in [*look.BRANCHES.values(), *look.of_each(map(str, range(24))).values()]]
    assert {*used} <= published


def test_branches_are_told_apart_without_colour():
    looks = {(style["marker"], style["linestyle"]) for style in look.BRANCHES.values()}
    assert len(looks) == len(look.BRANCHES)
    assert set(look.BRANCHES) == {"ticket", *CONTROLS}


def test_a_few_variants_are_told_apart_without_colour_and_24_with_it():
    styles = look.of_each(map(str, range(24))).values()
    assert len({style["marker"] for style in [*styles][:8]}) == 8
    assert len({(style["color"], style["marker"]) for style in styles}) == 24


@pytest.mark.parametrize("panels", [1, 2, 3, 8])
def test_a_grid_has_as_many_panels_as_asked_for(panels):
    figure, axes = look.grid(panels)
    assert len(axes) == len(figure.axes) == panels
    labelled = [axis.xaxis.get_tick_params()["labelbottom"] for axis in axes]
    assert labelled == [panels - place <= 2 for place in range(panels)]  # the last of each column


def test_density_falls_from_left_to_right_with_some_ticks():
    _, axis = look.figure("Title")
    look.density_axis(axis, [100 * 0.8**level for level in range(21)])
    assert axis.xaxis_inverted()
    assert 5 < len(axis.get_xticks()) < 9
    assert axis.get_xticklabels()[0].get_text() == "100"
