"""The progress of training, packed into a checkpoint and unpacked."""

import numpy as np

from tf_lottery.masking import ticket
from tf_lottery.training import progress as progress_lib
from tf_lottery.training.progress import Pace, Progress

ROW = {"step": 4, "train_loss": 0.5, "validation_loss": float("nan"), "validation_accuracy": 0.25}
STATE = {"weights": {"w": np.ones(2, np.float32)}, "optimizer": {"0000": np.array(4)}}


def written_and_read(progress):
    progress.early_stop_weights = STATE["weights"]
    packed = progress_lib.pack(progress, STATE, {"w": np.array([True, True])}, {})
    return progress_lib.unpack(ticket.unpack(ticket.pack(packed)))[0]


def test_the_rows_of_a_history_come_back_with_their_columns_in_order():
    (row,) = written_and_read(Progress(4, history=[ROW])).history
    assert list(row) == list(ROW)
    assert str(row) == str(ROW)


def test_a_row_is_whole_numbers_of_steps_and_floats():
    (row,) = written_and_read(Progress(4, history=[ROW])).history
    assert [type(value) for value in row.values()] == [int, float, float, float]


def test_an_execution_takes_half_a_second_once_the_pace_is_known():
    pace = Pace(1000)
    assert pace.steps == 1
    seen = []
    for _ in range(5):
        pace.took(pace.steps, seconds=0.002 * pace.steps)
        seen.append(pace.steps)
    assert seen == [8, 64, 250, 250, 250]  # at most 8 times as many as before


def test_a_slow_execution_shortens_the_next_to_one_step_at_least():
    pace = Pace(1000)
    pace.steps = 100
    pace.took(100, seconds=5.0)
    assert pace.steps == 10
    pace.took(10, seconds=60.0)
    assert pace.steps == 1


def test_an_execution_of_zero_seconds_is_allowed():
    pace = Pace(1000)
    pace.took(1, seconds=0.0)
    assert pace.steps == 8


def test_an_execution_never_takes_more_steps_than_it_may():
    pace = Pace(20)
    for _ in range(3):
        pace.took(pace.steps, seconds=0.0)
    assert pace.steps == 20
