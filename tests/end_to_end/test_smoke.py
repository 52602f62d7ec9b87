"""Every config runs from the command line to the report: few steps, synthetic data, on one device and on two."""

import os

import calls
import pytest

from tf_lottery import Run, keras_compat
from tf_lottery.experiment.plan import units

LARGE = ("inception_v3", "resnet50", "vgg19", "squeezenet")  # come first: a long test must not be the last
CONFIGS = sorted(
    (path.stem for path in (calls.ROOT / "configs").glob("*.py")), key=lambda name: (not name.startswith(LARGE), name)
)
DEVICES = {"default": ["--jobs=1"], "mirrored": ["--strategy=mirrored", "--devices=2"]}
# With --slow: one config for each network that is quick. With --nightly: all.
ONE_A_NETWORK = {"lenet_mnist", "fashion_resnet", "mnist1d_rewinding", "resnet18_low", "squeezenet_oneshot"}
SLOW = {
    *(() if keras_compat.LEGACY else ((config, "default") for config in ONE_A_NETWORK)),
    *(("lenet_mnist", "mirrored"), ("fashion_resnet", "mirrored")),
}
EACH = [
    pytest.param(config, strategy, marks=mark)
    for config in CONFIGS
    for strategy in DEVICES
    for mark in [pytest.mark.slow if (config, strategy) in SLOW else pytest.mark.nightly]
]


@pytest.mark.parametrize(("config", "strategy"), EACH)
def test_a_config_runs_to_its_report(tmp_path, config, strategy):
    nowhere = os.environ | {"TFDS_DATA_DIR": str(tmp_path / "no data needed")}
    arguments = [f"--config=configs/{config}.py", f"--run_dir={tmp_path / 'run'}", "--smoke", *DEVICES[strategy]]
    done = calls.script("find_tickets", *arguments, env=nowhere, patience=1200)
    assert done.returncode == 0, done.stderr[-2000:]
    run = Run.load(tmp_path / "run")
    assert run.config.data.synthetic
    assert all(run.is_done(unit) for unit in units(run.config))
    assert f"Report: {run.path / 'report' / 'index.html'}" in done.stdout
    assert (run.path / "report/index.html").exists()
    assert run.environments()[-1]["replicas"] == len(DEVICES[strategy])
