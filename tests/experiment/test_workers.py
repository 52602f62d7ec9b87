import os
from concurrent.futures import Future
from types import SimpleNamespace

import fakes
import pytest

from tf_lottery.errors import ConfigError, PruningError, RunError, StoppedError
from tf_lottery.experiment import plan, workers
from tf_lottery.experiment.plan import Plan
from tf_lottery.experiment.storage import Unit
from tf_lottery.experiment.workers import Watcher, Workers
from tf_lottery.training.topology import ONE_DEVICE, Topology


class Inline:
    """An executor that runs each task at once, or fails for chosen units."""

    def __init__(self, failing, error):
        self.order, self.failing, self.error = [], failing, error

    def submit(self, function, path, unit):
        self.order.append(unit)
        future = Future()
        if unit in self.failing:
            future.set_exception(self.error(f"no {unit}"))
        else:
            future.set_result(None)
        return future


class Silence:
    def empty(self):
        return True


class Done(Watcher):
    def __init__(self):
        self.done, self.notes = [], []

    def on_done(self, run, unit):
        self.done.append(unit)

    def on_note(self, note):
        self.notes.append(note)


def pool(jobs, failing=(), error=PruningError, topology=ONE_DEVICE):
    made = object.__new__(Workers)
    made._executor, made._jobs, made._topology = Inline(failing, error), jobs, topology
    made._news, made._stop, made._begun = Silence(), SimpleNamespace(value=0), set()
    return made


def test_all_workers_start_up_while_the_first_one_plans(monkeypatch):
    made, submitted = pool(3), []

    def submit(function):
        submitted.append(function.__name__)
        future = Future()
        future.set_result(Plan({"": (100, 0)}))
        return future

    monkeypatch.setattr(made._executor, "submit", submit)
    assert made.plan() == Plan({"": (100, 0)}, jobs=3)
    assert submitted == ["plan", "prepare", "prepare"]


def perform(pool, units, run):
    watcher = Done()
    pool.perform(run, plan.units_to_train(units, plan.needs(run.config)), watcher)
    return watcher.done


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_unit_is_trained_once_and_after_the_unit_it_needs(tmp_path, jobs):
    run = fakes.run(tmp_path / "run")
    units, needs = plan.units(run.config), plan.needs(run.config)
    done = perform(pool(jobs), units, run)
    assert sorted(done) == sorted(units)
    for unit in done:
        assert needs[unit] is None or done.index(needs[unit]) < done.index(unit)


def test_units_do_not_wait_for_finished_units(tmp_path):
    run = fakes.run(tmp_path / "run")
    assert perform(pool(1), [Unit(1, 2, "reinit")], run) == [Unit(1, 2, "reinit")]


def test_a_failure_skips_the_units_that_depend_on_it_and_no_others(tmp_path):
    run = fakes.run(tmp_path / "run")
    units = plan.units(run.config)
    made = pool(2, failing=[Unit(1, 1)])
    with pytest.raises(PruningError, match="no replicate 1, level 1"):
        perform(made, units, run)
    lost = {Unit(1, 2), Unit(1, 2, "reinit"), Unit(1, 2, "random_mask")}
    assert set(made._executor.order) == set(units) - lost


@pytest.mark.parametrize(("topology", "continues"), [(ONE_DEVICE, True), (Topology("mirrored", 2), False)])
def test_an_error_of_one_of_several_workers_ends_the_run(tmp_path, topology, continues):
    run = fakes.run(tmp_path / "run")
    made = pool(1, failing=[Unit(1, 0)], error=RunError, topology=topology)
    with pytest.raises(RunError, match="no replicate 1, level 0"):
        perform(made, plan.units(run.config), run)
    assert (len(made._executor.order) > 1) == continues


@pytest.mark.parametrize("error", [KeyboardInterrupt, StoppedError])
def test_an_interrupt_stops_all_units_and_waits_for_them(tmp_path, error):
    run = fakes.run(tmp_path / "run")
    made, watcher = pool(1, failing=[Unit(1, 1)], error=error), Done()
    with pytest.raises(error):
        made.perform(run, plan.needs(run.config), watcher)
    assert made._stop.value == 1
    assert watcher.done == [Unit(1, 0), Unit(2, 0), Unit(3, 0)]
    assert made._executor.order == [*watcher.done, Unit(1, 1)]
    assert watcher.notes == ["Stopping: each unit saves a checkpoint and ends. Press Ctrl-C again to stop at once."]


def put_variables(queue):
    queue.put(dict(os.environ))


def test_a_process_that_trains_starts_with_the_pinned_variables_and_this_one_keeps_its_own(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    before = dict(os.environ)
    queue = (context := workers._Context()).SimpleQueue()
    (process := context.Process(target=put_variables, args=(queue,))).start()
    assert dict(os.environ) == before
    found = queue.get()
    process.join()
    assert {name: found[name] for name in ("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS", "OMP_NUM_THREADS")} == {
        "KERAS_BACKEND": "tensorflow",
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "OMP_NUM_THREADS": "1",
    }


def test_a_variable_that_tensorflow_would_ignore_is_refused_before_a_process_starts(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "yes")
    monkeypatch.setattr(workers, "ProcessPoolExecutor", None)
    with pytest.raises(ConfigError, match="TF_ENABLE_ONEDNN_OPTS must be 0 or 1"):
        Workers(fakes.experiment(), 1)
