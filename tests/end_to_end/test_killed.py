"""The crash matrix in small: real runs killed at a few failpoints, one after the other, and at random times."""

import subprocess
import sys

import calls
import pytest

MATRIX = (sys.executable, "scripts/benchmark/crash_matrix.py", "--kills=3", "--seed=3")
FAILPOINTS = "state: not renamed 4,manifest: half written,manifest: renamed 2,leftover: done,report: renamed"


@pytest.mark.nightly
def test_runs_killed_anywhere_end_with_the_same_bytes(tmp_path):
    done = subprocess.run(
        [*MATRIX, f"--failpoints={FAILPOINTS}", f"--work_dir={tmp_path}"],
        cwd=calls.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failpoints killed at                         5\n" in done.stdout
    assert "levels redone                                0\n" in done.stdout
    assert "differing digests                            0\n" in done.stdout


@pytest.mark.nightly
def test_a_failpoint_that_no_process_reaches_is_a_failure(tmp_path):
    done = subprocess.run(
        [*MATRIX[:2], "--kills=0", "--failpoints=callback records: done", f"--work_dir={tmp_path}"],
        cwd=calls.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "it was never at 'callback records: done'." in done.stderr
