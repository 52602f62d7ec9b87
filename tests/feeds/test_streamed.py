from pathlib import Path
from types import SimpleNamespace

import archives
import numpy as np
import pytest
import tensorflow as tf
import tiny
from tiers import slow

from tf_lottery import data
from tf_lottery.data import imagenet
from tf_lottery.errors import DataError
from tf_lottery.feeds import encoded, images
from tf_lottery.feeds.resident import NO_EXAMPLE
from tf_lottery.feeds.streamed import Streamed
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks, state
from tf_lottery.training.learning_rate import LearningRate
from tf_lottery.training.trainer import Trainer

SYNTHETIC = data.load(
    "imagenet2012", synthetic=True
)  # 64 training images, of class 0 … 63; 24 of class 0 … 23 in the others
BATCH, T = 12, 20  # 3.75 epochs
SIZE = 4


@pytest.fixture(autouse=True)
def block(request, monkeypatch):
    """Shuffle in small blocks, so that an epoch has several, and a start within an epoch leaves some of them out."""
    monkeypatch.setattr(encoded, "_BLOCK", getattr(request, "param", 10))


def feed(dataset=SYNTHETIC, batch_size=BATCH, steps=T, threads=2, crop=images.train_image):
    return Streamed(dataset, batch_size=batch_size, image_size=SIZE, steps=steps, threads=threads, crop=crop)


def batches(feed, seed=1, start=0, stop=T, augmentation_seed=None):
    """Images, shape (steps, batch, 4, 4, 3), and classes."""
    segment = feed.segment(seed, seed if augmentation_seed is None else augmentation_seed, start, stop)
    taken = [feed.examples_of(*feed.take(segment, tf.constant(step))) for step in range(stop - start)]
    return tuple(np.stack(parts) for parts in zip(*taken, strict=True))


def same(first, second):
    return all(one.tobytes() == other.tobytes() for one, other in zip(first, second, strict=True))


def part(whole, start, stop=T):
    return tuple(array[start:stop] for array in whole)


def by_class(whole, start, stop):
    """The images of these examples of the stream, in the order of their classes."""
    x, y = (array.reshape(-1, *array.shape[2:])[start:stop] for array in whole)
    return x[np.argsort(y)]


@pytest.fixture
def whole(block):
    return batches(feed())


@pytest.mark.parametrize("block", [slow(1), 10, slow(2048)], indirect=True)
def test_a_start_at_any_step_gives_the_batches_of_the_whole_run(whole):
    assert (whole[0].dtype, whole[1].dtype, whole[0].shape) == (np.float32, np.int32, (T, BATCH, SIZE, SIZE, 3))
    for start in (1, 5, 6, 10, 16, 19):  # 16 is where the fourth epoch begins
        assert same(batches(feed(), start=start), part(whole, start))


def test_segments_continue_where_the_last_one_ended(whole):
    made = feed()
    stops = [4, 4, 5, 11, T]
    for start, stop in zip([0, *stops[:-1]], stops, strict=True):
        if stop > start:
            assert same(batches(made, start=start, stop=stop), part(whole, start, stop))
        else:
            made.segment(1, 1, start, stop)


def test_a_stream_is_built_only_where_the_last_segment_did_not_end(monkeypatch):
    made, built = feed(), []
    original = made._from_step
    monkeypatch.setattr(made, "_from_step", lambda seed, *more: built.append((seed, more[-1])) or original(seed, *more))
    for seed, start, stop in ((1, 0, 2), (1, 2, 3), (2, 3, 5), (2, 5, 7), (2, 3, 4)):
        batches(made, seed, start, stop)
    assert built == [(1, 0), (2, 3), (2, 3)]


def test_a_feed_returns_to_an_earlier_stream(whole):
    made = feed()
    for seed, start, stop in ((1, 0, 3), (1, 9, 11), (2, 11, 12), (1, 11, 14), (1, 2, 4)):
        seen = batches(made, seed, start, stop)
        assert same(seen, part(whole, start, stop)) == (seed == 1)


@pytest.mark.parametrize("start", [T, 0])
def test_a_segment_may_be_empty(start):
    assert feed().segment(1, 1, start, start)


