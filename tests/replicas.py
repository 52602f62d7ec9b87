"""Scripts of tests that run on two replicas, each in a process of its own: logical devices are made before all else."""

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def outcomes_of(script):
    """What a script prints as JSON, in its last line."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ["PYTHONPATH"]])}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
