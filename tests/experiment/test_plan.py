import made_up

from tf_lottery.experiment import plan
from tf_lottery.experiment.config import Prune
from tf_lottery.experiment.plan import Plan
from tf_lottery.experiment.storage import Unit


def test_the_plan_is_every_ticket_then_every_control():
    units = plan.units(made_up.experiment(replicates=2, prune=Prune(levels=1), controls=("reinit",)))
    assert units == [Unit(1, 0), Unit(2, 0), Unit(1, 1), Unit(2, 1), Unit(1, 1, "reinit"), Unit(2, 1, "reinit")]


def test_a_unit_needs_the_ticket_of_the_level_before():
    assert plan.needs(Unit(2, 0)) is None
    assert plan.needs(Unit(2, 3)) == plan.needs(Unit(2, 3, "reinit")) == Unit(2, 2)


def test_a_plan_counts_the_steps_of_each_training():
    lengths = Plan(total_steps=100, rewind_step=30, environment={})
    steps = [lengths.steps(unit) for unit in (Unit(1, 0), Unit(1, 2), Unit(1, 2, "random_mask"), Unit(1, 2, "reinit"))]
    assert steps == [100, 70, 70, 100]
