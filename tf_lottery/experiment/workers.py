"""Trains independent units in separate processes, one TensorFlow each.

Even a single job has a process of its own: thread counts and determinism are settings of a whole process, and they
belong to the experiment, not to the program that started it.
"""

import contextlib
import ctypes
import dataclasses
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from pathlib import Path
from types import TracebackType
from typing import Any

from tf_lottery import quiet
from tf_lottery.core.criteria import CRITERIA
from tf_lottery.data import SOURCES
from tf_lottery.errors import ConfigError, LotteryError, RunError, StoppedError
from tf_lottery.experiment.cadence import EVERY_TEN_MINUTES, Cadence
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.plan import Needs, Plan
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.experiment.watcher import Watcher
from tf_lottery.models.names import MODELS
from tf_lottery.topology import ONE_DEVICE, Topology

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 60.0  # with trainings that are to end: longer than an evaluation or a write, mostly
_LINGER_SECONDS = 3.0
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


class Workers:
    """A pool of processes that train units of one experiment. Use it in a `with` statement."""

    def __init__(
        self, config: Experiment, jobs: int, topology: Topology = ONE_DEVICE, cadence: Cadence = EVERY_TEN_MINUTES
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
            initializer=_start,
            initargs=(config, topology, cadence, self._news, self._stop, _homes_of_parts()),
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
        """Loads data and models once and says what is ahead; raises LotteryError where they do not fit."""
        planned = self._executor.submit(_plan)
        for _ in range(1, self._jobs):  # the others start up meanwhile, which takes ten seconds
            self._executor.submit(_prepare)
        return dataclasses.replace(planned.result(), jobs=self._jobs)

    def meet(self) -> None:
        """Waits until the workers on all machines have come here."""
        self._executor.submit(_meet).result()

    def perform(self, run: Run, trainings: Needs, watcher: Watcher) -> None:
        """Trains units, each after the one it waits for.

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
            for unit in [unit for unit in waiting if needs[unit] in failed]:
                waiting.remove(unit)
                failed[unit] = failed[needs[unit]]
            pending = {*waiting, *running.values()}
            ready = [unit for unit in waiting if needs[unit] not in pending]
            for unit in ready[: self._jobs - len(running)]:
                waiting.remove(unit)
                running[self._executor.submit(_train, run.path, unit)] = unit
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
        """Passes on what the trainings tell."""
        while not self._news.empty():
            kind, *news = self._news.get()
            if kind == "on_steps":
                self._begun.add(news[0])
            getattr(watcher, kind)(*news)

    def _ends_all(self, error: LotteryError) -> bool:
        """Whether nothing more can be trained. One of several workers cannot leave out a training: the others do it."""
        return isinstance(error, StoppedError if self._topology.is_alone else RunError)


def _homes_of_parts() -> list[str]:
    """The modules of criteria, data sources and networks that are not ours; a new process has yet to import them.

    What a script has entered by itself is entered anew where a process begins by reading that script.
    """
    parts = (*CRITERIA.values(), *SOURCES.values(), *filter(callable, MODELS.values()))
    homes = {part.__module__ for part in parts}
    return sorted(home for home in homes if home.partition(".")[0] not in ("tf_lottery", "__main__", "__mp_main__"))


def _failure(future: Future) -> LotteryError | None:
    try:
        future.result()
    except LotteryError as error:
        return error
    return None


_worker: dict[str, Any] = {}  # of a worker process: its config, its queue of news; its setups once they are made


def _start(config: Experiment, topology: Topology, cadence: Cadence, news: Any, stop: Any, homes: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, lambda *_: setattr(stop, "value", 1))  # the state is kept first
    if sys.platform == "linux":  # a thread does not run while TensorFlow waits for other machines
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _worker.update(config=config, topology=topology, cadence=cadence, news=news, stop=stop, homes=homes)


def _die_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _setups() -> tuple[Any, Any]:
    """The module `imp`, which takes seconds to import, and its setups; made when first asked for."""
    if "setups" not in _worker:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        with quiet.stderr():
            from tf_lottery import distribution
            from tf_lottery.experiment import execution, imp, setups
            from tf_lottery.training import process

            config, topology = _worker["config"], _worker["topology"]
            _import_parts(_worker["homes"])
            kinds = execution.layer_kinds(config)
            _worker["execution"] = execution.chosen(process.device_kind(), topology.strategy, kinds)
            config = execution.settled(config, _worker["execution"])
            compiled = config.train.jit_compile and topology.is_alone
            process.configure(config.train.threads, deterministic_ops=not compiled, one_device=topology.is_alone)
            if not topology.is_alone:
                _worker["scope"] = contextlib.ExitStack()  # entered for as long as the process lives
                _worker["scope"].enter_context(distribution.make(topology).scope())
            process.start()
            _worker["setups"] = imp, setups.Setups(config)
    return _worker["setups"]


def _import_parts(homes: list[str]) -> None:
    for home in homes:
        try:
            importlib.import_module(home)
        except ImportError as error:
            raise ConfigError(
                f"A training process cannot import {home!r}, where a criterion, data source or network of yours is "
                f"from ({error}). Put it into a module that can be imported, for instance by PYTHONPATH, and import "
                "that in your config."
            ) from error


def _plan() -> Plan:
    _, setups = _setups()
    from tf_lottery import distribution
    from tf_lottery.experiment import environment, variants

    made = {label: setups.of(label) for label in variants.labels(setups.config)}
    steps = {label: (setup.lengths.total, setup.lengths.rewind) for label, setup in made.items()}
    with distribution.lost_workers():
        pace = next(iter(made.values())).trainer.seconds_per_step() if setups.config.variants else None
    return Plan(steps, environment.describe(_worker["topology"].strategy), _worker["execution"], pace)


def _prepare() -> None:
    _, setups = _setups()
    from tf_lottery.experiment import variants

    setups.of(variants.labels(setups.config)[0])


def _meet() -> None:
    _, setups = _setups()
    from tf_lottery import distribution
    from tf_lottery.experiment import variants

    with distribution.lost_workers():
        setups.of(variants.labels(setups.config)[0]).trainer.replicas.meet()


def _train(path: Path, unit: Unit) -> None:
    if _worker["stop"].value:
        raise StoppedError(f"{unit} was not begun.")
    imp, setups = _setups()
    from tf_lottery import distribution
    from tf_lottery.experiment.checkpoints import Checkpoints

    checkpoints = Checkpoints(
        _worker["cadence"],
        is_told_to_stop=lambda: bool(_worker["stop"].value),
        on_steps=lambda steps: _worker["news"].put(("on_steps", unit, steps)),
        on_accuracy=lambda accuracy: _worker["news"].put(("on_accuracy", unit, accuracy)),
        on_note=lambda note: _worker["news"].put(("on_note", note)),
        stores=_worker["topology"].is_chief,
    )
    with distribution.lost_workers():
        imp.train_unit(Run(path, setups.config), setups, unit, checkpoints)
