import pytest
import tiny

from tf_lottery import keras_compat
from tf_lottery.errors import ConfigError
from tf_lottery.keras_compat import LEGACY, keras

AVERAGING = {
    "plain": lambda: keras.optimizers.SGD(0.1, use_ema=True),
    "loss scale": lambda: keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD(0.1, use_ema=True)),
}
if not LEGACY:
    AVERAGING["several"] = lambda: keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(AVERAGING["plain"]()))


@pytest.mark.parametrize("kind", AVERAGING)
def test_moving_averages_are_found(kind):
    model, optimizer = tiny.dense(), AVERAGING[kind]()
    assert keras_compat.moving_averages(optimizer, model.trainable_variables) == []  # not built yet
    model.compile(optimizer, tiny.loss(), run_eagerly=True)
    model.fit(tiny.X, tiny.Y, batch_size=32, verbose=0)
    pairs = keras_compat.moving_averages(optimizer, model.trainable_variables)
    assert [tuple(average.shape) for _, average in pairs] == [(36, 4), (4,), (4, 3), (3,)]


@pytest.mark.parametrize("optimizer", [None, keras.optimizers.SGD()])
def test_without_use_ema_there_are_no_averages(optimizer):
    assert keras_compat.moving_averages(optimizer, tiny.dense().trainable_variables) == []


@pytest.mark.skipif(LEGACY, reason="legacy Keras accumulates no gradients")
def test_the_clock_of_accumulated_gradients_is_a_variable():
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    optimizer.build(tiny.dense().trainable_variables)
    known = {id(variable) for variable in keras_compat.optimizer_variables(optimizer)}
    assert {id(variable) for variable in keras_compat.clock_variables(optimizer)} <= known


def test_a_model_without_an_optimizer_of_todays_is_refused():
    model = tiny.dense()
    optimizers = [None, *([keras.optimizers.legacy.SGD()] if LEGACY else [])]
    for optimizer in optimizers:
        model.compile(optimizer or "sgd", tiny.loss())
        model.optimizer = model.optimizer if optimizer else None
        with pytest.raises(ConfigError, match=r"must be compiled with an optimizer of `keras.optimizers`"):
            keras_compat.build_optimizers(model)


def test_the_loss_scale_and_its_counter_are_state_of_the_optimizer():
    model, plain = tiny.dense(), keras.optimizers.SGD(0.1)
    scaling = keras.mixed_precision.LossScaleOptimizer(plain, initial_scale=4.0, dynamic_growth_steps=3)
    model.compile(scaling, tiny.loss())
    model.fit(tiny.X, tiny.Y, batch_size=16, verbose=0)
    scalars = [variable.numpy() for variable in keras_compat.optimizer_variables(scaling) if not tuple(variable.shape)]
    assert {4, 2} <= set(scalars)  # the scale after two steps of three
