"""Which taps of a convolution meet zeros, against convolutions of ones by kernels of a single tap."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from whole_numbers import chain, outputs, values

from tf_lottery.export.compaction import padding
from tf_lottery.keras_compat import keras


def test_the_middle_of_three_taps_never_leaves_the_image():
    inside, border = padding.taps([5], [3], [1], [1], "same")
    assert inside.tolist() == [False, True, False]
    assert border.tolist() == [True, False, True]


def test_taps_that_meet_nothing_but_zeros_are_neither_inside_nor_at_the_border():
    inside, border = padding.taps([1], [3], [1], [1], "same")
    assert (inside.tolist(), border.tolist()) == ([False, True, False], [False] * 3)


def test_strided_convolutions_may_put_all_zeros_behind():
    inside, _ = padding.taps([4, 4], [3, 3], [2, 2], [1, 1], "same")
    assert inside.reshape(3, 3).tolist() == [[True, True, False], [True, True, False], [False, False, False]]


def test_where_any_size_will_do_no_tap_is_safe():
    inside, border = padding.taps([None], [3], [1], [1], "same")
    assert (inside.tolist(), border.tolist()) == ([False] * 3, [True] * 3)
    assert padding.taps([None], [3], [1], [1], "valid")[0].all()
    assert padding.taps([None], [1], [2], [1], "same")[0].all()


def seen(layer, shape):
    """What `taps` says, by trying each tap."""
    model = chain(layer, shape=(*shape, 1))
    inside, border = [], []
    for tap in itertools.product(*map(range, layer.kernel_size)):
        kernel = np.zeros((*layer.kernel_size, 1, 1))
        kernel[tap] = 1
        values(layer, kernel=kernel)
        (result,) = outputs(model, [np.ones((1, *shape, 1))])
        inside.append(result.min() == 1)
        border.append(result.min() != result.max())
    return inside, border


@settings(max_examples=25)
@given(
    st.sampled_from(["same", "valid", "causal"]),
    *(st.integers(1, 4) for _ in range(3)),
    st.integers(5, 8),
    st.booleans(),
)
def test_taps_along_one_axis(kind, kernel, stride, dilation, length, dilates):
    stride, dilation = (1, dilation) if dilates else (stride, 1)
    if kind == "valid" and (kernel - 1) * dilation >= length:
        return
    layer = keras.layers.Conv1D(1, kernel, stride, kind, dilation_rate=dilation)
    expected = seen(layer, (length,))
    assert tuple(a.tolist() for a in padding.taps([length], [kernel], [stride], [dilation], kind)) == expected


@pytest.mark.parametrize("stride", [1, 2])
def test_taps_along_two_axes(stride):
    expected = seen(keras.layers.Conv2D(1, (3, 2), stride, "same"), (5, 4))
    assert tuple(a.tolist() for a in padding.taps([5, 4], [3, 2], [stride] * 2, [1, 1], "same")) == expected
