"""The errors a user can meet. Each message says what was expected, what came, and the way out.

Examples:
    >>> import tf_lottery as tfl
    >>> try:
    ...     tfl.schedules.constant(20)
    ... except tfl.errors.LotteryError as error:
    ...     print(type(error).__name__)
    PruningError
"""


class LotteryError(Exception):
    """Base of all errors that tf_lottery raises on purpose; its message is meant for the user."""


class ConfigError(LotteryError, ValueError):
    """A setting of an experiment has an impossible value."""


class PruningError(LotteryError, ValueError):
    """Masks, scores or fractions do not fit each other."""


class ExhaustedError(PruningError):
    """Pruning can go no further: it would leave nothing of a layer, or less than it must."""


class ModelError(LotteryError, ValueError):
    """A Keras model cannot be pruned, or does not fit the arrays given for it."""


class TicketError(LotteryError, ValueError):
    """A ticket file is damaged, foreign, or does not fit."""


class ExportError(LotteryError, ValueError):
    """A model cannot be exported as asked, or what is at the target must not be replaced."""


class RunError(LotteryError):
    """A run directory cannot be used as asked."""


class DamageError(RunError):
    """A file of a run is damaged, or is not its own."""


class StoppedError(RunError):
    """A training was told to stop; its state is kept."""


class ClusterError(RunError):
    """Another of the machines that train together is gone."""


class DataError(LotteryError):
    """A dataset is missing or broken."""
