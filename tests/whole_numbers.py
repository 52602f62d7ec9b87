"""Models with small whole numbers as weights: every sum in them is exact, so that any order gives the same bits."""

import numpy as np

from tf_lottery import keras_compat
from tf_lottery.export import compaction
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, naming


def dense(units, **settings):
    return keras.layers.Dense(units, **settings)


def norm(**settings):
    return keras.layers.BatchNormalization(epsilon=0.0, **settings)


def values(layer, **arrays):
    """Gives a layer that is built these weights, by name; its others become 0, in BatchNorm as if it were not there."""
    variables = keras_compat.own_variables(layer)
    for name, variable in zip(keras_compat.names_in(layer, variables), variables, strict=True):
        default = 1.0 if name in ("gamma", "moving_variance") else 0.0
        variable.assign(np.broadcast_to(arrays.get(name, default), variable.shape))


def examples(model, seed=0, number=3):
    """Whole numbers for each input of a model."""
    rng = np.random.default_rng(seed)
    return [rng.integers(-3, 4, (number, *tensor.shape[1:])).astype("float64") for tensor in model.inputs]


def outputs(model, inputs):
    result = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    return [np.asarray(tensor) for tensor in (result if isinstance(result, list | tuple) else [result])]


def kept(model, seed=0):
    """How many units of each layer compaction keeps, having seen that it keeps all the properties.

    The smaller model gives the same bits, has the same layers and the sizes that were told, and cannot be made smaller.
    """
    plain, smaller, found = conversion.plain(model), compaction.compact(model), compaction.analyse(model)
    inputs = examples(model, seed)
    for before, after in zip(outputs(plain, inputs), outputs(smaller, inputs), strict=True):
        assert np.isfinite(before).all()
        np.testing.assert_array_equal(before, after, strict=True)
    names, others = naming.named_layers(plain), naming.named_layers(smaller)
    assert [layer.name for layer in names.values()] == [layer.name for layer in others.values()]
    again = compaction.analyse(smaller)
    assert {name: finding.kept for name, finding in found.items()} == {n: f.units for n, f in again.items()}
    assert all(finding.kept == finding.units for finding in again.values())
    assert compaction.compact(smaller).count_params() == smaller.count_params()
    for name, finding in found.items():
        size = next((s for a in ("units", "filters") if (s := getattr(others[name], a, None)) is not None), None)
        assert size in (None, finding.kept)
    return {name: finding.kept for name, finding in found.items()}


def chain(*parts, shape):
    """A Sequential model of these layers."""
    return keras.Sequential([keras.Input(shape), *parts])


def spread_numbers(model, rng, density):
    """Gives all layers whole numbers, most of them 0, and takes some units all weights that they have, or all readers.

    BatchNorm gets variances with roots that are whole or halves, in float64 all that comes of it is exact.
    """
    for layer in keras_compat.all_layers(model):
        variables = keras_compat.own_variables(layer)
        for name, variable in zip(keras_compat.names_in(layer, variables), variables, strict=True):
            if not keras_compat.is_random_state(variable):
                variable.assign(_numbers(name, tuple(variable.shape), rng, density))


def _numbers(name, shape, rng, density):
    if name == "moving_variance":
        return rng.choice([0.25, 1, 4], shape)
    numbers = rng.integers(-2, 3, shape).astype("float64")
    if name != "kernel":
        return numbers * (rng.random(shape) < 0.7)
    numbers *= rng.random(shape) < density
    for axis in (-1, -2):
        numbers *= (rng.random(shape[axis]) < 0.7).reshape((-1,) + (1,) * (-1 - axis))
    return numbers
