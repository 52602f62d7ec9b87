"""Scripts that tests run end in time, with all processes that they start."""

import re

import calls
import pytest

LEAVES_A_PROCESS = """
import os
import subprocess
import sys
import time

print(os.getpgrp(), flush=True)
subprocess.Popen(["sleep", "60"])
if "--waits" in sys.argv:
    time.sleep(60)
"""


@pytest.fixture
def leaves_a_process(tmp_path, monkeypatch):
    """Make `calls.script("leaves_a_process")` possible."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/leaves_a_process.py").write_text(LEAVES_A_PROCESS)
    monkeypatch.setattr(calls, "ROOT", tmp_path)
    monkeypatch.setattr(calls, "_GRACE", 0.1)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [([], ChildProcessError, "left a process behind"), (["--waits"], TimeoutError, "did not end in 1 seconds")],
)
def test_a_process_that_a_script_leaves_behind_is_an_error_and_killed(leaves_a_process, arguments, error, words):
    with pytest.raises(error, match=words) as caught:
        calls.script("leaves_a_process", *arguments, timeout=1)
    (group,) = re.findall(r"stdout:\n(\d+)\n", str(caught.value))
    assert calls._ends(int(group), 10)


def test_a_script_that_does_not_exist_is_an_error():
    with pytest.raises(FileNotFoundError, match=r"there is no script "):
        calls.script("nothing")
