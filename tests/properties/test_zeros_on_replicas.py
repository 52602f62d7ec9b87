"""Pruned weights are zero on MirroredStrategy, as far as the `fit` of Keras works there without masks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tf_lottery import keras_compat

TESTS = Path(__file__).parents[1]
# build, masked, optimizer, steps_per_execution, jit_compile, policy
WORKS = [
    ["convolutional", True, "momentum", 1, False, "float32"],
    ["convolutional", True, "weight decay", 1, False, "float32"],
    ["convolutional", True, "loss scale", 1, False, "float32"],
    ["dense", True, "momentum", 1, False, "mixed_float16"],
    ["subclassed", True, "weight decay", 1, False, "float32"],
    ["dense", True, "averages", 1, False, "float32"],
    ["convolutional", True, "momentum", 7, False, "float32"],
    ["subclassed", True, "weight decay", 7, False, "float32"],
]
FAILS = [["dense", False, "momentum", 1, True, "float32"]]
if keras_compat.LEGACY:
    WORKS += [["dense", True, "averages written", 1, False, "float32"]]
else:
    FAILS += [["dense", False, optimizer, 1, False, "float32"] for optimizer in ("accumulation", "averages written")]


@pytest.mark.slow
def test_pruned_weights_are_zero_on_every_replica_and_what_keras_cannot_do_there_fails_without_masks_too():
    cases = WORKS + FAILS
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("on_two_replicas.py"), json.dumps(cases)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ["PYTHONPATH"]])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = dict(zip(map(str, cases), json.loads(done.stdout.splitlines()[-1]), strict=True))
    assert {case: outcomes[case] for case in map(str, WORKS)} == {str(case): "done" for case in WORKS}
    assert [case for case in FAILS if outcomes[str(case)] == "done"] == []
