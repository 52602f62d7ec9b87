"""What lies between two levels, in time and memory: python scripts/benchmark/level_turnover.py

The trained weights are read, pruned globally by magnitude, the weights of step k are put in their place, masked, and
the ticket is stored. Claimed at the size of ResNet-50, 25.5 million weights (102 MB):

1. choosing what goes takes at most 1.5 times one `np.partition` of the magnitudes of all weights;
2. the peak of memory is at most 4 times the weights' bytes above the model, its masks and W_k. All else that a level
   has on the host counts: the weights read, their masks, scores, the scores in one array, new masks, what is written;
3. each weight is read once and written once (tests/properties/test_transfers.py).

Beside it: a full sort of all magnitudes, as OpenLTH does it, and the masks of tfmot, layer by layer, from its own code.
Parts of a level are told in passes, too: one is `np.copyto` of all weights. Memory is the process's resident set as
Linux reports it, and beside it what NumPy allocates by itself (tracemalloc).

Predicted, from a profile: the selection 1.3 partitions at level 1 and less at sparser ones; 3 times the memory.
"""

import ctypes
import re
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import measuring
import numpy as np
from absl import flags

from tf_lottery import cli, quiet
from tf_lottery.core import pruning
from tf_lottery.core.masks import Arrays
from tf_lottery.core.pruning import next_masks

_ROUNDS = flags.DEFINE_integer("rounds", 5, "How often everything is measured.", lower_bound=1)
_NETWORKS = flags.DEFINE_list("networks", ["lenet_300_100", "vgg_19", "resnet_50"], "Which networks.")
_LEVELS = flags.DEFINE_multi_integer("level", [1, 4, 11], "Levels to prune for; each removes a fifth.", lower_bound=1)

SHAPES = {"lenet_300_100": ((28, 28, 1), 10), "vgg_19": ((32, 32, 3), 10), "resnet_50": ((224, 224, 3), 1000)}
FRACTION = 0.2


def main() -> None:
    with quiet.stderr():
        from tf_lottery import models
        from tf_lottery.masking import conversion, model_masks, state

    rows = []
    for network in _NETWORKS.value:
        model = conversion.make_prunable(models.build(network, *SHAPES[network]))
        rng = np.random.default_rng(0)  # all layers alike, so that none is empty at late levels
        masks = model_masks.get_masks(model)
        at_k = state.weights(model)
        at_k |= {name: rng.standard_normal(mask.shape, np.float32) for name, mask in masks.items()}
        rows += memory(network, model, at_k)
        for level in _LEVELS.value:
            rows += times(network, model, at_k, level)
    measuring.report(rows, "Between two levels")


def prune(at_k: Arrays, trained: Arrays, masks: Arrays) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return next_masks(at_k, trained, masks, criterion="magnitude", fraction=FRACTION, scope="global", rng=rng)


def turn_over(model: object, at_k: Arrays) -> None:
    """From the end of a level to the start of the next, as in training, but for what is stored."""
    from tf_lottery.masking import model_masks, state

    trained, masks = state.weights(model), model_masks.get_masks(model)
    state.set_weights(at_k, model, prune(at_k, trained, masks))


def memory(network: str, model: object, at_k: Arrays) -> list[dict[str, object]]:
    """Return the peak of the first level above model and W_k, in times of the weights' bytes."""
    weights = sum(array.nbytes for array in at_k.values())
    ctypes.CDLL(None).malloc_trim(0)  # gives back what was freed, or it would be taken again unseen
    before = resident_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to VmRSS
    tracemalloc.start()
    turn_over(model, at_k)
    of_numpy = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    peaks = {"resident set": resident_bytes("VmHWM") - before, "NumPy's own": of_numpy}
    case = f"{network}, peak of memory"
    return [measuring.row(case, name, [peak / weights], "times the weights") for name, peak in peaks.items()]


def resident_bytes(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)[1])


def times(network: str, model: object, at_k: Arrays, level: int) -> list[dict[str, object]]:
    """Return the selection against its yardsticks, then the parts of the level in passes."""
    from tf_lottery.masking import model_masks, state, ticket

    ones = {name: np.ones(mask.shape, bool) for name, mask in model_masks.get_masks(model).items()}
    magnitudes = {name: np.abs(at_k[name]) for name in ones}
    masks = pruning.prune(magnitudes, ones, 1 - (1 - pruning.exact(FRACTION)) ** (level - 1))
    trained = state.set_weights(at_k, model, masks)
    scores = {name: np.abs(trained[name]) for name in masks}
    everything = np.concatenate([array.ravel() for array in magnitudes.values()])
    new, copied = prune(at_k, trained, masks), np.empty_like(everything)
    with tempfile.TemporaryDirectory() as folder:
        stored = ticket.Ticket(masks, {"rewind": trained, "final": trained})
        parts = {
            "np.partition of all": lambda: np.partition(
                everything, pruning.number_to_remove(everything.size, FRACTION) - 1
            ),
            "selection": lambda: pruning.prune(scores, masks, FRACTION),
            "a pass: np.copyto of all": lambda: np.copyto(copied, everything),
            "read": lambda: (state.weights(model), model_masks.get_masks(model)),
            "score and select": lambda: prune(at_k, trained, masks),
            "write": lambda: state.set_weights(at_k, model, new),
            "read, select, write": lambda: turn_over(model, at_k),
            "store": lambda: ticket.save_ticket(Path(folder, "ticket.tfl"), stored),
        }
        if level == 1:  # they take as long at any
            parts |= {"np.sort of all": lambda: np.sort(everything), "masks of tfmot": masks_of_tfmot(trained, masks)}
        seconds = measuring.in_turn(parts, _ROUNDS.value)
    milliseconds = {part: [1000 * each for each in found] for part, found in seconds.items()}
    to = dict.fromkeys(("selection", "np.sort of all", "masks of tfmot"), "np.partition of all")
    to |= dict.fromkeys(
        ("read", "score and select", "write", "read, select, write", "store"), "a pass: np.copyto of all"
    )
    case = f"{network}, level {level}"
    return [
        measuring.row(case, part, found, "ms", milliseconds[to[part]] if part in to else None, to.get(part, ""))
        for part, found in milliseconds.items()
    ]


def masks_of_tfmot(trained: Arrays, masks: Arrays) -> Callable[[], object]:
    """What tfmot computes to prune the same weights, each by itself."""
    import tensorflow as tf
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl, pruning_schedule

    constant = pruning_schedule.ConstantSparsity(FRACTION, 0)
    tfmot = pruning_impl.Pruning(lambda: tf.constant(1), [], constant, (1, 1), "AVG")
    tensors = [tf.constant(trained[name]) for name in masks]
    return lambda: [tfmot._update_mask(tensor)[1].numpy() for tensor in tensors]


if __name__ == "__main__":
    cli.run(main)
