"""Every config runs from the command line to the report, with few steps and made-up data.

On one device and on two; on legacy Keras on two only, where more can go wrong, because each run takes a minute.
"""

import os

import pytest
import runs

from tf_lottery import Run, keras_api
from tf_lottery.experiment.plan import units

CONFIGS = sorted(path.stem for path in (runs.ROOT / "configs").glob("*.py"))
DEVICES = {"default": ["--jobs=1"], "mirrored": ["--strategy=mirrored", "--devices=2"]}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["mirrored"] if keras_api.LEGACY else DEVICES)
@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_runs_to_its_report(tmp_path, config, strategy):
    nowhere = os.environ | {"TFDS_DATA_DIR": str(tmp_path / "no data needed")}
    output = runs.find_tickets(tmp_path / "run", "--smoke", *DEVICES[strategy], config=config, env=nowhere)
    run = Run.load(tmp_path / "run")
    assert run.config.data.made_up
    assert all(run.is_done(unit) for unit in units(run.config))
    assert f"Report: {run.path / 'report' / 'index.html'}" in output
    assert (run.path / "report/index.html").exists()
    assert run.environments()[-1]["replicas"] == len(DEVICES[strategy])
