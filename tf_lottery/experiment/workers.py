"""A pool of processes that train independent units, each with a TensorFlow of its own; see `worker_process`.

Even a single job runs in a process of its own: thread counts and determinism are settings of a whole process, and they
belong to the experiment, not to the program that started it.
"""

import contextlib
import dataclasses
import multiprocessing
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from types import TracebackType

from tf_lottery import files, quiet
from tf_lottery.errors import LotteryError, RunError, StoppedError
from tf_lottery.experiment import environment, plugins, worker_process
from tf_lottery.experiment.checkpoints import EVERY_TEN_MINUTES, CheckpointInterval
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.plan import Needs, Plan
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.training.topology import ONE_DEVICE, Topology

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 60.0  # for units that are told to stop: usually longer than an evaluation or a write
_LINGER_SECONDS = 3.0


class Watcher:
    """Is told of the progress of an experiment; this one ignores it."""

    def on_plan(self, work: Mapping[Unit, int], done: list[Unit], plan: Plan) -> None:
        """Receive the optimizer steps of the units to train; called once, before any of them trains."""

    def on_steps(self, unit: Unit, steps: int) -> None:
        """Receive the number of steps since the last call; at first the steps that were resumed."""

    def on_accuracy(self, unit: Unit, accuracy: float) -> None:
        """Receive the newest accuracy on the validation set, 0-1; called after steps, once there is one."""

    def on_done(self, run: Run, unit: Unit) -> None:
        """Receive a unit that is finished and stored."""

    def on_note(self, note: str) -> None:
        """Receive a message for the user, a whole sentence."""


NO_WATCHER = Watcher()


class _Process(SpawnProcess):
    """A process that starts with the variables that a run pins; it imports the user's script before anything else."""

    def start(self) -> None:
        with environment.set_for_workers():
            super().start()


class _Context(SpawnContext):  # not fork, which TensorFlow does not survive
    Process = _Process


class Workers:
    """A pool of processes that train units of one experiment. Use it in a `with` statement."""

    def __init__(
        self,
        config: Experiment,
        jobs: int,
        *,
        topology: Topology = ONE_DEVICE,
        interval: CheckpointInterval = EVERY_TEN_MINUTES,
    ):
        environment.variables_of_workers()  # refuses a variable at once
        with _starting():
            with quiet.stderr():  # it removes what killed workers leave behind, and need not warn of it
                resource_tracker.ensure_running()
            context = _Context()
            self._news = context.SimpleQueue()
            self._stop = context.RawValue("b", 0)  # without a lock, which a killed process would hold for ever
            self._others = set(multiprocessing.active_children())
            self._executor = ProcessPoolExecutor(
                jobs,
                mp_context=context,
                initializer=worker_process.start,
                initargs=(config, topology, interval, self._news, self._stop, plugins.modules()),
            )
        self._jobs, self._topology = jobs, topology
        self._begun: set[Unit] = set()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in set(multiprocessing.active_children()) - self._others:
            process.kill()  # unfinished units are not stored yet, so nothing is lost but steps since checkpoints
        self._executor.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise RunError(
                "A training process died. Finished units and the last checkpoints are stored; the same command resumes "
                "from there. If memory ran out, try fewer jobs. In a script of your own, call find_tickets under "
                "if __name__ == '__main__'."
            ) from error

    def plan(self) -> Plan:
        """Load data and models once and return the plan; raise LotteryError if they do not fit each other."""
        with _starting():
            planned = self._executor.submit(worker_process.plan)
            for _ in range(1, self._jobs):  # the others start meanwhile, which takes ten seconds
                self._executor.submit(worker_process.prepare)
            return dataclasses.replace(planned.result(), jobs=self._jobs)

    def meet(self) -> None:
        """Wait until the workers on all machines have called this."""
        self._executor.submit(worker_process.meet).result()

    def perform(self, run: Run, to_train: Needs, watcher: Watcher) -> None:
        """Train units, each after the one it waits for.

        Args:
            run: The run in which they are stored.
            to_train: From `plan.units_to_train`, the most urgent first.
            watcher: Told of steps and finished units.

        Raises:
            LotteryError: a unit could not be trained. All units that do not depend on it are finished first; but on
                several devices all stop if this worker cannot read or write, or if another one is lost.
            KeyboardInterrupt, StoppedError: training was interrupted; checkpoints of the unfinished units are saved.
        """
        running: dict[Future, Unit] = {}
        try:
            self._perform(run, to_train, running, watcher)
        except (KeyboardInterrupt, StoppedError):
            watcher.on_note("Stopping: each unit saves a checkpoint and ends. Press Ctrl-C again to stop at once.")
            self._stop.value = 1
            self._forward_news(watcher)
            # A unit without a step in this process has nothing new to save, and may be compiling for a long time.
            begun = {future for future, unit in running.items() if unit in self._begun}
            for future in wait(begun, timeout=_PATIENCE_SECONDS).not_done:
                watcher.on_note(f"{running[future]} did not answer in time; it will resume from its last checkpoint.")
            raise
        if self._topology.strategy == "multi_worker":
            time.sleep(_LINGER_SECONDS)  # other workers may still need this one to leave the last meeting

    def _perform(self, run: Run, needs: Needs, running: dict[Future, Unit], watcher: Watcher) -> None:
        waiting = list(needs)
        failed: dict[Unit, LotteryError] = {}
        while waiting or running:
            for unit, needed in [(unit, needs[unit]) for unit in waiting]:
                if needed in failed:
                    waiting.remove(unit)
                    failed[unit] = failed[needed]
            pending = {*waiting, *running.values()}
            ready = [unit for unit in waiting if needs[unit] not in pending]
            for unit in ready[: self._jobs - len(running)]:
                waiting.remove(unit)
                running[self._executor.submit(worker_process.train, run.path, unit)] = unit
            finished, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            self._forward_news(watcher)
            for future in finished:
                unit = running.pop(future)
                if error := _failure(future):
                    if self._ends_run(error):
                        raise error
                    failed[unit] = error
                else:
                    watcher.on_done(run, unit)
        if failed:
            raise next(iter(failed.values()))

    def _forward_news(self, watcher: Watcher) -> None:
        """Pass the messages of the worker processes on to the watcher."""
        while not self._news.empty():
            kind, *news = self._news.get()
            if kind == "on_steps":
                self._begun.add(news[0])
            getattr(watcher, kind)(*news)

    def _ends_run(self, error: LotteryError) -> bool:
        """Return whether an error ends the run. One of several workers cannot skip a unit that the others train."""
        return isinstance(error, StoppedError if self._topology.is_alone else RunError)


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Turn the errors of a system that lacks something, such as descriptors or shared memory, into RunError."""
    try:
        yield
    except (OSError, ImportError) as error:  # ImportError: a library of TensorFlow could not be opened
        if isinstance(error, LotteryError):
            raise
        raise RunError(
            f"The processes that train cannot start: {files.reason(error)}. They need shared memory (/dev/shm), some "
            "free file descriptors (`ulimit -n`), and a folder for temporary files."
        ) from error


def _failure(future: Future) -> LotteryError | None:
    try:
        future.result()
    except LotteryError as error:
        return error
    return None
