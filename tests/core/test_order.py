import numpy as np
from hypothesis import given, strategies as st

from tf_lottery.core.order import batches


def test_batches_run_on_across_the_border_of_two_epochs():
    stream = batches(seed=3, examples=5, batch_size=2, from_step=0, to_step=5).ravel()
    assert sorted(stream[:5]) == sorted(stream[5:]) == [0, 1, 2, 3, 4]
    assert stream[:5].tolist() != stream[5:].tolist()


def test_no_steps_are_no_batches():
    assert batches(0, 5, 2, 4, 4).shape == (0, 2)


@given(st.integers(0, 50), st.integers(1, 30), st.integers(1, 8), st.integers(0, 40), st.integers(0, 40))
def test_any_step_can_be_the_first(seed, examples, batch_size, start, length):
    batch_size = min(batch_size, examples)
    whole = batches(seed, examples, batch_size, 0, start + length)
    part = batches(seed, examples, batch_size, start, start + length)
    assert part.dtype == np.int32
    assert part.tolist() == whole[start:].tolist()


@given(st.integers(0, 50), st.integers(1, 30), st.integers(1, 8))
def test_every_epoch_sees_every_example_once(seed, examples, batch_size):
    stream = batches(seed, examples, batch_size, 0, 3 * examples).ravel()[: 3 * examples]
    for epoch in stream.reshape(3, examples):
        assert sorted(epoch) == list(range(examples))


def test_another_seed_is_another_order():
    assert batches(0, 100, 10, 0, 5).tolist() != batches(1, 100, 10, 0, 5).tolist()
