"""Every config runs from the command line to the report: few steps, synthetic data, on one device and on two."""

import os

import calls
import pytest
from tiers import nightly, slow

from tf_lottery import Run, keras_compat
from tf_lottery.experiment.plan import units

FIRST = (
    "inception_v3",
    "resnet50",
    "vgg19",
    "squeezenet",
)  # these start first, so that no long test is the last to end
CONFIGS = sorted(
    (path.stem for path in (calls.ROOT / "configs").glob("*.py")), key=lambda name: (not name.startswith(FIRST), name)
)
DEVICES = {"default": ["--jobs=1"], "mirrored": ["--strategy=mirrored", "--devices=2"]}
# With --slow: one config for each small network on one device, on Keras 3 only, and two configs on two devices, on
# either Keras. With --nightly: all.
ONE_A_NETWORK = {"lenet_mnist", "fashion_resnet", "mnist1d_rewinding", "resnet18_low", "squeezenet_oneshot"}
ON_TWO_DEVICES = {"lenet_mnist", "fashion_resnet"}
SLOW = {
    *((config, "default") for config in ONE_A_NETWORK if not keras_compat.LEGACY),
    *((config, "mirrored") for config in ON_TWO_DEVICES),
}
EACH = [
    (slow if (config, strategy) in SLOW else nightly)(config, strategy) for config in CONFIGS for strategy in DEVICES
]


def test_the_configs_that_run_with_slow_are_there():
    assert set(CONFIGS) >= ONE_A_NETWORK | ON_TWO_DEVICES


@pytest.mark.parametrize(("config", "strategy"), EACH)
def test_a_config_runs_to_its_report(tmp_path, config, strategy):
    nowhere = os.environ | {"TFDS_DATA_DIR": str(tmp_path / "no data needed")}
    arguments = [f"--config=configs/{config}.py", f"--run_dir={tmp_path / 'run'}", "--smoke", *DEVICES[strategy]]
    done = calls.script("find_tickets", *arguments, env=nowhere, timeout=1200)
    assert done.returncode == 0, done.stderr[-2000:]
    run = Run.load(tmp_path / "run")
    assert run.config.data.synthetic
    assert all(run.is_done(unit) for unit in units(run.config))
    assert f"Report: {run.path / 'report' / 'index.html'}" in done.stdout
    assert (run.path / "report/index.html").exists()
    assert run.environments()[-1]["replicas"] == len(DEVICES[strategy])
