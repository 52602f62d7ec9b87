"""Creating, opening and extending run directories; each is for one experiment in one environment."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tf_lottery import files, locks
from tf_lottery.errors import ConfigError, DamageError, RunError
from tf_lottery.experiment import backups, config as config_lib, validation
from tf_lottery.experiment.config import EXTENDABLE, Experiment
from tf_lottery.experiment.environment import DAMAGED, differences, with_new_data
from tf_lottery.experiment.storage import Run

_OPENING_SECONDS = 30.0


def lock(path: str | os.PathLike[str]) -> AbstractContextManager[None]:
    """Hold the lock of a run directory while it is opened, after waiting for other processes that open it.

    The directory is created if it does not exist.

    Raises:
        RunError: the directory cannot be created, or another process does not release the lock.
    """
    return locks.hold(Path(path) / "run.lock", str(path), _OPENING_SECONDS)


def existing_run(path: str | os.PathLike[str], config: Experiment) -> Run | None:
    """Return the run at `path`, extended by `config`, or None if there is none. Writes nothing.

    Raises:
        RunError: the directory holds other files, or the run of another experiment (the message names the differences),
            or it cannot be extended by `config`.
    """
    path = Path(path)
    if not backups.exists(path, "config"):
        if files.exists(path) and _is_foreign(path):
            raise RunError(f"{path} exists and is not a run directory. Choose a new or an empty one.")
        return None
    stored, asked = config_lib.fields(Run.load(path).config), config_lib.fields(config)
    # A field that is None means the value that was chosen when the run was begun.
    asked |= {name: value for name, value in stored.items() if asked[name] is None}
    different = [name for name in asked if stored[name] not in (None, asked[name]) and name not in EXTENDABLE]
    if _redefined(stored["variants"], asked["variants"]):
        different.append("variants")
    if different:
        changes = "; ".join(f"{name}={stored[name]} (run), {name}={asked[name]} (asked for)" for name in different)
        raise RunError(
            f"{path} belongs to another experiment: {changes}. Choose another --run_dir; only "
            f"{', '.join(EXTENDABLE)} can be added to a run."
        )
    extended = config_lib.from_fields(asked | {name: _union(stored[name], asked[name]) for name in EXTENDABLE})
    try:
        validation.check(extended)
    except ConfigError as error:
        raise RunError(
            f"{path} cannot be extended like this. A run keeps what it has, and that leads to: {error}"
        ) from error
    return Run(path, extended)


def open_run(
    path: str | os.PathLike[str],
    config: Experiment,
    environment: Mapping[str, Any] | None = None,
    *,
    any_environment: bool = False,
) -> Run:
    """Create a new run directory, or open one of the same experiment to resume it.

    A run only grows: more levels, replicates and so on (`EXTENDABLE`) extend it, fewer leave it as it is.

    Args:
        path: The directory.
        config: The experiment.
        environment: The environment in which units will be trained. Defaults to None: no unit will be trained.
        any_environment: Whether the environment may differ from the one that the run was begun in. It is recorded, and
            the report says so. Defaults to False.

    Raises:
        RunError: the directory cannot be written, is not a run, belongs to another experiment, or was begun in another
            environment (the message names the differences).
    """
    run = existing_run(path, config)
    environments = _environments(run, environment, any_environment)
    run = run or Run(Path(path), config)
    if environments is not None:
        backups.write(run.path, "environment", {"environments": environments})
    run.write_config()
    return run


def opened_by_chief(path: str | os.PathLike[str], config: Experiment) -> Run:
    """Return the run that the chief has created or opened; write nothing.

    Raises:
        RunError: this worker cannot see the run, or the chief was asked for less.
    """
    run = existing_run(path, config)
    if run is None:
        raise RunError(
            f"{path} does not exist here, although the chief has created it. All workers need the same run "
            "directory, on storage that all of them can read."
        )
    stored = Run.load(path).config
    is_same_order = [*run.config.variants] == [*stored.variants]  # in which the units are trained
    if config_lib.fields(run.config) != config_lib.fields(stored) or not is_same_order:
        raise RunError(
            f"The chief was asked for less than this worker, or in another order ({', '.join(EXTENDABLE)}). Give all "
            "workers the same command."
        )
    return run


def _environments(run: Run | None, now: Mapping[str, Any] | None, any_environment: bool) -> list[dict[str, Any]] | None:
    """Return all environments of the run, including `now`; None if the record is damaged and is to stay as it is."""
    try:
        known = run.environments() if run else []
    except DamageError as error:
        if now is None and not any_environment:
            return None
        if not any_environment:
            raise DamageError(f"{error} With --any_environment the run resumes, marked as not bit-exact.") from error
        known = [DAMAGED]
    if now is None:
        return known
    known = [with_new_data(environment, now) for environment in known]
    if now in known:
        return known
    if run and known and not any_environment:
        raise RunError(_other_environment(run.path, known[-1], now))
    return [*known, dict(now)]


def _other_environment(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    changes = "; ".join(
        f"{name}={run} (run), {name}={here} (now)" for name, (run, here) in differences([before, now]).items()
    )
    return (
        f"{path} was made in another environment, which can change results: {changes}. Resume in that one, "
        "choose another --run_dir, or accept it with --any_environment: the report then says that the run is not "
        "bit-exact."
    )


def _redefined(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Return whether a label has changed its meaning, or only one of the two has variants."""
    return bool(stored) != bool(asked) or any(asked[label] != stored[label] for label in asked.keys() & stored.keys())


def _is_foreign(path: Path) -> bool:
    """Return whether a path holds anything that a run does not have before its config.json is written."""
    ours = {"run.lock", *(file.name for file in backups.paths(path, "environment"))}
    return not files.is_folder(path) or not all(
        name in ours or files.is_leftover(path / name) for name in files.names(path)
    )


def _union(stored: Any, asked: Any) -> Any:
    """Return the union of both: in the order of `asked` if it has all entries, else with the new ones last."""
    if not isinstance(stored, list | dict):
        return max(stored, asked)
    if set(stored) <= set(asked):
        return asked
    if isinstance(stored, dict):
        return stored | asked
    return [*stored, *(item for item in asked if item not in stored)]
