"""Finds lottery tickets: the whole experiment, resumable at every training."""

import contextlib
import os
from collections.abc import Iterator

from tf_lottery.errors import ConfigError
from tf_lottery.experiment import config as config_lib, storage
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.experiment.workers import Plan, Workers
from tf_lottery.topology import ONE_DEVICE, Topology


class Watcher:
    """Sees how an experiment goes on; this one looks away."""

    def on_plan(self, todo: list[Unit], done: list[Unit], plan: Plan) -> None:
        """Called once, before the first training."""

    def on_steps(self, unit: Unit, steps: int) -> None:
        """Called again and again, with the steps trained since the last call."""

    def on_done(self, run: Run, unit: Unit) -> None:
        """Called when a training is done and stored."""


_NOBODY = Watcher()


def find_tickets(
    config: Experiment,
    run_dir: str | os.PathLike[str],
    *,
    jobs: int = 1,
    topology: Topology = ONE_DEVICE,
    watcher: Watcher = _NOBODY,
) -> Run:
    """Iterative magnitude pruning with rewinding, for every replicate, with its controls.

    Each replicate trains the dense network (level 0), then prunes, rewinds to step k and trains again, level after
    level (Frankle et al. 2019, Algorithm 1). Everything is stored in `run_dir`; what is done there is not done again,
    and a run of the same experiment with fewer levels, replicates or controls is extended.

    The trainings run in processes of their own: a script that calls this needs `if __name__ == "__main__":`.

    Args:
        config: The experiment.
        run_dir: New, empty, or the directory of this experiment.
        jobs: Trainings side by side. Results are the same for any number. On several devices only one at a time.
        topology: The devices that each training uses. With several workers all call this, with a `run_dir` that all
            can read; only the chief writes there.
        watcher: Told what is planned, trained and done.

    Returns:
        The finished run.

    Raises:
        LotteryError: config, data, model or directory cannot be used; then nothing was written. Or a level could not be
            pruned; then all that does not build on it is done and stored.
    """
    config_lib.check(config)
    topology.check()
    if jobs < 1 or (jobs > 1 and not topology.is_alone):
        most = "at least 1" if topology.is_alone else f"1: strategy {topology.strategy!r} uses all devices for each"
        raise ConfigError(f"`jobs` must be {most}. Received: {jobs}")
    finished = storage.existing_run(run_dir, config)
    if finished and all(finished.is_done(unit) for unit in units(finished.config)):
        return finished
    with Workers(finished.config if finished else config, jobs, topology) as workers:
        plan = workers.plan()
        with _opened(config, run_dir, topology, plan, workers) as run:
            done = [unit for unit in units(run.config) if run.is_done(unit)]
            todo = [unit for unit in units(run.config) if unit not in done]
            watcher.on_plan(todo, done, plan)
            workers.perform(
                run, todo, needs, on_steps=watcher.on_steps, on_done=lambda unit: watcher.on_done(run, unit)
            )
    return run


@contextlib.contextmanager
def _opened(
    config: Experiment, run_dir: str | os.PathLike[str], topology: Topology, plan: Plan, workers: Workers
) -> Iterator[Run]:
    """The run, made or opened by the chief, then by the other workers."""
    with storage.lock(run_dir) if topology.is_chief else contextlib.nullcontext():
        if topology.is_chief:
            run = storage.open_run(run_dir, config, plan.environment)
        if not topology.is_alone:
            workers.meet()
        yield run if topology.is_chief else storage.opened_by_chief(run_dir, config)


def units(config: Experiment) -> list[Unit]:
    """All trainings, tickets first: they are what the others wait for."""
    replicates, levels = range(1, config.replicates + 1), range(config.prune.levels + 1)
    tickets = [Unit(replicate, level) for level in levels for replicate in replicates]
    pruned = [unit for unit in tickets if unit.level]
    return tickets + [Unit(unit.replicate, unit.level, control) for unit in pruned for control in config.controls]


def needs(unit: Unit) -> Unit | None:
    """The training whose result `unit` starts from: the ticket of the level before."""
    return Unit(unit.replicate, unit.level - 1) if unit.level else None
