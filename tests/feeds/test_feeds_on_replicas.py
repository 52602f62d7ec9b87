"""The feeds on MirroredStrategy: two replicas receive the examples that one receives."""

from pathlib import Path

import pytest
import replicas

PROPERTIES = (
    "the_shares_of_two_replicas_are_the_batch_of_one_arrays",
    "the_shares_of_two_replicas_are_the_batch_of_one_files",
    "two_replicas_start_at_any_step_and_continue_arrays",
    "two_replicas_start_at_any_step_and_continue_files",
    "two_replicas_evaluate_every_example_once_arrays",
    "two_replicas_evaluate_every_example_once_files",
    "damaged_files_are_one_line_on_two_replicas_files",
)


@pytest.mark.slow
def test_properties_on_two_replicas():
    outcomes = replicas.outcomes_of(Path(__file__).with_name("feeds_on_two_replicas.py"))
    assert outcomes == dict.fromkeys(PROPERTIES, "done")
