"""Iterative magnitude pruning with rewinding: Algorithm 1 of Frankle et al. 2019 (arXiv 1903.01611).

`iterative_magnitude_pruning` is the method. Every level reads what it needs from the run directory and stores its
results there, so that each pass of the loop can run in a process of its own: `train_unit` is what such a process calls.
"""

from collections.abc import Callable, Iterable

from tf_lottery.core import controls
from tf_lottery.experiment.checkpoints import NO_HOOKS, Hooks
from tf_lottery.experiment.setups import Setups
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.experiment.unit_training import UnitTraining


def iterative_magnitude_pruning(network_of: Callable[[int], UnitTraining], levels: Iterable[int]) -> None:
    """Find the lottery tickets of one replicate, level by level.

    1. Initialise a network with weights W_0, and masks of ones.
    2. Train it to step k and store its state there, with the weights W_k; continue to step T, with the weights W_T.
    3. Prune the smallest weights of W_T: remove them from the masks.
    4. Rewind: set the remaining weights, and the optimizer, back to step k. The masks and W_k are the ticket.
    5. Train the ticket to step T. Repeat from 3.

    Args:
        network_of: Returns the network of a level, with its data, its seeds, and access to the results of other levels.
        levels: The levels to train, in ascending order; 0 is the dense network. All levels below the first one must be
            stored.
    """
    for level in levels:
        network = network_of(level)
        masks = network.ones() if level == 0 else network.prune(network.ticket(level=level - 1))
        start = network.begin(masks)  # level 0 starts newly initialised; all other levels are set back to step k
        trained = network.train(masks)  # to step T; level 0 records its state at step k on the way
        network.save(masks, start, trained)


def train_control(network: UnitTraining) -> None:
    """Train a control of a level, which its ticket is compared with."""
    masks = network.prune(network.ticket(level=network.unit.level - 1, control=""))
    if network.unit.control == "random_mask":
        masks = controls.random_mask(masks, network.seeds["random_mask"])
    start = network.begin(masks)
    network.save(masks, start, network.train(masks))


def train_with_another_shuffle_seed(network: UnitTraining) -> None:
    """Train a network once more, from the same start point but on shuffled data, to measure its stability."""
    masks = network.ones() if network.unit.level == 0 else network.ticket(shuffle_seed=0).masks
    start = network.begin(masks)
    network.save(masks, start, network.train(masks))


def train_unit(run: Run, setups: Setups, unit: Unit, hooks: Hooks = NO_HOOKS) -> None:
    """Train one unit of an experiment and store its results; do nothing if they are stored already.

    A unit that was stopped or killed resumes from its newest checkpoint. If several workers train it together, each of
    them calls this, and only the chief stores. A dense network is stored for all variants that share it.

    Raises:
        StoppedError: `hooks` told it to stop; a checkpoint is saved.
    """
    if run.is_done(unit):
        return
    network = UnitTraining(run, setups, unit, hooks)
    if unit.shuffle_seed:
        train_with_another_shuffle_seed(network)
    elif unit.control:
        train_control(network)
    else:
        iterative_magnitude_pruning(lambda level: network, [unit.level])
