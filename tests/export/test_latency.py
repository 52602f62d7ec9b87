import numpy as np
import pytest

from tf_lottery.export.latency import Latency, latency


class Clock:
    """Stands still but for what takes time."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def __call__(self):
        return self.now

    def function(self, name, seconds):
        """One that takes `seconds`, each time the next of them, the last for ever."""
        left = list(seconds)

        def call(batch):
            self.calls.append((name, batch))
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


def test_the_median_of_the_calls_is_told_and_the_first_is_a_warm_up():
    clock = Clock()
    functions = {"steady": clock.function("steady", [9.0, 2.0]), "jumpy": clock.function("jumpy", [50, 1, 30, 3, 4, 2])}
    assert latency(functions, ["a"], 5, threads=2, clock=clock) == Latency(
        {"steady": 2, "jumpy": 3}, calls=5, threads=2
    )


def test_all_functions_get_a_batch_before_any_gets_the_next():
    clock = Clock()
    functions = {name: clock.function(name, [1.0]) for name in ("f", "g")}
    result = latency(functions, ["a", "b"], 2, threads=1, clock=clock)
    assert clock.calls == [("f", "a"), ("g", "a"), ("f", "b"), ("g", "b")] * 3
    assert result.calls == 4


def test_a_machine_that_slows_down_slows_all_alike():
    clock = Clock()
    slowing = [2.0**number for number in range(6)]
    functions = {name: clock.function(name, slowing) for name in ("f", "g")}
    assert len(set(latency(functions, [0], 5, threads=1, clock=clock).seconds.values())) == 1


def test_what_a_batch_costs_in_another_size_counts_as_often():
    clock = Clock()
    result = latency({"f": clock.function("f", [1, 1, 5, 7, 5, 7])}, [0, 1], 2, threads=1, clock=clock)
    assert result.seconds == {"f": 6}


@pytest.mark.parametrize(
    ("functions", "batches", "repeats"),
    [({}, [1], 1), ({"f": abs}, [], 1), ({"f": abs}, np.zeros((0, 3)), 1), ({"f": abs}, [1], 0)],
)
def test_nothing_cannot_be_timed(functions, batches, repeats):
    with pytest.raises(ValueError, match=r"At least one function, one batch and one repeat are needed\. Received: "):
        latency(functions, batches, repeats, threads=1)


def test_the_clock_of_the_machine_gives_seconds():
    assert latency({"f": abs}, [1], threads=1).seconds["f"] >= 0
