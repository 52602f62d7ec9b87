"""Functions that all scripts share: flags, output for people or as JSON, and errors in one line."""

import ast
import contextlib
import difflib
import errno
import io
import json
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NoReturn

import numpy as np
from absl import app, flags, logging
from ml_collections import config_flags

from tf_lottery import escapes, files
from tf_lottery.errors import ConfigError, LotteryError
from tf_lottery.experiment import config as config_lib
from tf_lottery.experiment.config import Experiment

_ERRORS_OF_OUTPUT = (errno.ENOSPC, errno.EPIPE, errno.EIO, errno.EBADF)  # that name no file: files are typed errors


def run(main: Callable[..., None], *, arguments: int = 0, required: Collection[str] = ()) -> None:
    """Parse the command line and call `main`; print a user's mistake as one line, not as a traceback.

    Args:
        main: Called with the arguments that are not flags.
        arguments: The largest number of such arguments. Defaults to 0.
        required: Names of required flags. Defaults to none.
    """
    _check_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without UTF-8 must not make a command fail
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # ignored under `nohup`
            signal.signal(number, _interrupt)  # like Ctrl-C, so that workers end too
    with _flushed():
        app.run(
            lambda argv: _exit_on_error(main, *argv[1:]),
            flags_parser=lambda argv: _exit_on_error(_parse, argv, arguments, required),
        )


def define_experiment() -> flags.FlagHolder:
    """Define the flag `--config=FILE`, with overrides such as `--config.prune.fraction=0.3`."""
    config_flags.register_flag_parser_for_type(dict, _DictParser())
    holder = config_flags.DEFINE_config_file("config", None, "A file of configs/, and overrides of its fields.")
    _list_in_help("config")
    return holder


class Output:
    """The flags `--quiet` and `--json`: whether a command prints text, JSON, or nothing.

    Errors are always printed to standard error, as one line that begins with "Error: ".
    """

    def __init__(self) -> None:
        self._quiet = flags.DEFINE_bool("quiet", False, "Print nothing but errors and, with --json, the JSON object.")
        self._json = flags.DEFINE_bool(
            "json", False, "Print the result as one JSON object, and everything else to standard error."
        )
        _list_in_help("quiet", "json")

    @property
    def aside(self) -> dict[str, bool]:
        """The arguments `quiet` and `stderr` of `terminal.console`, for output that is not the result."""
        return {"quiet": self._quiet.value, "stderr": self._json.value}

    def print_result(self, result: Callable[[], Mapping[str, Any]], show: Callable[[], None]) -> None:
        """Print the result of a command as text or as JSON.

        Args:
            result: Returns the JSON object; numbers may be those of NumPy, and numbers that are not finite become null.
            show: Prints the result as text.
        """
        if self._json.value:
            sys.stdout.write(json.dumps(_plain(result()), indent=2, allow_nan=False) + "\n")
        elif not self._quiet.value:
            show()


class _DictParser(flags.ArgumentParser):
    """The parser of a field that is a dict, such as `--config.variants="{'k=60': {'prune.rewind_to': '60it'}}"`."""

    syntactic_help = "a dict, as Python writes it"

    def parse(self, argument: str | dict[str, Any]) -> dict[str, Any]:
        if isinstance(argument, dict):  # some versions of absl parse the default value, too
            return argument
        try:
            value = ast.literal_eval(argument)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise ValueError("this is not a dict, such as {'k=60': {'prune.rewind_to': '60it'}}")
        return value


def define_plugins() -> flags.FlagHolder:
    """Define the flag `--plugins`, for `experiment.plugins.load`; find_tickets.py leaves imports to the config file."""
    holder = flags.DEFINE_list(
        "plugins", [], "Modules to import, with criteria, data sources and networks of your own."
    )
    _list_in_help("plugins")
    return holder


