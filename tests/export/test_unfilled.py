import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.export import unfilled
from tf_lottery.export.unfilled import Filler, Unfilled

VALUES = [
    np.float32([[0, 1, -0.0], [2, 0, 0]]),
    np.float16(3),
    np.zeros((0, 2), np.float32),
    np.float16([0, 0, 5]),
    np.float32([7]),
    np.arange(6, dtype=np.float32),
]


def variables():
    return [tf.Variable(value, name=f"part/w{index}") for index, value in enumerate(VALUES)]


def bits(values):
    return [np.asarray(value).tobytes() for value in values]


@pytest.mark.parametrize("bundle", [1, 5, 6, 7, 2**24])
def test_variables_of_several_dtypes_are_filled_however_many_go_together(monkeypatch, bundle):
    monkeypatch.setattr(unfilled, "_BUNDLE", bundle)
    filled = variables()
    filler = Filler(filled)
    for variable in filled:
        variable.assign(tf.ones_like(variable))
    filler._initialize()
    assert bits(filled) == bits(VALUES)


@pytest.mark.parametrize(
    ("bundle", "expected"),
    [
        (1, [[6], [0, 1], [6], [1], [3]]),
        (6, [[6, 0], [1], [6], [1, 3]]),
        (7, [[6, 0, 1], [6], [1, 3]]),
        (99, [[6, 0, 1, 6], [1, 3]]),
    ],
)
def test_variables_go_together_by_dtype_and_up_to_a_limit(monkeypatch, bundle, expected):
    monkeypatch.setattr(unfilled, "_BUNDLE", bundle)
    found = [[variable.shape.num_elements() for variable in group] for group in unfilled._bundles(variables())]
    assert found == expected


def test_what_stands_for_a_variable_is_like_it_but_has_no_value():
    variable = tf.Variable([1.0, 2.0], name="part/w", trainable=False)
    stand_in = Unfilled(variable)
    assert (stand_in.shape, stand_in.dtype, stand_in.name) == (variable.shape, variable.dtype, variable.name)
    assert not stand_in.trainable
    assert not stand_in.is_initialized()
    assert stand_in._serialize_to_tensors() == {}
