"""Start points: the weights, the step and the optimizer state with which a level starts to train."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StartPoint:
    """The start point of a level or of a control.

    Attributes:
        weights: `"rewind"`: the weights of the dense network at step k. `"final"`: the weights at the end of the
            previous level. `"new"`: newly initialised weights.
        optimizer: `"rewind"` or `"final"`: the optimizer state at the same point. `"new"`: a new optimizer.
        at_zero: Whether training starts at step 0 instead of step k. Defaults to False.
    """

    weights: str
    optimizer: str
    at_zero: bool = False


DENSE = StartPoint("new", "new", at_zero=True)

# The three ways to start a level that Renda, Frankle, Carbin 2020 (arXiv 2003.02389) compare: weight rewinding (Frankle
# et al. 2019, arXiv 1903.01611), learning rate rewinding, and fine-tuning, which also holds the learning rate.
REWINDS = {
    "weights": StartPoint("rewind", "rewind"),
    "learning_rate": StartPoint("final", "new"),
    "none": StartPoint("final", "final"),
}
