"""The arguments of a LotteryTicket, checked before anything is trained."""

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tf_lottery import rewinding
from tf_lottery.core import pruning, schedules, steps
from tf_lottery.core.criteria import Criterion
from tf_lottery.core.masks import Arrays
from tf_lottery.core.pruning import Share, criterion_named
from tf_lottery.core.start_points import REWINDS
from tf_lottery.errors import ConfigError, PruningError
from tf_lottery.rewinding import Transition


@dataclass(frozen=True)
class Settings:
    """The arguments of LotteryTicket that decide the results; see there.

    Raises:
        LotteryError: one of them is impossible.
    """

    levels: int
    fraction: Share | schedules.Schedule
    epochs_per_level: int
    rates: Mapping[str | re.Pattern[str], Share] | Sequence[str]
    scope: str
    criterion: str | Criterion
    rewind: str
    rewind_to: int | str
    reset_optimizer: bool
    min_density: Share | None
    seed: int

    def __post_init__(self) -> None:
        for name, least in (("levels", 0), ("epochs_per_level", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"`{name}` must be a whole number, at least {least}. Received: {name}={value!r}")
        if not isinstance(self.reset_optimizer, bool):
            raise ConfigError(f"`reset_optimizer` must be True or False. Received: {self.reset_optimizer!r}")
        if not callable(self.fraction):
            pruning.exact(self.fraction)
        if not isinstance(self.criterion, str) and not callable(self.criterion):
            raise ConfigError(f"`criterion` is a name or a function. Received: criterion={self.criterion!r}")
        criterion_named(self.criterion)
        for name, known in (("scope", pruning.SCOPES), ("rewind", REWINDS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"`{name}` must be one of {', '.join(known)}. Received: {name}={getattr(self, name)!r}"
                )
        self._check_rates()
        self._check_rewind_to()
        if self.min_density is not None and (self.scope != "global" or not _is_share(self.min_density)):
            raise ConfigError(
                '`min_density` is a share in [0, 1) that scope="global" leaves of each weight array, or None. '
                f"Received: min_density={self.min_density!r}, scope={self.scope!r}"
            )

    def transition(self, weight_names: Iterable[str]) -> Transition:
        """Return the transition between levels, for a model with these prunable weights.

        A function that gives the fractions is asked once for each level, here: what is checked is what is used.

        Raises:
            PruningError: a rate names no weight.
        """
        fraction_at = (
            self.fraction
            if callable(self.fraction)
            else rewinding.fraction_schedule(self.fraction, rates=self._written_rates(), weight_names=weight_names)
        )
        fractions = {level: copy.copy(fraction_at(level)) for level in range(1, self.levels + 1)}
        return Transition(
            fractions.__getitem__,
            criterion=self.criterion,
            scope=self.scope,
            min_density=self.min_density,
            rewind=self.rewind,
            reset_optimizer=self.reset_optimizer,
        )

    def as_json(self, masks: Arrays, transition: Transition) -> dict[str, Any]:
        """Return the settings that must be equal to resume a directory, as JSON values; lists may become longer.

        Args:
            masks: The masks of the model.
            transition: From `transition`, with the fractions of all levels.
        """
        return {
            "weights": {name: list(mask.shape) for name, mask in masks.items()},
            "fractions": [_written(transition.fraction_at(level)) for level in range(1, self.levels + 1)],
            "epochs_per_level": self.epochs_per_level,
            "scope": self.scope,
            "criterion": self.criterion if isinstance(self.criterion, str) else _name_of(self.criterion),
            "rewind": self.rewind,
            "rewind_to": self.rewind_to,
            "reset_optimizer": self.reset_optimizer,
            "min_density": None if self.min_density is None else str(self.min_density),
            "seed": self.seed,
        }

    def _check_rates(self) -> None:
        if self.rates and (self.scope != "layerwise" or callable(self.fraction)):
            raise ConfigError(
                '`rates` gives some weights other shares than `fraction`: it needs scope="layerwise" and a fraction '
                f"that is a number. Received: scope={self.scope!r}, fraction={self.fraction!r}"
            )
        for rate in self._written_rates():
            schedules.parse_rate(rate)

    def _check_rewind_to(self) -> None:
        whole_epochs = isinstance(self.rewind_to, str) and self.rewind_to.endswith("ep")
        if steps.to_steps(self.rewind_to, 1) >= self.epochs_per_level and whole_epochs:
            raise ConfigError(
                f"`rewind_to` must be before the end of a level of {self.epochs_per_level} epochs. "
                f"Received: rewind_to={self.rewind_to!r}"
            )

    def _written_rates(self) -> list[str]:
        if not isinstance(self.rates, Mapping):
            return list(self.rates)
        return [f"{getattr(regex, 'pattern', regex)}={share}" for regex, share in self.rates.items()]


def _is_share(number: Any) -> bool:
    try:
        pruning.exact(number)
    except PruningError:
        return False
    return True


def _name_of(criterion: Criterion) -> str:
    return getattr(criterion, "__qualname__", type(criterion).__qualname__)


def _written(fraction: Any) -> Any:
    if isinstance(fraction, Mapping):
        return {name: _written(share) for name, share in fraction.items()}
    return str(pruning.exact(fraction))
