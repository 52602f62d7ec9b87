from tf_lottery.training.pauses import Pace


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
