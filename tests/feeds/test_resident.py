import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.core import seeds
from tf_lottery.data.dataset import Dataset, Split
from tf_lottery.feeds import resident
from tf_lottery.feeds.resident import NO_EXAMPLE, Resident


def split(start, count):
    """Examples whose pixels are their number."""
    numbers = np.arange(start, start + count)
    return Split(np.tile(numbers[:, None, None, None], (1, 2, 2, 1)).astype(np.float32), numbers.astype(np.int32) % 3)


DATASET = Dataset(split(0, 10), split(100, 7), split(200, 1), num_classes=3)


def feed(augment=None, longest=7, **settings):
    return Resident(DATASET, batch_size=4, longest=longest, augment=augment, **settings)


def batches(feed, seed, *stops):
    """The batches from step 0 on, in segments that end at `stops`."""
    taken = []
    for start, stop in zip([0, *stops[:-1]], stops, strict=True):
        segment = feed.segment(seed, seed, start, stop)
        taken += [feed.examples_of(*feed.take(segment, tf.constant(step))) for step in range(stop - start)]
    return [np.stack(parts) for parts in zip(*taken, strict=True)]


@pytest.mark.parametrize("stops", [(7,), (3, 7), (1, 2, 3, 4, 5, 6, 7), (0, 7, 7)])
def test_batches_are_the_rows_of_the_order_whatever_the_segments(stops):
    x, y = batches(feed(), 5, *stops)
    rows = seeds.batches(5, 10, 4, 0, 7)
    assert (x == rows[:, :, None, None, None]).all()
    assert (y == rows % 3).all()
    assert (x.dtype, y.dtype, x.shape) == (np.float32, np.int32, (7, 4, 2, 2, 1))


@pytest.mark.parametrize("stops", [(7,), (3, 7)])
def test_an_augmentation_gets_the_images_and_the_draws_of_their_steps(stops):
    def shift(images, draws):
        return images + 1000 * tf.cast(draws % 162, tf.float32)[:, None, None, None]

    x, _ = batches(feed(shift), 5, *stops)
    expected = seeds.batches(5, 10, 4, 0, 7) + 1000 * (seeds.draws(5, 5, 10, 4, 0, 7) % 162)
    assert (x == expected[:, :, None, None, None]).all()
    assert (batches(feed(shift), 6, 7)[0] != x).any()


def test_padding_gives_all_segments_one_shape_and_changes_nothing():
    by_length = {longest: feed(lambda x, draws: x, longest).segment(5, 5, 2, 4) for longest in (2, 3, 50)}
    for longest, arrays in by_length.items():
        assert [array.shape for array in arrays] == [(longest, 4)] * 2
        assert all(array.dtype == tf.int32 for array in arrays)
        assert (arrays[0][:2].numpy() == seeds.batches(5, 10, 4, 2, 4)).all()
        assert (arrays[1][:2].numpy() == seeds.draws(5, 5, 10, 4, 2, 4)).all()


@pytest.mark.parametrize("replicas", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [1, 2, 4, 1000])
def test_held_out_batches_have_every_example_once_and_mark_padding(monkeypatch, size, replicas):
    monkeypatch.setattr(resident, "_EVALUATION_BATCH", size)
    made = feed(lambda x, draws: x + 1, replicas=replicas)
    for name in ("validation", "test"):
        whole = list(made.held_out(name))
        assert all(len(y) % replicas == 0 for _, y in whole)
        x, y = (np.concatenate(arrays) for arrays in zip(*whole, strict=True))
        stored = getattr(DATASET, name)
        assert (x[y != NO_EXAMPLE] == stored.x).all()
        assert (y[y != NO_EXAMPLE] == stored.y).all()
        assert 0 <= len(y) - len(stored) < replicas


def test_a_single_replica_has_the_whole_held_out_batch():
    made = feed(lambda x, draws: x + 1)
    ((x, y),) = made.held_out("validation")
    own = made.held_out_of(x, y)
    assert (own[0].numpy() == DATASET.validation.x).all()
    assert (own[1].numpy() == DATASET.validation.y).all()
