"""Schedules: the share of the kept weights that each level removes.

A schedule is a function. It takes a level (1, 2, …; level 0 is dense) and returns a `fraction` for `pruning.prune`: one
share for all weights, or one for each weight name.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

from tf_lottery.core import pruning
from tf_lottery.core.pruning import Share
from tf_lottery.errors import PruningError

Schedule = Callable[[int], Share | dict[str, Share]]


def constant(fraction: Share) -> Schedule:
    """Return a schedule with the same share at every level: the density after n levels is (1 - fraction)^n.

    Args:
        fraction: The share of the kept weights that a level removes, in [0, 1), taken exactly as it is written in
            decimals.

    Returns:
        A schedule.

    Raises:
        PruningError: `fraction` is not in [0, 1).

    Source:
        Frankle, Carbin 2019 (arXiv 1803.03635), Fig. 2: 20% a level.

    Examples:
        >>> constant(0.2)(7)
        Fraction(1, 5)
    """
    share = pruning.exact(fraction)
    return lambda level: share


def with_rates(fraction: Share, rates: Sequence[str], weight_names: Iterable[str]) -> Schedule:
    """Return a schedule with shares of their own for some weights. It needs `scope="layerwise"`.

    Args:
        fraction: The share for the weights that no rate matches.
        rates: Rates of the form `"regex=share"`. The regex is searched in the weight names. If several rates match a
            weight, the last one counts.
        weight_names: The names of all prunable weights.

    Returns:
        A schedule.

    Raises:
        PruningError: a rate cannot be read or matches no weight.

    Source:
        Frankle, Carbin 2019 (arXiv 1803.03635), Fig. 2: LeNet's output layer is pruned at half the rate of the rest.

    Examples:
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
    """Split a rate into its regex and its share.

    Args:
        rate: A rate of the form `"regex=share"`.

    Returns:
        The compiled regex and the share.

    Raises:
        PruningError: the rate cannot be read.

    Examples:
        >>> parse_rate("^output/=0.1")
        (re.compile('^output/'), Fraction(1, 10))
    """
    regex, equals, share = rate.rpartition("=")
    if not equals:
        raise PruningError(f'A rate is written "regex=share", as in "^output/=0.1". Received: {rate!r}')
    return parse_regex(regex), pruning.exact(share)


def parse_regex(regex: str) -> re.Pattern[str]:
    """Compile a regex for weight names.

    Args:
        regex: A regex in the syntax of Python. It is searched in weight names, so it needs `^` to mean "begins with".

    Returns:
        The compiled regex.

    Raises:
        PruningError: the regex cannot be read.

    Examples:
        >>> bool(parse_regex("^output/").search("output/kernel"))
        True
    """
    try:
        return re.compile(regex)
    except (re.error, OverflowError, RecursionError) as error:
        raise PruningError(f"The regex {regex!r} cannot be read: {error}") from error


def to_target_density(density: Share, levels: int) -> Schedule:
    """Return a schedule with the same share at every level that ends at a given density.

    Args:
        density: The share of the weights that is left after the last level, in (0, 1].
        levels: The number of levels that prune, at least 1.

    Returns:
        A schedule.

    Raises:
        PruningError: `density` or `levels` is impossible.

    Examples:
        >>> round(float(to_target_density(0.1, levels=10)(1)), 4)  # 0.2057 a level: 0.7943 to the power of 10 is 0.1
        0.2057
    """
    target = _target(density)
    if levels < 1:
        raise PruningError(f"`levels` must be at least 1. Received: levels={levels}")
    return constant(1 - float(target) ** (1 / levels)) if levels > 1 else constant(1 - target)


def one_shot(density: Share) -> Schedule:
    """Return a schedule that prunes everything at level 1 and nothing after it.

    Args:
        density: The share of the weights that is left after level 1, in (0, 1].

    Returns:
        A schedule.

    Raises:
        PruningError: `density` is not in (0, 1].

    Source:
        Frankle, Dziugaite, Roy, Carbin 2019 (arXiv 1903.01611), its networks for ImageNet.

    Examples:
        >>> one_shot(0.3)(1), one_shot(0.3)(2)
        (Fraction(7, 10), Fraction(0, 1))
    """
    share = 1 - _target(density)
    return lambda level: share if level == 1 else Fraction(0)


def _target(density: Share) -> Fraction:
    try:
        return 1 - pruning.exact(1 - Fraction(str(density)))
    except (ValueError, ZeroDivisionError) as error:
        raise PruningError(f"`density` must be in (0, 1]. Received: density={density!r}") from error
