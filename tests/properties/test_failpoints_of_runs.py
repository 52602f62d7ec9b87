"""A run that is killed at any write or removal of a file, and started again, ends as if nothing had been."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiers import nightly, slow

from tf_lottery import failpoints

TESTS = Path(__file__).parents[1]
OTHERS = ("callback", "ticket file", *failpoints.EXPORTED)
NAMES = [name for name in failpoints.names() if not name.startswith(OTHERS)]


def found(folder, times):
    """Return the faults by kill, of a run that is killed at the first `times` of each failpoint."""
    done = subprocess.run(
        [sys.executable, TESTS / "properties" / "failpoints_of_runs.py", folder, str(times)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("times", [slow(1), nightly(1000)])
def test_killed_at_any_failpoint_and_again_while_it_clears_up_a_run_ends_with_the_same_bytes(tmp_path, times):
    faults = found(tmp_path, times)
    assert [name for name in NAMES if not faults["once"][name]] == []  # it came to each
    assert {name: each for name, each in faults["once"].items() if any(each)} == {}
    both = {kills: each for kills, each in faults["twice"].items() if each is not None}
    assert "state: half written, then leftover: begins" in both
    assert "manifest: renamed, then leftover: done" in both
    assert not any(both.values())
