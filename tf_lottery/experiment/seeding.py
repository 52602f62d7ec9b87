"""The seeds of a training: one for each purpose, all derived from the experiment's, and recorded with the results."""

from tf_lottery.core import seeds
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.controls import REINITIALISED
from tf_lottery.experiment.storage import Unit


def of_unit(config: Experiment, unit: Unit) -> dict[str, int]:
    """Return all seeds that a training may draw from.

    Returns:
        `"initialisation"` of the weights, `"dropout"` (of all layers that draw while they train), `"shuffle"` and
        `"augmentation"` (with `shuffle="fresh"` others at each level; those of a further data order are the same at
        all levels), `"criterion"` (of the random one), `"random_mask"` and `"treatment"` (of the controls). A replicate
        shares them, with all variants, but for what its levels and its reinitialised controls draw anew.
    """

    def derive(purpose: str, *place: str | int) -> int:
        return seeds.derive(config.seed, "replicate", unit.replicate, purpose, *place)

    is_fresh = config.shuffle == "fresh" and unit.level
    fresh = ("order", unit.shuffle_seed) if unit.shuffle_seed else ("level", unit.level) if is_fresh else ()
    is_new = unit.control in REINITIALISED
    return {
        "initialisation": derive("reinit", unit.level) if is_new else derive("initialisation"),
        "dropout": derive("dropout"),
        "shuffle": derive("data_order", *fresh),
        "augmentation": derive("augmentation", *fresh),
        "criterion": derive("criterion", unit.level),
        "random_mask": derive("random_mask", unit.level),
        "treatment": derive("treatment", unit.level),
    }
