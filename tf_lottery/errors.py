"""The errors that users can meet. Each message says what was expected, what was received, and what to do.

Examples:
    >>> import tf_lottery as tfl
    >>> try:
    ...     tfl.schedules.constant(20)
    ... except tfl.errors.LotteryError as error:
    ...     print(type(error).__name__)
    PruningError
"""

from typing import Any

from tf_lottery import escapes


class LotteryError(Exception):
    """Base class of the errors that tf_lottery raises on purpose; their messages are meant for users.

    A message is one line. What it quotes from files and paths cannot control a terminal: see `escapes.shown`.
    """

    def __init__(self, *args: Any):
        super().__init__(*(escapes.shown(arg) if isinstance(arg, str) else arg for arg in args))


class ConfigError(LotteryError, ValueError):
    """A setting of an experiment has an impossible value."""


class BackendError(LotteryError, ImportError):
    """Keras does not run on TensorFlow."""


class PruningError(LotteryError, ValueError):
    """Masks, scores or fractions are impossible, or do not fit each other."""


class ExhaustedError(PruningError):
    """Pruning cannot continue: it would remove all weights of a layer, or more than is allowed."""


class ModelError(LotteryError, ValueError):
    """A Keras model cannot be built or pruned, or does not fit the arrays given for it."""


class TicketError(LotteryError, ValueError):
    """A ticket file is damaged, is not a ticket, or does not fit the model."""


class ExportError(LotteryError, ValueError):
    """A model cannot be exported as asked, or the export would replace something else."""


class RunError(LotteryError):
    """A run directory cannot be used as asked."""


class DamageError(RunError):
    """A file of a run is damaged, or belongs to another run."""


class StoppedError(RunError):
    """A training run was told to stop; the same command resumes it."""


class ClusterError(RunError):
    """One of the machines that train together is no longer available."""


class DataError(LotteryError):
    """A dataset is unknown, missing or damaged."""
