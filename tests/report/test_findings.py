import shutil

import fakes
import pytest

from tf_lottery.errors import RunError
from tf_lottery.experiment import open_run
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
    assert findings.read(fakes.run(tmp_path / "run")).samples.empty


def test_samples_of_a_ticket_without_its_dense_network_are_left_out(tmp_path):
    run = fakes.sweep(tmp_path / "run", fakes.sweep_of({"k=0": fakes.SWEEP["k=0"]}))
    shutil.rmtree(run.folder(fakes.unit(2, 0, "", "k=0")))
    found = findings.read(run)
    for frame in (found.results, found.stability, found.lines, found.barriers):
        assert set(frame.replicate) == {1, 3}


def test_a_run_with_nothing_done_has_nothing_to_report(tmp_path):
    with pytest.raises(RunError, match="no finished dense network yet"):
        findings.read(open_run.open_run(tmp_path / "run", fakes.experiment(), {}))
