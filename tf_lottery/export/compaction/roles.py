"""What a call of a layer does with channels: mix them, pass each on by itself, or who knows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

# For each input: which of its channels goes into which one of what comes out. Both as indices.
Links = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Mixing:
    """Every unit is an activation of a weighted sum of all channels.

    Attributes:
        kernel: Weights of shape (taps, channels in, units); 1 tap where there is no convolution.
        bias: Of shape (units,).
        inside: For each tap whether it always meets a cell of what comes in.
        border: For each tap whether it meets such a cell at some places, and zeros at others.
        activation: From sums to units.
        whole: Why all units have to stay; None: they need not.
    """

    kernel: np.ndarray
    bias: np.ndarray
    inside: np.ndarray
    border: np.ndarray
    activation: Callable[[Any], Any]
    whole: str | None


@dataclass(frozen=True)
class Passing:
    """A channel of what comes out depends only on those channels of what comes in that it is linked with.

    Attributes:
        links: See `Links`.
        constants: From the constants of each input to those of what comes out; NaN is what is not constant.
        whole: Why all channels have to stay; None: they need not.
    """

    links: Links
    constants: Callable[[list[np.ndarray]], np.ndarray]
    whole: str | None = None


@dataclass(frozen=True)
class Opaque:
    """All channels have to stay, of what comes in and of what comes out.

    Attributes:
        whole: Why.
    """

    whole: str


Role = Mixing | Passing | Opaque


def sums(role: Mixing, constants: np.ndarray) -> np.ndarray:
    """What channels of these constants add to each unit, all others left out; in float64."""
    added = np.zeros(role.kernel.shape[2])
    for channel in np.flatnonzero(np.nan_to_num(constants)):  # few, so that no kernel is copied as a whole
        added += constants[channel] * role.kernel[role.inside, channel].astype(np.float64).sum(0)
    return added


def needed(role: Mixing, constants: np.ndarray) -> np.ndarray:
    """Of shape (channels in, units): whether a unit needs a channel, because nothing in its bias could stand for it."""
    reads = (role.kernel != 0).any(0)
    at_border = (role.kernel[role.border] != 0).any(0)
    return np.where(np.isnan(constants)[:, None], reads, (constants != 0)[:, None] & at_border)
