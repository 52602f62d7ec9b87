"""Run directories made, opened again and extended: only for the same experiment in the same environment."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tf_lottery import files
from tf_lottery.errors import ConfigError, DamageError, RunError
from tf_lottery.experiment import backups, config as config_lib, locks, validation
from tf_lottery.experiment.config import EXTENDABLE, Experiment
from tf_lottery.experiment.environment import DAMAGED, differences
from tf_lottery.experiment.storage import Run

_OPENING_SECONDS = 30.0


def lock(path: str | os.PathLike[str]) -> AbstractContextManager[None]:
    """Hold a run directory, which need not be there yet, while it is opened; waits for others who open it.

    Raises:
        RunError: the directory cannot be made, or another process does not let go.
    """
    return locks.hold(Path(path) / "run.lock", str(path), _OPENING_SECONDS)


def existing_run(path: str | os.PathLike[str], config: Experiment) -> Run | None:
    """Return the run at `path` if there is one, with all that it has or `config` adds. Writes nothing.

    Raises:
        RunError: the directory holds something else, or another experiment (with the difference), or what it has and
            `config` exclude each other.
    """
    path = Path(path)
    try:
        is_run, is_foreign = backups.exists(path, "config"), path.exists() and _is_foreign(path)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    if not is_run:
        if is_foreign:
            raise RunError(f"{path} exists and is not a run directory. Choose a new or an empty one.")
        return None
    stored, asked = config_lib.fields(Run.load(path).config), config_lib.fields(config)
    # What leaves a choice open asks for the one that was made when the run was begun.
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
    extended = config_lib.from_fields(asked | {name: _more(stored[name], asked[name]) for name in EXTENDABLE})
    try:
        validation.check(extended)
    except ConfigError as error:
        raise RunError(f"{path} cannot be extended like this: what it has is kept, and then: {error}") from error
    return Run(path, extended)


def open_run(
    path: str | os.PathLike[str],
    config: Experiment,
    environment: Mapping[str, Any] | None = None,
    *,
    any_environment: bool = False,
) -> Run:
    """Make a new run directory, or opens one of the same experiment to go on with it.

    A run only grows: more of what is `EXTENDABLE` extends it, less leaves it as it is.

    Args:
        path: The directory.
        config: The experiment.
        environment: What trainings are going to run on; None if there are none to run.
        any_environment: Whether that may be something else than what the run was begun on. It is recorded, and the
            report says so.

    Raises:
        RunError: the directory cannot be written, is no run, belongs to another experiment, or was begun in another
            environment (with the difference).
    """
    run = existing_run(path, config)
    environments = _environments(run, environment, any_environment)
    run = run or Run(Path(path), config)
    if environments is not None:
        backups.write(run.path, "environment", {"environments": environments})
    backups.write(run.path, "config", config_lib.fields(run.config))  # makes it a run
    return run


def opened_by_chief(path: str | os.PathLike[str], config: Experiment) -> Run:
    """Return the run that another worker has made or opened; writes nothing.

    Raises:
        RunError: it cannot be seen from here.
    """
    run = existing_run(path, config)
    if run is None:
        raise RunError(
            f"{path} is not there, yet the chief has made it. All workers need one run directory, on storage that all "
            "can read."
        )
    if config_lib.fields(run.config) != config_lib.fields(Run.load(path).config):
        raise RunError(
            f"The chief was asked for less than this worker ({', '.join(EXTENDABLE)}). Give all the same command."
        )
    return run


def _environments(run: Run | None, now: Mapping[str, Any] | None, any_environment: bool) -> list[dict[str, Any]] | None:
    """Return all that the run is made on, `now` among them; None where the record stays as it is, damaged."""
    try:
        known = run.environments() if run else []
    except DamageError as error:
        if now is None and not any_environment:
            return None
        if not any_environment:
            raise DamageError(f"{error} With --any_environment the run goes on, marked as not bit-exact.") from error
        known = [DAMAGED]
    if now is None or now in known:
        return known
    if run and known and not any_environment:
        raise RunError(_other_environment(run.path, known[-1], now))
    return [*known, dict(now)]


def _other_environment(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    changes = "; ".join(
        f"{name}={run} (run), {name}={here} (now)" for name, (run, here) in differences([before, now]).items()
    )
    return (
        f"{path} was made in another environment, which can change results: {changes}. Go on in that one, choose "
        "another --run_dir, or accept it with --any_environment: the report then says that the run is not bit-exact."
    )


def _redefined(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Return whether a label means something else than before, or the variants are none, or were."""
    return bool(stored) != bool(asked) or any(asked[label] != stored[label] for label in asked.keys() & stored.keys())


def _is_foreign(path: Path) -> bool:
    """Return whether something is there that no run has before its config.json."""
    ours = {"run.lock", *(file.name for file in backups.paths(path, "environment"))}
    return not path.is_dir() or not all(file.name in ours or files.is_leftover(file) for file in path.iterdir())


def _more(stored: Any, asked: Any) -> Any:
    """Return all of both: in the order asked for, if that has all; else what is new comes last."""
    if not isinstance(stored, list | dict):
        return max(stored, asked)
    if set(stored) <= set(asked):
        return asked
    if isinstance(stored, dict):
        return stored | asked
    return [*stored, *(item for item in asked if item not in stored)]
