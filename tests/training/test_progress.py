"""The progress of training, packed into a checkpoint and unpacked."""

import numpy as np

from tf_lottery.masking import ticket
from tf_lottery.training import progress as progress_lib
from tf_lottery.training.progress import Progress

ROW = {"step": 4, "train_loss": 0.5, "validation_loss": float("nan"), "validation_accuracy": 0.25}
STATE = {"weights": {"w": np.ones(2, np.float32)}, "optimizer": {"0000": np.array(4)}}


def written_and_read(progress):
    packed = progress_lib.pack(progress, STATE, {"w": np.array([True, True])}, {})
    return progress_lib.unpack(ticket.unpack(ticket.pack(packed)))[0]


def test_the_rows_of_a_history_come_back_with_their_columns_in_order():
    (row,) = written_and_read(Progress(4, history=[ROW])).history
    assert list(row) == list(ROW)
    assert str(row) == str(ROW)


def test_a_row_is_whole_numbers_of_steps_and_floats():
    (row,) = written_and_read(Progress(4, history=[ROW])).history
    assert [type(value) for value in row.values()] == [int, float, float, float]
