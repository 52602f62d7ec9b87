"""Finds lottery tickets: the whole experiment, which can be killed and resumed at any moment."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tf_lottery.errors import ConfigError, DamageError
from tf_lottery.experiment import execution, locks, open_run, plan as plan_lib, validation
from tf_lottery.experiment.checkpoints import CheckpointInterval
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.experiment.workers import NOBODY, Watcher, Workers
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
    watcher: Watcher = NOBODY,
) -> Run:
    """Iterative magnitude pruning with rewinding, for every replicate, with its controls.

    Each replicate trains the dense network (level 0), then prunes, rewinds to step k and trains again, level after
    level (Frankle et al. 2019, Algorithm 1). Everything is stored in `run_dir`; what is done there is not done again,
    a training under way goes on from its last kept state, to the same bytes, and a run of the same experiment with
    fewer levels, replicates, controls, variants or measures of stability is extended.

    The trainings run in processes of their own: a script that calls this needs `if __name__ == "__main__":`.

    Args:
        config: The experiment.
        run_dir: New, empty, or the directory of this experiment.
        jobs: Trainings side by side. Results are the same for any number. On several devices only one at a time.
        topology: The devices that each training uses. With several workers all call this, with a `run_dir` that all
            can read; only the chief writes there.
        checkpoint_every: How often the state of a training under way is kept: `"500it"` (optimizer steps) or `"10min"`
            (minutes). Results are the same for any.
        only_replicates: Which replicates to train; another call can train the others at the same time. Default: all.
        any_environment: Whether a run may go on with other versions or devices than it was begun with. Then it is not
            bit-exact, and says so.
        watcher: Told what is planned, trained and done.

    Returns:
        The finished run.

    Raises:
        LotteryError: config, data, model or directory cannot be used, or other processes use them; then nothing was
            written. Or a level could not be pruned; then all that does not build on it is done and stored.

    Source:
        Frankle, Dziugaite, Roy, Carbin 2019 (arXiv 1903.01611), Algorithm 1; its section 3 for random masks and
        stability.

    Examples:
        >>> import tf_lottery as tfl
        >>> from tf_lottery.experiment.config import Experiment, Prune, Train
        >>> experiment = Experiment(replicates=1, train=Train(steps="200it"), prune=Prune(levels=2, fraction=0.5))
        >>> if __name__ == "__main__":  # the processes that train read this file, too
        ...     run = tfl.find_tickets(experiment, "runs/mine", jobs=2)
        ...     print(run.metrics(tfl.Unit(replicate=1, level=2))["test_accuracy"])
    """
    validation.check(config)
    topology.check()
    interval = CheckpointInterval.parse(checkpoint_every)
    if jobs < 1 or (jobs > 1 and not topology.is_alone):
        most = "at least 1" if topology.is_alone else f"1: strategy {topology.strategy!r} uses all devices for each"
        raise ConfigError(f"`jobs` must be {most}. Received: {jobs}")
    found = open_run.existing_run(run_dir, config)
    config = found.config if found else config  # with all that the run has or is to have
    mine = _mine(config, only_replicates)
    is_done = found and all(map(found.is_done, mine))
    with contextlib.ExitStack() as held:
        if found and topology.is_chief:
            held.enter_context(_held(found, mine))  # refused at once, not when TensorFlow is there
            if is_done:
                _open(run_dir, config, any_environment=any_environment)
        if is_done:
            return found
        left = plan_lib.trainings(
            {unit for unit in mine if not (found and found.is_done(unit))}, plan_lib.needs(config)
        )
        with Workers(config, min(jobs, plan_lib.width(left)), topology, interval) as workers:
            plan = workers.plan()
            if topology.is_chief:
                run = _open(run_dir, execution.settled(config, plan.execution), plan.environment, any_environment)
                if not found:
                    held.enter_context(_held(run, mine))
            if not topology.is_alone:
                workers.meet()
            if not topology.is_chief:
                run = open_run.opened_by_chief(run_dir, config)
            todo = {unit for unit in mine if not run.is_done(unit)}
            trainings = plan_lib.trainings(todo, plan_lib.needs(run.config))
            watcher.on_plan(plan.work(trainings), [unit for unit in mine if unit not in todo], plan)
            workers.perform(run, trainings, watcher)
    return run


def _open(
    run_dir: str | os.PathLike[str],
    config: Experiment,
    environment: Mapping[str, Any] | None = None,
    any_environment: bool = False,
) -> Run:
    with open_run.lock(run_dir):
        return open_run.open_run(run_dir, config, environment, any_environment=any_environment)


def _mine(config: Experiment, only_replicates: Sequence[int]) -> list[Unit]:
    """Return the trainings that this call is for."""
    if unknown := set(only_replicates) - set(range(1, config.replicates + 1)):
        raise ConfigError(
            f"`only_replicates` must be among 1 to {config.replicates}. Received: {', '.join(map(str, unknown))}"
        )
    return [unit for unit in plan_lib.units(config) if not only_replicates or unit.replicate in only_replicates]


@contextlib.contextmanager
def _held(run: Run, mine: Sequence[Unit]) -> Iterator[None]:
    """Keep other processes from the replicates, cleared of leftovers and found whole.

    Raises:
        RunError: another process trains one of them.
        DamageError: a file is damaged.
    """
    with contextlib.ExitStack() as stack:
        for replicate in sorted({unit.replicate for unit in mine}):
            stack.enter_context(locks.hold(run.lock_path(replicate), f"replicate {replicate} of {run.path}"))
        for unit in mine:
            run.tidy(unit)
        faults = [fault for unit in mine if run.is_done(unit) for _, fault in run.verify(unit) if fault]
        if faults:
            more = f" Damaged files in all: {len(faults)}; see scripts/runs.py verify {run.path}" if faults[1:] else ""
            raise DamageError(f"{faults[0]}{more}")
        yield
