import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_tickets_are_found_under_a_strategy_as_on_one_device():
    script = Path(__file__).with_name("levels_on_two_replicas.py")  # logical devices must be made before all else
    environment = {**os.environ, "PYTHONPATH": str(script.parents[1])}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["densities"] == pytest.approx([1, 0.5, 0.25], abs=0.01)
    assert result["steps"] == [16, 16, 16]
    assert result["starts at step k"]
    assert result["pruned"]
    assert result["control"] == result["densities"][2]
