import pytest

from tf_lottery.report import analysis, findings
from tf_lottery.report.figures import against_rewind_step


@pytest.fixture(scope="module")
def found(sweep):
    return findings.read(sweep)


@pytest.fixture(scope="module")
def steps(sweep, found):
    return analysis.rewind_steps(sweep.config, found.trainings)


def lines(axis):
    return {line.get_label(): line for line in axis.get_lines()}


def test_accuracy_is_drawn_at_each_k_from_zero_on(found, steps):
    axis = against_rewind_step.accuracy(found.trainings, steps, 2).axes[0]
    frame = found.trainings
    for branch, label in (("ticket", "ticket"), ("random_mask", "random mask"), ("reinit", "reinit")):
        rows = frame[(frame.branch == branch) & (frame.level == 2)]
        means = [100 * rows[rows.variant == variant].test_accuracy.mean() for variant in ("k=0", "k=60")]
        assert lines(axis)[label].get_xdata().tolist() == [0, 60]
        assert lines(axis)[label].get_ydata().tolist() == pytest.approx(means)
    dense = 100 * frame[frame.level == 0].test_accuracy.mean()
    assert lines(axis)["dense"].get_ydata() == pytest.approx([dense, dense])


def test_the_axis_of_accuracies_fits_what_is_trained_after_pruning(found, steps):
    frame, untrained = found.trainings, steps.assign(k=steps.k.where(steps.index != "k=60", steps.total))
    low = frame.assign(test_accuracy=frame.test_accuracy.where((frame.variant != "k=60") | (frame.level == 0), 0.1))
    for of, lowest in ((untrained, 80), (steps, 0)):
        bottom, top = against_rewind_step.accuracy(low, of, 2).axes[0].get_ylim()
        assert lowest < bottom < lowest + 20
        assert top > 95


def test_the_axis_shows_zero_and_small_steps_and_their_share_of_training(found, steps):
    axis = against_rewind_step.accuracy(found.trainings, steps, 2).axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0\n0%", "60\n30%"]
    assert axis.get_xscale() == "symlog"
    assert axis.get_xlim()[0] > -60


def test_both_stabilities_of_ticket_and_random_mask_are_drawn_with_their_extremes(found, steps):
    axis = against_rewind_step.stability(found.samples, steps, 2, "angle", "degrees").axes[0]
    assert set(lines(axis)) == {
        f"{branch}, to {kind}" for branch in ("ticket", "random mask") for kind in ("data order", "pruning")
    }
    rows = found.stability.query("control == '' and kind == 'pruning' and level == 2 and weight == 'all'")
    line = lines(axis)["ticket, to pruning"]
    means = [rows[rows.variant == variant].angle.mean() for variant in ("k=0", "k=60")]
    assert line.get_ydata().tolist() == pytest.approx(means)
    lowest = min(path.vertices[:, 1].min() for band in axis.collections for path in band.get_paths())
    assert lowest == pytest.approx(found.stability.query("level == 2 and weight == 'all'").angle.min())
