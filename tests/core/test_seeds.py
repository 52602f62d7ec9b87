import numpy as np
from hypothesis import given, strategies as st

from tf_lottery.core.seeds import batches, derive, draws


def test_seeds_are_fixed_for_ever():
    assert derive(0, "replicate", 1, "data_order") == 802519024


def test_purposes_replicates_and_seeds_are_told_apart():
    paths = [(0, "a"), (0, "b"), (1, "a"), (0, "replicate", 1, "a"), (0, "replicate", 11), (0, "replicate", 1, 1)]
    assert len({derive(*path) for path in paths}) == len(paths)


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


def test_a_draw_belongs_to_its_example_and_epoch_whatever_the_batch_size_and_the_range():
    examples = 7
    by_place = {}
    for batch_size, start, stop in ((1, 0, 21), (2, 0, 10), (3, 2, 7), (7, 1, 3), (5, 4, 4)):
        indices = batches(3, examples, batch_size, start, stop)
        made = draws(3, 3, examples, batch_size, start, stop)
        assert (made.shape, made.dtype) == (indices.shape, np.int32)
        for place, (index, draw) in enumerate(zip(indices.ravel(), made.ravel(), strict=True), start * batch_size):
            assert by_place.setdefault((place // examples, index), draw) == draw
    assert len(by_place) == 21
    assert len(set(by_place.values())) == 21


def test_draws_owe_nothing_to_the_order():
    """In the order of the examples, not of the stream, they are one call of their own generator."""
    in_stream = draws(shuffle_seed=3, augmentation_seed=4, examples=50, batch_size=10, from_step=5, to_step=10).ravel()
    by_example = in_stream[np.argsort(batches(3, 50, 10, 5, 10).ravel())]
    assert by_example.tolist() == np.random.default_rng((4, 1, 1)).integers(2**31, size=50).tolist()
    assert in_stream.tolist() != draws(3, 5, 50, 10, 5, 10).ravel().tolist()


def test_draws_fill_their_range():
    made = draws(0, 0, 1000, 100, 0, 100)
    assert 0 <= made.min() < 2**20
    assert 2**31 - 2**20 < made.max() < 2**31
    assert abs(made.mean() / 2**31 - 0.5) < 0.01
