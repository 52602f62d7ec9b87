"""The entry point of a whole experiment, which can be killed at any time and resumed."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tf_lottery.errors import ConfigError, DamageError
from tf_lottery.experiment import open_run, plan as plan_lib, validation
from tf_lottery.experiment.checkpoints import CheckpointInterval
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.experiment.workers import NO_WATCHER, Watcher, Workers
from tf_lottery.training.topology import ONE_DEVICE, Topology


def find_tickets(
    config: Experiment,
    run_dir: str | os.PathLike[str],
    *,
    jobs: int = 1,
    topology: Topology = ONE_DEVICE,
    checkpoint_every: str = "10min",
    only_replicates: Sequence[int] = (),
    any_environment: bool = False,
    watcher: Watcher = NO_WATCHER,
) -> Run:
    """Find lottery tickets by iterative magnitude pruning with rewinding, in every replicate, and train their controls.

    Each replicate trains the dense network (level 0), then prunes, rewinds to step k and trains again, level by level
    (Frankle et al. 2019, Algorithm 1). Everything is stored in `run_dir`. If `run_dir` already holds a run of this
    experiment, finished units are not trained again. An unfinished unit resumes from its last checkpoint and ends with
    bit-identical results. If the stored run has fewer levels, replicates, controls, variants or stability runs, it is
    extended.

    Units are trained in separate processes, so a script that calls this function needs `if __name__ == "__main__":`.

    Args:
        config: The experiment.
        run_dir: A new or empty directory, or one that holds a run of this experiment.
        jobs: Number of units to train in parallel. Results do not depend on it. Must be 1 on several devices. Defaults
            to 1.
        topology: The devices that each unit uses. With several workers, each of them calls this function with a
            `run_dir` that all can read; only the chief writes to it. Defaults to one device.
        checkpoint_every: How often a checkpoint is saved: `"500it"` (optimizer steps) or `"10min"` (minutes). Results
            do not depend on it. Defaults to `"10min"`.
        only_replicates: Replicates to train; another call can train the others at the same time. Defaults to all.
        any_environment: Whether a run may resume in another environment than it started in: other versions, another
            kind of processor or device, other data. The report then says that the run is not bit-exact. Defaults to
            False.
        watcher: Receives the plan, the progress and the finished units. Defaults to a watcher that ignores them.

    Returns:
        The finished run.

    Raises:
        LotteryError: the config, data, model or directory cannot be used, or another process uses the directory; in
            these cases nothing is written. Or a level cannot be pruned because the one before it diverged; in this case
            all units that do not depend on it are stored.

    Source:
        Frankle, Dziugaite, Roy, Carbin 2019 (arXiv 1903.01611), Algorithm 1; its section 3 for random masks and
        stability.

    Examples:
        >>> import tf_lottery as tfl
        >>> from tf_lottery.experiment.config import Experiment, Prune, Train
        >>> experiment = Experiment(replicates=1, train=Train(steps="200it"), prune=Prune(levels=2, fraction=0.5))
        >>> if __name__ == "__main__":  # the worker processes import this file, too
        ...     run = tfl.find_tickets(experiment, "runs/mine", jobs=2)
        ...     print(run.metrics(tfl.Unit(replicate=1, level=2))["test_accuracy"])
    """
    validation.check(config)
    if not isinstance(topology, Topology):
        raise ConfigError(f'`topology` must be a Topology, such as Topology("mirrored"). Received: {topology!r}')
    topology.check()
    interval = CheckpointInterval.parse(checkpoint_every)
    if jobs < 1 or (jobs > 1 and not topology.is_alone):
        only = f"1: strategy {topology.strategy!r} uses all devices for each unit"
        raise ConfigError(f"`jobs` must be {'at least 1' if topology.is_alone else only}. Received: {jobs}")
    found = open_run.existing_run(run_dir, config)
    config = found.config if found else config  # includes what the stored run already has
    units = _units(config, only_replicates)
    is_done = found and all(map(found.is_done, units))
    with contextlib.ExitStack() as locked:
        if found and topology.is_chief:
            locked.enter_context(_locked(found, units))  # refuse at once, before TensorFlow starts
            if is_done:
                _open(run_dir, config, any_environment=any_environment)
        if is_done:
            return found
        unfinished = {unit for unit in units if not (found and found.is_done(unit))}
        most_jobs = plan_lib.width(plan_lib.units_to_train(unfinished, plan_lib.needs(config)))
        with Workers(config, min(jobs, most_jobs), topology=topology, interval=interval) as workers:
            plan = workers.plan()
            if topology.is_chief:
                run = _open(run_dir, plan_lib.settled(config, plan.execution), plan.environment, any_environment)
                if not found:
                    locked.enter_context(_locked(run, units))
            if not topology.is_alone:
                workers.meet()
            if not topology.is_chief:
                run = open_run.opened_by_chief(run_dir, config)
            unfinished = {unit for unit in units if not run.is_done(unit)}
            to_train = plan_lib.units_to_train(unfinished, plan_lib.needs(run.config))
            watcher.on_plan(plan.work(to_train), [unit for unit in units if unit not in unfinished], plan)
            workers.perform(run, to_train, watcher)
    return run


def _open(
    run_dir: str | os.PathLike[str],
    config: Experiment,
    environment: Mapping[str, Any] | None = None,
    any_environment: bool = False,
) -> Run:
    with open_run.lock(run_dir):
        return open_run.open_run(run_dir, config, environment, any_environment=any_environment)


def _units(config: Experiment, only_replicates: Sequence[int]) -> list[Unit]:
    """Return the units of the chosen replicates, or of all replicates if none are chosen."""
    is_sequence = isinstance(only_replicates, Sequence) and not isinstance(only_replicates, str)
    if not is_sequence or set(only_replicates) - set(range(1, config.replicates + 1)):
        raise ConfigError(
            f"`only_replicates` must be a sequence of numbers from 1 to {config.replicates}, such as (1,). "
            f"Received: {only_replicates!r}"
        )
    return [unit for unit in plan_lib.units(config) if not only_replicates or unit.replicate in only_replicates]


@contextlib.contextmanager
def _locked(run: Run, units: Sequence[Unit]) -> Iterator[None]:
    """Hold the locks of the replicates of `units`; remove leftover files and check all stored ones.

    Raises:
        RunError: another process trains one of the replicates.
        DamageError: a file is damaged.
    """
    with contextlib.ExitStack() as stack:
        for replicate in sorted({unit.replicate for unit in units}):
            stack.enter_context(run.lock(replicate))
        for unit in units:
            run.tidy(unit)
        faults = [fault for unit in units if run.is_done(unit) for _, fault in run.verify(unit) if fault]
        if faults:
            in_total = f" Damaged files in total: {len(faults)}; see scripts/runs.py verify {run.path}"
            raise DamageError(f"{faults[0]}{in_total if faults[1:] else ''}")
        yield
