"""The functions that a worker process runs: it sets TensorFlow up once and trains the units that it is given.

TensorFlow is imported inside these functions, because the program that starts the workers does without it.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, cast

from tf_lottery import quiet
from tf_lottery.errors import ConfigError, StoppedError
from tf_lottery.experiment import config as config_lib, plugins
from tf_lottery.experiment.checkpoints import CheckpointInterval
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.plan import Plan
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.training.topology import Topology

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux
_worker: dict[str, Any] = {}  # the arguments of `start`, and the setups once they are made


def start(
    config: Experiment,
    topology: Topology,
    interval: CheckpointInterval,
    news: Any,
    stop: Any,
    plugin_modules: list[str],
) -> None:
    """Initialise the process; called once, before anything else.

    Args:
        config, topology, interval: See `find_tickets`.
        news: A queue of messages to the watcher: the name of one of its methods, and the arguments.
        stop: A flag in shared memory; once it is set, each unit saves a checkpoint and ends.
        plugin_modules: Modules to import, because they register plugins.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    signal.signal(signal.SIGTERM, lambda *_: setattr(stop, "value", 1))  # saves a checkpoint first
    if sys.platform == "linux":  # the thread below does not run while TensorFlow waits for other machines
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _worker.update(
        config=config, topology=topology, interval=interval, news=news, stop=stop, plugin_modules=plugin_modules
    )


def plan() -> Plan:
    """Load the data, build all models and return the plan; raise LotteryError if they do not fit each other."""
    _, setups = _setups()
    from tf_lottery.experiment import environment
    from tf_lottery.training import devices

    made = {label: setups.of(label) for label in config_lib.labels(setups.config)}
    steps = {label: (setup.lengths.total, setup.lengths.rewind) for label, setup in made.items()}
    with devices.lost_workers():
        pace = next(iter(made.values())).trainer.seconds_per_step() if setups.config.variants else None
    checksums = {setup.config.data.name: setup.checksum for setup in made.values()}
    described = environment.describe(_worker["topology"].strategy, checksums)
    return Plan(steps, described, _worker["execution"], pace)


def prepare() -> None:
    """Set up what every unit needs first, while another process plans."""
    _first_setup()


def meet() -> None:
    """Wait until the workers on all machines have called this."""
    setup = _first_setup()
    from tf_lottery.training import devices

    with devices.lost_workers():
        setup.trainer.replicas.meet()


def train(path: Path, unit: Unit) -> None:
    """Train one unit of the run at `path`; raise StoppedError once `stop` is set."""
    if _worker["stop"].value:
        raise StoppedError(f"{unit} was not started.")
    imp, setups = _setups()
    from tf_lottery.experiment.checkpoints import Hooks
    from tf_lottery.training import devices

    hooks = Hooks(
        _worker["interval"],
        stop_requested=lambda: bool(_worker["stop"].value),
        on_steps=lambda steps: _worker["news"].put(("on_steps", unit, steps)),
        on_accuracy=lambda accuracy: _worker["news"].put(("on_accuracy", unit, accuracy)),
        on_note=lambda note: _worker["news"].put(("on_note", note)),
        writes=_worker["topology"].is_chief,
    )
    with devices.lost_workers():
        imp.train_unit(Run(path, setups.config), setups, unit, hooks)


def _setups() -> tuple[Any, Any]:
    """Return the module `imp`, which takes seconds to import, and the setups; make them at the first call."""
    if "setups" not in _worker:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        with quiet.stderr():
            _import_keras()
            from tf_lottery.experiment import imp, plan as plan_lib, setups
            from tf_lottery.training import devices

            config, topology = _worker["config"], _worker["topology"]
            plugins.load(_worker["plugin_modules"])
            kinds = plan_lib.layer_kinds(config)
            _worker["execution"] = plan_lib.choose_execution(devices.device_kind(), topology.strategy, kinds)
            config = plan_lib.settled(config, _worker["execution"])
            compiled = config.train.jit_compile and topology.is_alone
            devices.configure(
                cast(int, config.train.threads), deterministic_ops=not compiled, one_device=topology.is_alone
            )
            if not topology.is_alone:
                _worker["scope"] = contextlib.ExitStack()  # entered until the process ends
                _worker["scope"].enter_context(devices.make(topology).scope())
            devices.start()
            _worker["setups"] = imp, setups.Setups(config)
    return _worker["setups"]


def _import_keras() -> None:
    """Import Keras; raise ConfigError if a value in the user's `keras.json` keeps it from being imported."""
    try:
        from tf_lottery import keras_compat  # noqa: F401
    except (AssertionError, ValueError) as error:
        raise ConfigError(
            "Keras cannot be imported. A value in its file keras.json, in the folder ~/.keras or KERAS_HOME, may be "
            f"impossible: correct or remove it. {type(error).__name__}: {error}"
        ) from error


def _first_setup() -> Any:
    _, setups = _setups()
    return setups.of(config_lib.labels(setups.config)[0])


def _die_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
    os._exit(1)
