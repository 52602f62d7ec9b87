from concurrent.futures import Future

import made_up
import pytest

from tf_lottery.errors import PruningError
from tf_lottery.experiment import plan, workers
from tf_lottery.experiment.plan import Plan
from tf_lottery.experiment.storage import Unit
from tf_lottery.experiment.workers import Workers


class Inline:
    """An executor that does the work at once, or fails where it is told to."""

    def __init__(self, failing=()):
        self.order, self.failing = [], failing

    def submit(self, function, path, unit):
        self.order.append(unit)
        future = Future()
        if unit in self.failing:
            future.set_exception(PruningError(f"no {unit}"))
        else:
            future.set_result(None)
        return future


class Silence:
    def empty(self):
        return True


def pool(jobs, failing=()):
    made = object.__new__(Workers)
    made._executor, made._progress, made._jobs = Inline(failing), Silence(), jobs
    return made


def perform(pool, units, run):
    done = []
    pool.perform(run, units, plan.needs, on_steps=lambda unit, steps: None, on_done=done.append)
    return done


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_unit_is_done_once_and_after_what_it_needs(tmp_path, jobs):
    run = made_up.run(tmp_path / "run")
    units = plan.units(run.config)
    done = perform(pool(jobs), units, run)
    assert sorted(done) == sorted(units)
    for unit in done:
        assert plan.needs(unit) is None or done.index(plan.needs(unit)) < done.index(unit)


def test_what_was_done_before_is_not_waited_for(tmp_path):
    run = made_up.run(tmp_path / "run")
    assert perform(pool(1), [Unit(1, 2, "reinit")], run) == [Unit(1, 2, "reinit")]


def test_a_failure_stops_what_builds_on_it_and_nothing_else(tmp_path):
    run = made_up.run(tmp_path / "run")
    units = plan.units(run.config)
    made = pool(2, failing=[Unit(1, 1)])
    with pytest.raises(PruningError, match="no replicate 1, level 1"):
        perform(made, units, run)
    lost = {Unit(1, 2), Unit(1, 2, "reinit"), Unit(1, 2, "random_mask")}
    assert set(made._executor.order) == set(units) - lost


def test_a_plan_counts_the_steps_of_each_training():
    plan = Plan(total_steps=100, rewind_step=30, environment={})
    steps = [plan.steps(unit) for unit in (Unit(1, 0), Unit(1, 2), Unit(1, 2, "random_mask"), Unit(1, 2, "reinit"))]
    assert steps == [100, 70, 70, 100]


def test_standard_error_is_silent_only_for_a_while(capfd):
    import os

    with workers._silent_stderr():
        os.write(2, b"unheard")
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"