@pytest.mark.parametrize("block", [10, 2048], indirect=True)
def test_every_epoch_has_every_example_once_in_an_order_of_its_own(whole):
    epochs = whole[1].reshape(-1)[: 3 * 64].reshape(3, 64)
    assert all(sorted(epoch) == list(range(64)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_an_example_is_cropped_anew_in_every_epoch(whole):
    first, second = by_class(whole, 0, 64), by_class(whole, 64, 128)
    assert (first != second).any(axis=(1, 2, 3)).all()


def test_another_seed_is_another_order_and_other_crops(whole):
    other = batches(feed(), seed=2, stop=6)
    assert (other[1] != whole[1][:6]).any()
    assert (by_class(other, 0, 64) != by_class(whole, 0, 64)).any(axis=(1, 2, 3)).all()


def test_another_augmentation_seed_is_other_crops_in_the_same_order(whole):
    x, y = batches(feed(), stop=6, augmentation_seed=2)
    assert (y == whole[1][:6]).all()
    assert (x != whole[0][:6]).any(axis=(2, 3, 4)).all()
    assert not same(batches(feed(), seed=2, stop=6, augmentation_seed=1), part(whole, 0, 6))


def test_batches_are_a_function_of_seed_and_step_alone(whole):
    for threads, global_seed in ((1, 3), (5, 4)):
        tf.random.set_seed(global_seed)
        assert same(batches(feed(threads=threads, steps=T + 30)), whole)
    wide = batches(feed(batch_size=2 * BATCH), stop=T // 2)
    assert all((array.reshape(other.shape) == other).all() for array, other in zip(wide, whole, strict=True))


def test_crops_are_those_of_seed_epoch_and_example(whole):
    records = {int(record["label"]): record for record in encoded.records(SYNTHETIC, "train")}
    x, y = (array.reshape(-1, *array.shape[2:]) for array in whole)
    for place in (0, 63, 64, 130, 239):
        crop = images.train_image(records[int(y[place])], tf.constant([1, place // 64], tf.int64), SIZE)
        np.testing.assert_allclose(x[place], crop, rtol=0, atol=1e-6)


def test_without_a_crop_training_images_are_centre_crops():
    x, y = batches(feed(crop=None), stop=6)
    centres = np.stack([images.test_image(record, SIZE) for record in encoded.records(SYNTHETIC, "train")])
    assert (x == centres[y]).all()
    assert y.dtype == np.int32


@pytest.mark.parametrize("size", [1, 5, 7, 24, 100])
def test_evaluations_contain_every_example_once_and_mark_padding(size):
    made = feed(batch_size=size)
    centres = np.stack([images.test_image(record, SIZE) for record in encoded.records(SYNTHETIC, "validation")])
    for _ in range(2):
        taken = [made.held_out_of(*batch) for batch in made.held_out("validation")]
        assert {(*x.shape, *y.shape) for x, y in taken} == {(size, SIZE, SIZE, 3, size)}
        x, y = (np.concatenate(parts) for parts in zip(*taken, strict=True))
        assert (len(y), y.dtype) == (-(-24 // size) * size, np.int32)
        assert y.tolist() == [*range(24), *[NO_EXAMPLE] * (-24 % size)]
        assert (x[:24] == centres).all()


def test_two_input_pipelines_have_the_halves_of_every_batch(whole):
    halves, held_out = [], []
    for index in range(2):
        made = feed()
        context = tf.distribute.InputContext(2, index, 2)
        made._strategy = SimpleNamespace(distribute_datasets_from_function=lambda of, context=context: of(context))
        halves.append(batches(made, start=5))
        held_out.append(np.concatenate([y for _, y in made.held_out("test")]))
    for step in range(T - 5):
        assert all(len(y[step]) == BATCH // 2 for _, y in halves)
        joined = {image.tobytes() for x, _ in halves for image in x[step]}
        assert joined == {image.tobytes() for image in whole[0][5 + step]}
    assert len(held_out[0]) == len(held_out[1]) == 12
    assert sorted(np.concatenate(held_out)) == list(range(24))


def trainer(feed, *, batch_norm=False, **changes):
    keras.utils.set_random_seed(3)
    parts = [keras.layers.BatchNormalization()] if batch_norm else []
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *parts, keras.layers.Flatten(), keras.layers.Dense(1000)])
    optimizer = keras.optimizers.SGD(LearningRate(0.1, drops=(11,)), momentum=0.9)
    settings = {"optimizer": optimizer, "steps": T, "evaluate_every": 8, **changes}
    return Trainer(conversion.make_prunable(model), feed, **settings)


@pytest.mark.parametrize("jit_compile", [False, slow(True)])
def test_levels_of_any_length_share_one_trace(jit_compile):
    made = trainer(feed(), jit_compile=jit_compile)
    for start in (0, 3, 7):
        outcome = made.train(start, T, shuffle_seed=start % 2, snapshots_at=[start + 1])
        model_masks.set_masks(made.model, tiny.half_masks(made.model, seed=start))
        assert all(np.isfinite(row["train_loss"]) for row in outcome.history)
    made.evaluate("test")
    traced = made._run, made._step, made._measure
    assert [function.experimental_get_tracing_count() for function in traced] == [1, 1, 1]


def test_a_feed_knows_how_many_examples_it_has():
    assert feed().examples == SYNTHETIC.examples["train"]


@pytest.mark.slow
@pytest.mark.parametrize("moved", [False, True])
def test_training_from_the_snapshot_ends_with_the_bytes_of_the_dense_run(moved):
    made = trainer(feed(), batch_norm=True)
    dense, k = made.train(0, T, shuffle_seed=1, snapshots_at=[7]), 7
    end = made.capture()
    if moved:
        batches(made.feed, seed=2, start=6, stop=7)
        batches(made.feed, seed=1, start=4, stop=6)
    state.restore(dense.snapshots[k], made.model, made.optimizer)
    again = made.train(k, T, shuffle_seed=1)
    rewound = made.capture()
    assert all(end[group][name].tobytes() == rewound[group][name].tobytes() for group in end for name in end[group])
    assert again.history[1:] == dense.history[1:]
    assert again.history[0]["validation_loss"] == dense.history[0]["validation_loss"]
    state.restore(dense.snapshots[k], made.model, made.optimizer)
    made.train(k, T, shuffle_seed=2)
    assert any(made.capture()["weights"][name].tobytes() != end["weights"][name].tobytes() for name in end["weights"])


@pytest.mark.parametrize("size", [7, 24])
def test_evaluation_equals_numpy(size):
    made = trainer(feed(batch_size=size))
    records = list(encoded.records(SYNTHETIC, "test"))
    x = np.stack([images.test_image(record, SIZE) for record in records])
    y = np.array([int(record["label"]) for record in records])
    logits = made.model.predict(x, verbose=0).astype(np.float64)
    losses = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1) - logits[range(24), y]
    measured = made.evaluate("test")
    assert measured["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert measured["accuracy"] == (logits.argmax(1) == y).mean()


@pytest.fixture
def archive(tmp_path):
    """A folder prepared by the genuine builder: 23 training images, 1 for validation, 5 for tests."""
    archives.imagenet(tmp_path)
    return Path(imagenet.prepare(str(tmp_path)))


def test_files_are_streamed_like_records_in_memory(archive):
    dataset = imagenet.load(str(archive.parents[1]))
    whole = batches(feed(dataset, batch_size=5, steps=T), stop=T)  # 4.3 epochs
    ids = {image.tobytes() for image in whole[0].reshape(-1, SIZE, SIZE, 3)[:23]}
    assert len(ids) == 23
    for start in (1, 4, 5, 9, 19):
        assert same(batches(feed(dataset, batch_size=5), start=start), part(whole, start))
    y = np.concatenate([y for _, y in feed(dataset, batch_size=5).held_out("test")])
    assert sorted(y) == sorted(int(record["label"]) for record in encoded.records(dataset, "test"))
    measured = trainer(feed(dataset, batch_size=5)).train(0, 6, shuffle_seed=1)
    assert [row["step"] for row in measured.history] == [6]


@pytest.mark.parametrize("jit_compile", [False, slow(True)])
def test_damaged_files_are_one_line_of_error_in_training_and_in_evaluations(archive, jit_compile):
    made = trainer(feed(imagenet.load(str(archive.parents[1])), batch_size=5), jit_compile=jit_compile)
    for split, measure in (
        ("train", lambda: made.train(0, T, shuffle_seed=1)),
        ("train", lambda: made.evaluate("validation")),
        ("validation", lambda: made.evaluate("test")),
    ):
        (file,) = archive.glob(f"*{split}.tfrecord*")
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        with pytest.raises(
            DataError, match=rf"^The data of imagenet2012 in {archive} is damaged: .*\n?.*truncated record"
        ):
            measure()
        file.write_bytes(content)
    assert made.train(0, 2, shuffle_seed=1).history
