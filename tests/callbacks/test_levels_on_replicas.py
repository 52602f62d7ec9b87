from pathlib import Path

import pytest
import replicas


@pytest.mark.slow
def test_tickets_are_found_under_a_strategy_as_on_one_device():
    result = replicas.outcomes_of(Path(__file__).with_name("levels_on_two_replicas.py"))
    assert result["densities"] == pytest.approx([1, 0.5, 0.25], abs=0.01)
    assert result["steps"] == [16, 16, 16]
    assert result["starts at step k"]
    assert result["pruned"]
    assert result["control"] == result["densities"][2]
