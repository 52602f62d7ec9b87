"""Trains independent units in separate processes, one TensorFlow each; what these do is in `worker_process`.

Even a single job has a process of its own: thread counts and determinism are settings of a whole process, and they
belong to the experiment, not to the program that started it.
"""

import dataclasses
import multiprocessing
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from types import TracebackType

from tf_lottery import quiet
from tf_lottery.errors import LotteryError, RunError, StoppedError
from tf_lottery.experiment import plugins, worker_process
from tf_lottery.experiment.checkpoints import EVERY_TEN_MINUTES, CheckpointInterval
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.plan import Needs, Plan
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.training.topology import ONE_DEVICE, Topology

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 60.0  # with trainings that are to end: longer than an evaluation or a write, mostly
_LINGER_SECONDS = 3.0


class Watcher:
    """Sees how an experiment goes on; this one looks away."""

    def on_plan(self, work: Mapping[Unit, int], done: list[Unit], plan: Plan) -> None:
        """Called once, before the first training, with the optimizer steps of each that is to be done."""

    def on_steps(self, unit: Unit, steps: int) -> None:
        """Called again and again, with the steps done since the last call; at first those that were kept."""

    def on_accuracy(self, unit: Unit, accuracy: float) -> None:
        """Called with the newest accuracy on the validation set, 0-1, after steps that came to one."""

    def on_done(self, run: Run, unit: Unit) -> None:
        """Called when a training is done and stored."""

    def on_note(self, note: str) -> None:
        """Called with what a person should know, in a sentence."""


NOBODY = Watcher()


class Workers:
    """A pool of processes that train units of one experiment. Use it in a `with` statement."""

    def __init__(
        self,
        config: Experiment,
        jobs: int,
        topology: Topology = ONE_DEVICE,
        interval: CheckpointInterval = EVERY_TEN_MINUTES,
    ):
        with quiet.stderr():  # for good: it clears away what killed workers leave, and need not warn of it
            resource_tracker.ensure_running()
        context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
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
            process.kill()  # whatever is under way is not done, so nothing is lost that counts
        self._executor.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise RunError(
                "A training process died. What was done is kept, and the last states of what was under way; the same "
                "command goes on from there. Out of memory? Then try fewer jobs. In a script of your own? Then call "
                "find_tickets under if __name__ == '__main__'."
            ) from error

    def plan(self) -> Plan:
        """Load data and models once and says what is ahead; raises LotteryError where they do not fit."""
        planned = self._executor.submit(worker_process.plan)
        for _ in range(1, self._jobs):  # the others start up meanwhile, which takes ten seconds
            self._executor.submit(worker_process.prepare)
        return dataclasses.replace(planned.result(), jobs=self._jobs)

    def meet(self) -> None:
        """Wait until the workers on all machines have come here."""
        self._executor.submit(worker_process.meet).result()

    def perform(self, run: Run, trainings: Needs, watcher: Watcher) -> None:
        """Train units, each after the one it waits for.

        Args:
            run: Where they are stored.
            trainings: From `plan.trainings`, the most urgent first.
            watcher: Told of steps and trainings done.

        Raises:
            LotteryError: a unit could not be done. All that do not build on it are done first; not on several devices,
                if this one could not read or write, or another is lost.
            KeyboardInterrupt, StoppedError: this was to end; the state of what was under way is kept.
        """
        running: dict[Future, Unit] = {}
        try:
            self._perform(run, trainings, running, watcher)
        except (KeyboardInterrupt, StoppedError):
            watcher.on_note("Stopping: each training keeps its state and ends. Ctrl-C again stops at once.")
            self._stop.value = 1
            self._hear(watcher)
            # Who has not trained a step in this process has nothing new to keep, and may be compiling for long.
            begun = {future for future, unit in running.items() if unit in self._begun}
            for future in wait(begun, timeout=_PATIENCE_SECONDS).not_done:
                watcher.on_note(f"{running[future]} did not answer; it goes on from the last state that was kept.")
            raise
        if self._topology.strategy == "multi_worker":
            time.sleep(_LINGER_SECONDS)  # who leaves the last meeting first must not be gone for those still in it

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
            self._hear(watcher)
            for future in finished:
                unit = running.pop(future)
                if error := _failure(future):
                    if self._ends_all(error):
                        raise error
                    failed[unit] = error
                else:
                    watcher.on_done(run, unit)
        if failed:
            raise next(iter(failed.values()))

    def _hear(self, watcher: Watcher) -> None:
        """Pass on what the trainings tell."""
        while not self._news.empty():
            kind, *news = self._news.get()
            if kind == "on_steps":
                self._begun.add(news[0])
            getattr(watcher, kind)(*news)

    def _ends_all(self, error: LotteryError) -> bool:
        """Return whether nothing more can be trained. One of several workers cannot leave out a training: the others do it."""
        return isinstance(error, StoppedError if self._topology.is_alone else RunError)


def _failure(future: Future) -> LotteryError | None:
    try:
        future.result()
    except LotteryError as error:
        return error
    return None
