"""A run that is killed at any write or removal of a file, and started again, ends as if nothing had been."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tf_lottery import failpoints

TESTS = Path(__file__).parents[1]
OTHERS = ("callback", "ticket file", *failpoints.EXPORTED)
NAMES = [name for name in failpoints.names() if not name.startswith(OTHERS)]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, TESTS / "laws" / "failpoints_of_runs.py", folder],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_killed_at_any_failpoint_a_run_ends_with_the_same_bytes(found, name):
    times = found["once"][name]
    assert times, "it never came there"
    assert not any(times)


def test_killed_again_while_it_clears_up_a_run_ends_with_the_same_bytes(found):
    both = {kills: faults for kills, faults in found["twice"].items() if faults is not None}
    assert "state: half written, then leftover: begins" in both
    assert "manifest: renamed, then leftover: done" in both
    assert not any(both.values())
