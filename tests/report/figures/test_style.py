import matplotlib
import pytest

from tf_lottery.core.controls import CONTROLS
from tf_lottery.report.figures import style


def draw():
    figure, axis = style.figure("Title")
    axis.plot([1, 2], [3, 4])
    return figure


def test_the_same_figure_gives_the_same_bytes():
    drawn = style.png(draw)
    assert drawn.startswith(b"\x89PNG")
    with matplotlib.rc_context({"lines.linewidth": 7, "savefig.facecolor": "red", "font.size": 20}):
        assert style.png(draw) == drawn


def test_all_colours_are_those_of_okabe_and_ito():
    published = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
    used = [one["color"] for one in [*style.BRANCHES.values(), *style.line_styles(map(str, range(24))).values()]]
    assert {*used} <= published


def test_branches_are_told_apart_without_colour():
    looks = {(one["marker"], one["linestyle"]) for one in style.BRANCHES.values()}
    assert len(looks) == len(style.BRANCHES)
    assert set(style.BRANCHES) == {"ticket", *CONTROLS}


def test_a_few_variants_are_told_apart_without_colour_and_24_with_it():
    styles = style.line_styles(map(str, range(24))).values()
    assert len({one["marker"] for one in [*styles][:8]}) == 8
    assert len({(one["color"], one["marker"]) for one in styles}) == 24


@pytest.mark.parametrize("panels", [1, 2, 3, 8])
def test_a_grid_has_as_many_panels_as_asked_for(panels):
    figure, axes = style.grid(panels)
    assert len(axes) == len(figure.axes) == panels
    labelled = [axis.xaxis.get_tick_params()["labelbottom"] for axis in axes]
    assert labelled == [panels - place <= 2 for place in range(panels)]  # the last of each column


def test_density_falls_from_left_to_right_with_some_ticks():
    _, axis = style.figure("Title")
    style.density_axis(axis, [100 * 0.8**level for level in range(21)])
    assert axis.xaxis_inverted()
    assert 5 < len(axis.get_xticks()) < 9
    assert axis.get_xticklabels()[0].get_text() == "100"
