"""Schedules: which share of the remaining weights each level removes.

A schedule is a function from the level (1, 2, …; level 0 is dense) to what `pruning.prune` takes as
its `fraction`: one share for all weights or one for each weight name.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

from tf_lottery.core import pruning
from tf_lottery.core.pruning import Share
from tf_lottery.errors import PruningError

Schedule = Callable[[int], Share | dict[str, Share]]


def constant(fraction: Share) -> Schedule:
    """The same share at every level; density after n levels is (1 - fraction)^n."""
    share = pruning.exact(fraction)
    return lambda level: share


def with_rates(fraction: Share, rates: Sequence[str], weight_names: Iterable[str]) -> Schedule:
    """The same share for all weights except those that a rate names (needs scope "layerwise").

    The original paper prunes LeNet's output layer at half the rate of the rest (1803.03635, Fig. 2).

    Args:
        fraction: Share for the weights that no rate names.
        rates: `"regex=share"`; a regex is searched in the weight name; the last match counts.
        weight_names: The names of all prunable weights.

    Raises:
        PruningError: a rate that cannot be read, or that names no weight.

    >>> with_rates(0.2, ["^output/=0.1"], ["dense/kernel", "output/kernel"])(1)
    {'dense/kernel': Fraction(1, 5), 'output/kernel': Fraction(1, 10)}
    """
    names = list(weight_names)
    shares = dict.fromkeys(names, pruning.exact(fraction))
    for rate in rates:
        pattern, share = parse_rate(rate)
        matches = [name for name in names if pattern.search(name)]
        if not matches:
            raise PruningError(f"The rate {rate!r} names no prunable weight. Known: {', '.join(names)}")
        shares.update(dict.fromkeys(matches, share))
    return lambda level: dict(shares)


def parse_rate(rate: str) -> tuple[re.Pattern[str], Fraction]:
    """Splits `"regex=share"`; raises PruningError where it cannot be read."""
    regex, equals, share = rate.rpartition("=")
    if not equals:
        raise PruningError(f'A rate is written "regex=share", as in "^output/=0.1". Received: {rate!r}')
    return parse_regex(regex), pruning.exact(share)


def parse_regex(regex: str) -> re.Pattern[str]:
    """Compiles a regex; raises PruningError where it cannot be read."""
    try:
        return re.compile(regex)
    except (re.error, OverflowError, RecursionError) as error:
        raise PruningError(f"The regex {regex!r} cannot be read: {error}") from error


def to_target_density(density: Share, levels: int) -> Schedule:
    """Equal shares that leave `density` of the weights after `levels` levels."""
    target = _target(density)
    if levels < 1:
        raise PruningError(f"`levels` must be at least 1. Received: levels={levels}")
    return constant(1 - float(target) ** (1 / levels)) if levels > 1 else constant(1 - target)


def one_shot(density: Share) -> Schedule:
    """Everything at level 1, nothing after it."""
    share = 1 - _target(density)
    return lambda level: share if level == 1 else Fraction(0)


def _target(density: Share) -> Fraction:
    try:
        return 1 - pruning.exact(1 - Fraction(str(density)))
    except (ValueError, ZeroDivisionError) as error:
        raise PruningError(f"`density` must be in (0, 1]. Received: density={density!r}") from error
