"""Iterative magnitude pruning with rewinding: Algorithm 1 of Frankle et al. 2019 (arXiv 1903.01611).

`iterative_magnitude_pruning` is the method. Every level reads what it needs from the run directory and stores its
results there, so that each pass of the loop can run in its own process, which calls `train_unit`. Inside a user's
`fit`, `callbacks.LotteryTicket` implements the same algorithm with Keras callback hooks.
"""

from collections.abc import Iterable

from tf_lottery.core import controls
from tf_lottery.experiment.checkpoints import NO_HOOKS, Hooks
from tf_lottery.experiment.setups import Setups
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.experiment.unit_training import UnitTraining


def iterative_magnitude_pruning(run: Run, setups: Setups, levels: Iterable[Unit], hooks: Hooks = NO_HOOKS) -> None:
    """Find the lottery tickets of one replicate, level by level.

    1. Initialise a network with weights W_0, and masks of ones.
    2. Train it to step k and keep its state, with the weights W_k. Continue to step T, where the weights are W_T.
    3. Prune the smallest weights of W_T: remove them from the masks.
    4. Rewind: set the remaining weights, and the optimizer, back to step k. The masks and W_k are the ticket.
    5. Train the ticket to step T. Repeat from 3.

    Args:
        run: The run directory, in which the results of each level are stored.
        setups: The model, the data and the optimizer of the experiment.
        levels: The units to train, in ascending order of their levels; level 0 is the dense network. All levels below
            the first one must already be stored.
        hooks: The requests of the surrounding process, and the functions that keep it informed. Defaults to none.
    """
    for level in levels:
        network = UnitTraining(run, setups, level, hooks)
        if level.level == 0:
            masks = network.ones()
            start = network.initialise(masks)
            trained = network.train(masks, keeps_rewind_state=True)
        else:
            masks = network.prune(network.ticket(level=level.level - 1))
            start = network.rewind(masks)
            trained = network.train(masks)
        network.save(masks, start, trained)


def train_control(network: UnitTraining) -> None:
    """Train a control for a level, to compare its ticket with."""
    masks = network.prune(network.ticket(level=network.unit.level - 1, control=""))
    if network.unit.control == "random_mask":
        masks = controls.random_mask(masks, network.seeds["random_mask"])
    start = network.rewind(masks)  # except for reinitialised controls, which start at step 0
    network.save(masks, start, network.train(masks))


def train_with_another_shuffle_seed(network: UnitTraining) -> None:
    """Train a network again from the same start point with another data order, to measure its stability."""
    masks = network.ones() if network.unit.level == 0 else network.ticket(shuffle_seed=0).masks
    start = network.rewind(masks)
    network.save(masks, start, network.train(masks))


def train_unit(run: Run, setups: Setups, unit: Unit, hooks: Hooks = NO_HOOKS) -> None:
    """Train one unit of an experiment and store its results; do nothing if they are already stored.

    A unit that was stopped or killed resumes from its newest checkpoint. If several workers train a unit together, all
    of them call this function, and only the chief stores the results. A dense network is stored for all variants that
    share it.

    Raises:
        StoppedError: `hooks` requested a stop. A checkpoint is saved first.
    """
    if run.is_done(unit):
        return
    if unit.shuffle_seed:
        train_with_another_shuffle_seed(UnitTraining(run, setups, unit, hooks))
    elif unit.control:
        train_control(UnitTraining(run, setups, unit, hooks))
    else:
        iterative_magnitude_pruning(run, setups, [unit], hooks)
