"""What a type checker makes of a user's program."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RIGHT = """
import numpy as np
import pandas as pd
import tf_lottery as tfl

model = tfl.make_prunable(object(), exclude="output")
tickets = tfl.callbacks.LotteryTicket(levels=3, fraction="0.2", rewind_to="500it", epochs_per_level=2)
frame: pd.DataFrame = tickets.to_frame()
masks: dict[str, np.ndarray] = tfl.get_masks(model)
kept: float = tfl.density(model)
ticket: tfl.Ticket = tickets.ticket(3)
tfl.save_ticket("ticket.tfl", ticket)
run: tfl.Run = tfl.Run.load("runs/digits")
"""
WRONG = """
import tf_lottery as tfl

tfl.callbacks.LotteryTicket(levels="3", epochs_per_level=2)
tfl.callbacks.LotteryTicket(levels=3)
masks: list[float] = tfl.get_masks(object())
tfl.no_such_name
tfl.Unit(replicate=1, layer=2)
"""


def checked(program, tmp_path):
    (path := tmp_path / "program.py").write_text(program)
    options = ("--config-file", ROOT / "pyproject.toml", "--cache-dir", tmp_path / "cache", "--follow-imports=silent")
    command = [sys.executable, "-m", "mypy", *options, "--strict", path]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_typed_program_passes(tmp_path):
    result = checked(RIGHT, tmp_path)
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_wrong_types_and_names_are_found_line_by_line(tmp_path):
    found = checked(WRONG, tmp_path).stdout
    for line in (4, 5, 6, 7, 8):
        assert f"program.py:{line}: error:" in found, found
