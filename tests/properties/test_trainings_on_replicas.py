"""Our own training on MirroredStrategy: the properties of levels, and that two replicas train as one."""

from pathlib import Path

import pytest
import replicas

PROPERTIES = (
    "two_replicas_train_as_one_plain_False",
    "two_replicas_train_as_one_plain_True",
    "two_replicas_train_as_one_synchronized_False",
    "a_level_that_prunes_nothing_ends_with_the_bytes_of_the_dense_one_plain",
    "a_level_that_prunes_nothing_ends_with_the_bytes_of_the_dense_one_BatchNorm",
    "a_level_that_prunes_nothing_ends_with_the_bytes_of_the_dense_one_Dropout",
    "a_line_is_that_of_one_replica_plain",
    "a_line_is_that_of_one_replica_synchronized",
    "pruned_weights_are_zero_on_both_replicas_BatchNorm",
    "stopped_between_evaluations_a_training_ends_with_the_same_bytes_plain",
    "stopped_between_evaluations_a_training_ends_with_the_same_bytes_BatchNorm",
    "stopped_between_evaluations_a_training_ends_with_the_same_bytes_Dropout",
    "where_a_training_pauses_changes_no_bit_BatchNorm",
    "replicas_that_differ_are_found_last bit",
    "replicas_that_differ_are_found_two entries",
    "replicas_that_differ_are_found_mask",
    "batch_statistics_are_made_one_by_their_mean",
)


@pytest.mark.slow
def test_properties_on_two_replicas():
    outcomes = replicas.outcomes_of(Path(__file__).with_name("trainings_on_two_replicas.py"))
    assert outcomes == dict.fromkeys(PROPERTIES, "done")
