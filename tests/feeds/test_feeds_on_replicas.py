"""The feeds on MirroredStrategy: two replicas see what one sees."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LAWS = (
    "the_shares_of_two_replicas_are_the_batch_of_one_arrays",
    "the_shares_of_two_replicas_are_the_batch_of_one_files",
    "two_replicas_start_at_any_step_and_go_on_arrays",
    "two_replicas_start_at_any_step_and_go_on_files",
    "two_replicas_evaluate_every_example_once_arrays",
    "two_replicas_evaluate_every_example_once_files",
    "damaged_files_are_one_line_on_two_replicas_files",
)


@pytest.fixture(scope="module")
def outcomes():
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("feeds_on_two_replicas.py")],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("law", LAWS)
def test_law_on_two_replicas(outcomes, law):
    assert outcomes[law] == "done"


def test_every_law_is_looked_at(outcomes):
    assert set(outcomes) == set(LAWS)