def numbers(name: str, texts: list[str]) -> list[int]:
    """Return the whole numbers that a flag lists; raise ConfigError if they are not whole numbers."""
    if not all(text.isdecimal() for text in texts):
        raise ConfigError(f"`{name}` lists whole numbers, as in 2,3. Received: {','.join(texts)!r}")
    return [int(text) for text in texts]


@contextlib.contextmanager
def resumable(run_dir: str) -> Iterator[None]:
    """When the user interrupts, print how to resume, and exit."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        note = f"Interrupted. Finished units are stored in {run_dir}; the same command resumes from there."
        sys.stderr.write(f"\n{escapes.shown(note)}\n")
        sys.exit(_status(interrupt))


def _list_in_help(*names: str) -> None:
    """Make `--help` list flags that are defined in this module."""
    for name in names:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])


def _plain(value: Any) -> Any:
    """Return a value converted to types of JSON."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, os.PathLike) else value


def _parse(argv: list[str], most_arguments: int, required: Collection[str]) -> list[str]:
    _check_experiment(argv[1:])
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        message = str(error).strip().splitlines()[-1].rstrip(".")
        raise ConfigError(f"{message}. See --help.") from error
    except Exception as error:  # the config file may raise anything
        if isinstance(error, OSError) and error.filename is None:
            raise  # of printing --help
        (last,) = str(error).strip().splitlines()[-1:] or [""]
        raise ConfigError(f"The config cannot be used: {type(error).__name__}: {last}") from error
    if missing := [name for name in required if flags.FLAGS[name].value is None]:
        raise ConfigError(f"Give --{missing[0]}=VALUE. See --help.")
    if flags.FLAGS["verbosity"].using_default_value:
        flags.FLAGS.verbosity = logging.WARNING  # `app` would set INFO, and TensorFlow would log every file
    if len(rest) > 1 + most_arguments:
        raise ConfigError(f"Unexpected argument {rest[1 + most_arguments]!r}: flags begin with --. See --help.")
    return rest


def _check_experiment(arguments: list[str]) -> None:
    """Raise ConfigError for mistakes that `config_flags` does not report well: a missing file, an unknown field."""
    known = list(config_lib.fields(Experiment()))
    for position, argument in enumerate(arguments):
        if field := re.match(r"--?config\.([^=]+)", argument):
            if field[1] not in known:
                near = difflib.get_close_matches(field[1], known, 1, cutoff=0.7)
                hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}"
                raise ConfigError(f"The config has no field {field[1]!r}.{hint}")
        elif given := re.match(r"--?config(?:=(.*))?$", argument):
            path = given[1] if given[1] is not None else "".join(arguments[position + 1 : position + 2])
            if not os.path.isfile(path.partition(":")[0]):
                raise ConfigError(f"There is no config file {path!r}. See the folder configs/.")


def _check_streams() -> None:
    """Exit if standard output is closed; let no file that is opened later take the place of a closed stream."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor, which is this one
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (until the process ends)
    if sys.stdout is None:
        sys.exit("Error: Standard output is closed. To discard it, redirect it to /dev/null.")


@contextlib.contextmanager
def _flushed() -> Iterator[None]:
    """Flush standard output at the end, and exit with an error in one line if it cannot be written."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)  # where Python writes what is left when it ends
        sys.exit(f"Error: The output cannot be written: {files.reason(error)}.")


def _exit_on_error(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except LotteryError as error:
        sys.exit(f"Error: {error}")
    except OSError as error:  # of a call that no other function expects to fail, as when descriptors have run out
        is_output = error.filename is None and error.errno in _ERRORS_OF_OUTPUT
        place = "The output cannot be written" if is_output else error.filename or "The system does not go on"
        sys.exit(f"Error: {place}: {files.reason(error)}.")
    except KeyboardInterrupt as interrupt:
        sys.exit(_status(interrupt))


def _interrupt(number: int, frame: Any) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # once is enough
    raise KeyboardInterrupt(number)


def _status(interrupt: KeyboardInterrupt) -> int:
    """Return the exit status that shells give a process that a signal has ended."""
    return 128 + (interrupt.args or (signal.SIGINT,))[0]
