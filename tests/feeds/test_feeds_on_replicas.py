"""The feeds on MirroredStrategy: two replicas see what one sees."""

from pathlib import Path

import pytest
import replicas

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
    return replicas.outcomes_of(Path(__file__).with_name("feeds_on_two_replicas.py"))


@pytest.mark.parametrize("law", LAWS)
def test_law_on_two_replicas(outcomes, law):
    assert outcomes[law] == "done"


def test_every_law_is_looked_at(outcomes):
    assert set(outcomes) == set(LAWS)
