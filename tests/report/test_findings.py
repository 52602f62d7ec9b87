import made_up
import pytest

from tf_lottery.errors import RunError
from tf_lottery.experiment import opening
from tf_lottery.report import findings


def test_samples_are_every_pair_and_every_line_of_all_weights_together(sweep):
    found = findings.read(sweep)
    samples = found.samples
    assert len(samples) == 2 * (found.stability.weight == "all").sum() + len(found.barriers)
    assert set(samples.branch) == {"ticket", "random_mask"}
    place = "variant == 'k=60' and replicate == 2 and level == 2"
    pair = found.stability.query(f"{place} and control == 'random_mask' and kind == 'pruning' and weight == 'all'")
    rows = samples.query(f"{place} and branch == 'random_mask' and measure == 'pruning_angle'")
    assert sorted(rows.value) == sorted(pair.angle)
    barriers = samples.query(f"{place} and branch == 'ticket' and measure == 'error_barrier'")
    assert barriers.value.tolist() == pytest.approx([0.05, 0.05])  # noise of 0.2, in the middle of the line


def test_a_run_without_measurements_has_no_samples(tmp_path):
    assert findings.read(made_up.run(tmp_path / "run")).samples.empty


def test_a_run_with_nothing_done_has_nothing_to_report(tmp_path):
    with pytest.raises(RunError, match="no finished training yet"):
        findings.read(opening.open_run(tmp_path / "run", made_up.experiment(), {}))
