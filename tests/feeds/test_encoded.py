import functools

import archives
import numpy as np
import pytest
import tensorflow as tf
from tiers import slow

from tf_lottery import data
from tf_lottery.data.dataset import Encoded, Shard
from tf_lottery.errors import DataError
from tf_lottery.feeds import encoded, images


@functools.cache
def jpeg():
    """A JPEG file, made in the first call: TensorFlow may run only after collected tests have set its threads."""
    return archives.jpeg(0, 20, 20)


def write(path, numbers, image=None):
    """Writes records whose label is their number."""
    image = jpeg() if image is None else image
    with tf.io.TFRecordWriter(str(path)) as file:
        for number in numbers:
            example = tf.train.Example()
            example.features.feature["image"].bytes_list.value.append(image)
            example.features.feature["label"].int64_list.value.append(number)
            example.features.feature["file_name"].bytes_list.value.append(f"{number}.JPEG".encode())
            file.write(example.SerializeToString())


@pytest.fixture
def dataset(tmp_path):
    """Forty files of 25 records for training: 0 … 999, but for the first and the last three. Four for validation."""
    shards = []
    for index in range(40):
        write(tmp_path / str(index), range(25 * index, 25 * index + 25))
        shards.append(Shard(str(tmp_path / str(index)), 3 * (index == 0), 25 - 3 * (index in (0, 39))))
    held_out = (Shard(str(tmp_path / "39"), 22, 3),)
    return Encoded("numbers", str(tmp_path), {"train": tuple(shards), "validation": held_out}, 1000)


def labels(dataset, split="train", seed=None):
    return [int(record["label"]) for record in encoded.records(dataset, split, seed)]


def test_without_a_seed_the_order_is_that_of_the_files(dataset):
    assert labels(dataset) == list(range(3, 997))
    assert labels(dataset, "validation") == [997, 998, 999]
    assert dataset.examples == {"train": 994, "validation": 3}


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_every_example_comes_once_whatever_the_seed(dataset, seed):
    assert sorted(labels(dataset, seed=seed)) == list(range(3, 997))


def test_the_order_is_a_function_of_the_seed_alone(dataset):
    orders = [labels(dataset, seed=7)]
    for global_seed in (1, 2):
        tf.random.set_seed(global_seed)
        tf.random.uniform([3])
        orders.append(labels(dataset, seed=7))
    again = encoded.records(dataset, "train", 7)
    orders += [[int(record["label"]) for record in again] for _ in range(2)]
    assert all(order == orders[0] for order in orders)
    assert labels(dataset, seed=8) != orders[0]


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_do_not_change_the_order(dataset, threads):
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    stream = encoded.records(dataset, "train", 7).with_options(options)
    assert [int(record["label"]) for record in stream] == labels(dataset, seed=7)


def test_neighbours_in_the_files_are_apart_in_the_order(dataset, monkeypatch):
    order = np.array(labels(dataset, seed=7))
    assert abs(np.corrcoef(order, np.arange(len(order)))[0, 1]) < 0.1
    assert (np.abs(np.diff(order)) == 1).mean() < 0.01
    monkeypatch.setattr(encoded, "_BLOCK", 100)
    assert sorted(labels(dataset, seed=7)) == list(range(3, 997))
    assert labels(dataset, seed=7) != order.tolist()


def test_each_block_is_shuffled_in_its_own_order(dataset, monkeypatch):
    monkeypatch.setattr(encoded, "_BLOCK", 10)
    monkeypatch.setattr(encoded, "_FILES_AT_ONCE", 1)
    blocks = np.array(labels(dataset, seed=7)[:50]).reshape(5, 10)
    patterns = {tuple(np.argsort(block)) for block in blocks}
    assert len(patterns) == 5
    assert tuple(range(10)) not in patterns


def test_records_have_their_stored_content_and_an_id_of_their_own(dataset):
    stored = list(encoded.records(dataset, "train").as_numpy_iterator())
    assert {record["image"] for record in stored} == {jpeg()}
    assert {(record["id"].dtype.name, record["label"].dtype.name) for record in stored} == {("int64", "int64")}
    assert len({int(record["id"]) for record in stored}) == 994
    assert min(int(record["id"]) for record in stored) >= 0
    by_label = {int(record["label"]): int(record["id"]) for record in stored}
    assert {int(record["label"]): int(record["id"]) for record in encoded.records(dataset, "train", 3)} == by_label


def test_synthetic_images_stream_like_stored_ones():
    made = data.load("imagenet2012", synthetic=True)
    for split, count in {"train": 64, "validation": 24, "test": 24}.items():
        assert labels(made, split) == list(range(count))
        assert sorted(labels(made, split, seed=1)) == list(range(count))
    assert labels(made, seed=1) == labels(made, seed=1) != labels(made, seed=2)
    shapes = {tf.io.decode_jpeg(record["image"]).shape for record in encoded.records(made, "train")}
    assert len(shapes) > 30
    assert all(min(shape[:2]) >= 48 and shape[2] == 3 for shape in shapes)
    ids = [int(record["id"]) for split in made.in_memory for record in encoded.records(made, split)]
    assert len(set(ids)) == 112


def test_synthetic_classes_can_be_told_apart():
    made = data.load("imagenet2012", synthetic=True)
    train, test = (
        np.stack([images.test_image(record, 8).numpy().mean((0, 1)) for record in encoded.records(made, split)])
        for split in ("train", "test")
    )
    distances = ((test[:, None] - train) ** 2).sum(-1)
    assert (distances.argmin(1) == np.arange(24)).mean() > 0.9


def cut(path, content):
    path.write_bytes(content[: len(content) // 2])


def cut_between_records(path, content):
    write(path, range(10))


def flip(path, content):
    path.write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])


def remove(path, content):
    path.unlink()


def store_nonsense(path, content):
    with tf.io.TFRecordWriter(str(path)) as file:
        for _ in range(25):
            file.write(b"nonsense")


def store_no_jpeg(path, content):
    write(path, range(25), b"no JPEG")


def store_half_a_jpeg(path, content):
    write(path, range(25), jpeg()[: len(jpeg()) // 2])


DAMAGES = {
    cut: "truncated record at",
    cut_between_records: "expected to contain 994 elements but contained only 979",
    flip: "corrupted record at",
    remove: "No such file",
    store_nonsense: "Could not parse example",
    store_no_jpeg: "Invalid JPEG data",
    store_half_a_jpeg: "Invalid JPEG data",
}


@pytest.mark.parametrize("in_graph", [slow(False), True])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_one_line_with_the_folder_and_what_to_do(dataset, tmp_path, damage, in_graph):
    damage(tmp_path / "5", (tmp_path / "5").read_bytes())
    stream = encoded.records(dataset, "train", 1).map(lambda record: images.test_image(record, 8)).batch(10)

    def total():
        return stream.reduce(0.0, lambda sum_, batch: sum_ + tf.reduce_sum(batch))

    expected = (
        rf"^The data of numbers in {tmp_path} is damaged: .*{DAMAGES[damage]}[^\n]* Delete that folder .*numbers$"
    )
    with pytest.raises(DataError, match=expected), encoded.errors_of(dataset):
        tf.function(total)() if in_graph else list(stream)


def test_other_errors_pass(dataset):
    with pytest.raises(tf.errors.InvalidArgumentError), encoded.errors_of(dataset):
        tf.reshape(tf.range(3.0), [5])
    with pytest.raises(KeyError), encoded.errors_of(dataset):
        raise KeyError
