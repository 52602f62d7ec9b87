"""ImageNet (ILSVRC 2012; Russakovsky et al. 2015): 1.28 million JPEG files in 1,000 classes, streamed from disk."""

from tf_lottery.data import prepared
from tf_lottery.data.dataset import Encoded, Shard
from tf_lottery.errors import DataError

NAME = "imagenet2012"
ARCHIVES = ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")


def load(data_dir: str | None = None) -> Encoded:
    """Open the prepared files: 1,271,167 training, 10,000 validation and 50,000 test images.

    `validation` is the end of the official training images, whose order in the files is random; `test` is what is
    officially called validation, the only other images with public labels.

    Args:
        data_dir: Where tensorflow-datasets keeps its data. Defaults to `TFDS_DATA_DIR`, or to its own default.

    Raises:
        DataError: the data has not been prepared, or only in part, or in a format other than TFRecord.
    """
    builder = prepared.open_prepared(NAME, data_dir)
    file_format = builder.info.file_format.name
    if lacking := [split for split in ("train", "validation") if split not in builder.info.splits]:
        raise DataError(
            f"{builder.data_path} holds no split {lacking[0]!r}: it was prepared from one archive only. Delete that "
            f"folder and prepare it again from both: python scripts/prepare_data.py {NAME}"
        )
    if file_format != "TFRECORD":
        raise DataError(
            f"{builder.data_path} must hold TFRecord files. Received: {file_format}. Prepare the data once more in a "
            f"folder of its own: TFDS_DATA_DIR=... python scripts/prepare_data.py {NAME}"
        )
    last = held_out(builder.info.splits["train"].num_examples)
    official = {"train": f"train[:-{last}]", "validation": f"train[-{last}:]", "test": "validation"}
    shards = {
        split: tuple(Shard(part.filename, part.skip, part.take) for part in builder.info.splits[name].file_instructions)
        for split, name in official.items()
    }
    return Encoded(NAME, str(builder.data_path), shards, builder.info.features["label"].num_classes)


def held_out(examples: int) -> int:
    """Return how many of the official training images are for validation: 10,000 of all, the same share of fewer."""
    return max(1, round(examples * 10_000 / 1_281_167))


def prepare(data_dir: str | None = None) -> str:
    """Prepare ImageNet from its two official archives, and return the folder; see `prepared.prepare`.

    TFDS repairs the 23 files that are not RGB JPEG files (22 in CMYK, one PNG).
    """
    how_to_get = "they are given to those who register at https://image-net.org/download-images"
    return prepared.prepare(NAME, data_dir, archives=ARCHIVES, how_to_get=how_to_get)
