"""Each training's start, as a table."""

import dataclasses

import pytest

from tf_lottery.experiment import controls, starts
from tf_lottery.experiment.config import Prune
from tf_lottery.experiment.starts import Start
from tf_lottery.experiment.storage import Unit

DENSE, TICKET = Unit(1, 0), Unit(1, 2)
REWIND, RATE, FINE_TUNING = (Prune(rewind=mode) for mode in ("weights", "learning_rate", "none"))


@pytest.mark.parametrize(
    ("unit", "prune", "start"),
    [
        (DENSE, REWIND, Start(0)),
        (TICKET, REWIND, Start(60, DENSE, "rewind", keeps_optimizer=True)),
        (TICKET, dataclasses.replace(REWIND, reset_optimizer=True), Start(60, DENSE, "rewind")),
        (TICKET, RATE, Start(60, Unit(1, 1), "final")),
        (TICKET, FINE_TUNING, Start(60, Unit(1, 1), "final", keeps_optimizer=True)),
        (Unit(1, 2, "random_mask"), REWIND, Start(60, DENSE, "rewind", keeps_optimizer=True)),
        (Unit(1, 2, "random_mask"), FINE_TUNING, Start(60, DENSE, "rewind", keeps_optimizer=True)),
        (Unit(1, 2, "reinit"), REWIND, Start(0, DENSE)),
        (Unit(1, 2, "reinit_signs"), FINE_TUNING, Start(0, DENSE)),
        (Unit(1, 2, "reshuffle"), REWIND, Start(60, DENSE)),
        (Unit(1, 2, "constant_signs"), RATE, Start(60, DENSE)),
        (Unit(1, 0, shuffle_seed=1), FINE_TUNING, Start(60, DENSE, "rewind", keeps_optimizer=True)),
        (Unit(1, 2, shuffle_seed=1), RATE, Start(60, Unit(1, 1), "final")),
        (Unit(3, 2, variant="k=60"), REWIND, Start(60, Unit(3, 0, variant="k=60"), "rewind", keeps_optimizer=True)),
    ],
    ids=str,
)
def test_where_a_training_starts(unit, prune, start):
    assert starts.of(unit, prune, 60) == start


@pytest.mark.parametrize("prune", [REWIND, RATE, FINE_TUNING], ids=["weights", "learning_rate", "none"])
@pytest.mark.parametrize("control", ["", *controls.CONTROLS])
def test_a_further_data_order_starts_where_the_first_one_does(control, prune):
    unit = Unit(2, 3, control, "variant")
    assert starts.of(dataclasses.replace(unit, shuffle_seed=2), prune, 5) == starts.of(unit, prune, 5)
