"""Every optimizer that Keras has, alone, wrapped and averaging: levels with nothing pruned repeat the dense one."""

import inspect

import fits
import numpy as np
import pytest
import tiny
from tiers import always

import tf_lottery as tfl
from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import LEGACY, keras

pytestmark = pytest.mark.filterwarnings("ignore:With `use_ema`")


def plain_optimizers():
    """Return the classes of all optimizers that are made from a learning rate."""
    found = vars(keras.optimizers).items()
    classes = {name: one for name, one in found if inspect.isclass(one) and issubclass(one, keras.optimizers.Optimizer)}
    return {name: one for name, one in classes.items() if "learning_rate" in inspect.signature(one).parameters}


PLAIN = plain_optimizers()
WRAPPED = {
    "alone": lambda kind: kind(0.01),
    "with a schedule": lambda kind: kind(keras.optimizers.schedules.ExponentialDecay(0.02, 1, 0.9)),
    "averaging": lambda kind: kind(0.01, use_ema=True, ema_momentum=0.9),
    "with a loss scale": lambda kind: scaled(kind(0.01)),
}
if not LEGACY:
    WRAPPED["one of several"] = lambda kind: several(kind(0.01))
    WRAPPED["one of several, with a loss scale"] = lambda kind: scaled(several(kind(0.01)))
    WRAPPED["accumulating"] = lambda kind: kind(0.01, gradient_accumulation_steps=2)


def scaled(optimizer):
    return keras.mixed_precision.LossScaleOptimizer(optimizer, dynamic_growth_steps=3)


def several(optimizer, rest=None):
    """An optimizer for kernels, and another, by default with a schedule, for the rest."""
    rate = keras.optimizers.schedules.ExponentialDecay(0.02, 1, 0.9)
    chosen = keras.optimizers.OptimizerMap(rest or keras.optimizers.Adam(rate), {".*kernel": optimizer})
    return keras.optimizers.MultiOptimizer(chosen)


def named():
    """`tiny.dense` with names that do not depend on how many models there are."""
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(4, name="dense"),
            keras.layers.Dense(3, name="dense_1"),
        ]
    )


def clocks(model):
    return {
        path: [float(np.asarray(one)) for one in keras_compat.clock_variables(optimizer)]
        for path, optimizer in keras_compat.owned_optimizers(model).items()
    }


CASES = [(name, how) for name in PLAIN for how in WRAPPED]
QUICK = [("Adam", "with a loss scale"), ("Nadam", "alone")] + ([] if LEGACY else [("SGD", "one of several")])


@pytest.mark.parametrize(("name", "how"), always(*QUICK, among=CASES))
def test_with_nothing_pruned_every_level_ends_as_the_dense_one(name, how):
    made = fits.model(named, WRAPPED[how](PLAIN[name]), seed=1)
    tickets = fits.found(made=made, levels=1, fraction=0.0, rewind_to=3, fit_settings={"data": fits.ONE_BATCH})
    dense, again = (tickets.ticket(level).weights["final"] for level in (0, 1))
    assert not fits.same_bits(dense, tickets.ticket(0).weights["rewind"])
    assert fits.same_bits(dense, again)
    assert tickets.to_frame()["step"].tolist() == [16, 16]


RESETS = [("Adagrad", "alone")] if LEGACY else [("SGD", "one of several, with a loss scale")]


@pytest.mark.parametrize(("name", "how"), always(*RESETS, among=CASES))
@pytest.mark.parametrize("settings", [{"reset_optimizer": True}])
def test_a_level_with_a_new_optimizer_starts_at_the_clock_of_step_k(name, how, settings):
    seen = []

    class Clocks(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(clocks(self.model))

        def on_train_batch_end(self, batch, logs=None):
            seen.append(clocks(self.model))

    made = fits.model(named, WRAPPED[how](PLAIN[name]), seed=1)
    fits.found(made=made, levels=1, rewind_to=3, callbacks=[Clocks()], **settings)
    assert seen[17] == seen[3]
    assert seen[17:] == seen[3:17]


@pytest.mark.filterwarnings("ignore:The optimizer of this control averages weights")
@pytest.mark.parametrize(("name", "how"), always(*RESETS, among=CASES))
def test_controls_start_with_the_clock_of_their_ticket(name, how):
    class Slower(keras.callbacks.Callback):
        """Changes rates in every epoch, as schedulers do."""

        def on_epoch_end(self, epoch, logs=None):
            for rate in keras_compat.learning_rates(self.model.optimizer):
                if hasattr(rate, "assign"):
                    rate.assign(rate * 0.5)

    made = fits.model(named, WRAPPED[how](PLAIN[name]), seed=1)
    start = clocks(made)
    tickets = fits.found(made=made, levels=1, rewind_to="1ep", callbacks=[Slower()])
    if LEGACY and (name, how) in [("Adafactor", "with a loss scale"), ("Lion", "with a loss scale")]:
        with pytest.raises(ModelError, match=f"cannot be compiled again.*{name}"):  # legacy Keras cannot load them
            tickets.control("reinit", 1)
        return
    assert clocks(tickets.control("reinit", 1)) == start
    at_k = clocks(tickets.control("random_mask", 1))
    counters = len(keras_compat.step_counters(made.optimizer))
    assert {0.0, 8.0} >= set(at_k[""][:counters])
    assert at_k[""][counters:] == [rate * 0.5 for rate in start[""][counters:]]
    control = tickets.control("random_mask", 1)
    control.fit(tiny.X, tiny.Y, batch_size=4, verbose=0)
    assert tfl.density(control) == 0.5


@pytest.mark.skipif(LEGACY, reason="legacy Keras has no MultiOptimizer")
@pytest.mark.parametrize("wrap", [several, lambda optimizer: scaled(several(optimizer))])
def test_fine_tuning_holds_the_rates_of_all_optimizers(wrap):
    rates = []

    class Rates(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            inside = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
            rates.append([float(one._learning_rate(one.iterations.numpy() - 1)) for one in inside.optimizers])

    made = fits.model(named, wrap(keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.05, 1, 0.5))))
    fits.found(made=made, levels=1, rewind="none", rewind_to=8, callbacks=[Rates()])
    expected = [[0.05 * 0.5 ** min(step, 15), 0.02 * 0.9 ** min(step, 15)] for step in range(24)]
    assert rates == [pytest.approx(pair) for pair in expected]


@pytest.mark.skipif(LEGACY, reason="legacy Keras has no MultiOptimizer")
def test_a_control_is_not_compiled_from_the_config_of_an_optimizer_that_is_used_twice():
    optimizer = keras.optimizers.SGD(0.05)
    tickets = fits.found(made=fits.model(named, several(optimizer, rest=optimizer)), levels=1, epochs_per_level=1)
    with pytest.raises(ModelError, match=r"control\(…, model=…\).* uses one optimizer in several places"):
        tickets.control("reinit", 1)
    control = tickets.control(
        "reinit", 1, model=fits.model(named, several(optimizer := keras.optimizers.SGD(0.05), rest=optimizer))
    )
    assert tfl.density(control) == 0.5
