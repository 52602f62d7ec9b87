"""The genuine builder of tensorflow-datasets on two tiny archives."""

import archives
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tf_lottery.data import imagenet, prepared
from tf_lottery.errors import DataError
from tf_lottery.feeds import encoded


def number_of(synset):
    return tfds.builder("imagenet2012").info.features["label"].str2int(synset)


def test_images_and_labels_are_those_of_the_archives(tmp_path):
    made = archives.imagenet(tmp_path)
    folder = imagenet.prepare(str(tmp_path))
    assert imagenet.prepare(str(tmp_path)) == folder
    dataset = imagenet.load(str(tmp_path))
    assert (dataset.folder, dataset.num_classes) == (folder, 1000)
    assert dataset.examples == {"train": 23, "validation": 1, "test": 5}
    streams = {split: list(encoded.records(dataset, split).as_numpy_iterator()) for split in dataset.shards}
    assert {split: len(stream) for split, stream in streams.items()} == dataset.examples
    official = streams["train"] + streams["validation"]
    assert {record["image"]: record["label"] for record in official} == {
        image: number_of(synset) for image, synset in made["train"].items()
    }
    # The n-th line of the official labels belongs to the n-th image.
    lines = tfds.core.tfds_path("datasets/imagenet2012/validation_labels.txt").read_text().split()
    assert {record["image"]: record["label"] for record in streams["test"]} == {
        image: number_of(lines[int(file[15:23]) - 1]) for image, file in made["validation"].items()
    }
    assert len({record["id"] for stream in streams.values() for record in stream}) == 29


def test_an_image_has_the_same_id_however_the_data_is_prepared(tmp_path):
    made = []
    for place, per_class in (("one", 8), ("two", 5)):
        archives.imagenet(tmp_path / place, per_class=per_class)
        imagenet.prepare(str(tmp_path / place))
        stream = encoded.records(imagenet.load(str(tmp_path / place)), "train", seed=1)
        made.append({record["image"]: record["id"] for record in stream.as_numpy_iterator()})
    both = made[0].keys() & made[1].keys()
    assert len(both) >= 12
    assert all(made[0][image] == made[1][image] for image in both)


def test_the_official_sizes_leave_ten_thousand_for_validation():
    assert imagenet.held_out(1_281_167) == 10_000
    assert imagenet.held_out(3) == 1


def test_missing_archives_are_named_with_their_folder_and_origin(tmp_path):
    archives.imagenet(tmp_path)
    (tmp_path / "downloads/manual/ILSVRC2012_img_val.tar").unlink()
    expected = (
        rf"not available: ILSVRC2012_img_val.tar not in {tmp_path}/downloads/manual. Put .* there: .*image-net.org"
    )
    with pytest.raises(DataError, match=expected):
        imagenet.prepare(str(tmp_path))


def test_a_damaged_archive_is_one_line_of_error(tmp_path):
    archives.imagenet(tmp_path)
    (tmp_path / "downloads/manual/ILSVRC2012_img_train.tar").write_bytes(b"not a tar")
    with pytest.raises(DataError, match=r"imagenet2012 could not be prepared from .*manual: ReadError"):
        imagenet.prepare(str(tmp_path))


def test_data_prepared_from_one_archive_says_what_is_missing(tmp_path):
    archives.imagenet(tmp_path)
    (tmp_path / "downloads/manual/ILSVRC2012_img_train.tar").unlink()
    prepared.prepare("imagenet2012", str(tmp_path), archives=imagenet.ARCHIVES[1:])
    with pytest.raises(DataError, match=r"holds no split 'train': it was prepared from one archive only"):
        imagenet.load(str(tmp_path))


def test_files_of_another_format_are_not_taken_for_damaged_ones(tmp_path):
    archives.imagenet(tmp_path)
    builder = tfds.builder("imagenet2012", data_dir=str(tmp_path), file_format="array_record")
    builder.download_and_prepare()
    with pytest.raises(DataError, match=r"must hold TFRecord files. Received: ARRAY_RECORD"):
        imagenet.load(str(tmp_path))


def test_the_builder_stores_jpeg_files_untouched(tmp_path):
    """`decode_and_crop_jpeg` relies on this; TFDS repairs, by name, the official files that are not RGB JPEG files."""
    made = archives.imagenet(tmp_path)
    imagenet.prepare(str(tmp_path))
    (record,) = encoded.records(imagenet.load(str(tmp_path)), "validation").as_numpy_iterator()
    assert record["image"] in made["train"]
    assert tf.io.decode_jpeg(record["image"]).shape[-1] == 3
