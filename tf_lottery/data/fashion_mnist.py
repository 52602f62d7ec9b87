"""Fashion-MNIST (Xiao et al. 2017) through tensorflow-datasets: 60,000 training and 10,000 test images."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from tf_lottery.data import debian
from tf_lottery.data.dataset import Dataset, Split, split_off
from tf_lottery.errors import DataError


def load(data_dir: str | None = None) -> Dataset:
    """55,000 training, 5,000 validation and 10,000 test images of shape (28, 28, 1), pixels in [0, 1].

    Args:
        data_dir: Where tensorflow-datasets keeps its data; by default what `TFDS_DATA_DIR` says, else its own default.

    Raises:
        DataError: the data has not been prepared.
    """
    builder = _builder(data_dir)
    if not _is_prepared(builder):
        # Asked for unprepared data, TFDS would try the network for minutes.
        raise DataError(
            f"Fashion-MNIST is not in {builder.data_dir} (TFDS_DATA_DIR can name another place). Prepare it once: "
            "python scripts/prepare_data.py fashion_mnist"
        )
    train_x, train_y = _arrays(builder, "train")
    test_x, test_y = _arrays(builder, "test")
    validation, train = split_off(train_x, train_y, (5_000,))
    return Dataset(train, validation, Split(test_x, test_y), num_classes=10)


def prepare(data_dir: str | None = None) -> str:
    """Makes the data ready for `load`, with or without a network.

    Takes the first that is there: data prepared before, the files of Debian's package `dataset-fashion-mnist`
    (installed, or fetched with apt without being root), a download by TFDS. Every file is checked against the SHA-256
    that TFDS has registered.

    Args:
        data_dir: As for `load`.

    Returns:
        The folder that holds the prepared data.

    Raises:
        DataError: no source could be reached, or a file is not the genuine one.
    """
    import tensorflow_datasets as tfds

    builder = _builder(data_dir)
    if not _is_prepared(builder):
        manual_dir = Path(builder.data_dir).parents[1] / "downloads" / "manual"
        if not debian.place_fashion_mnist(manual_dir, builder.url_infos) and not _reachable(builder):
            raise DataError(
                "Fashion-MNIST could not be had: no Debian package dataset-fashion-mnist (apt-get install "
                "dataset-fashion-mnist) and no network for tensorflow-datasets to download it."
            )
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
    return str(builder.data_dir)


def _builder(data_dir: str | None) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow_datasets as tfds

    return tfds.builder("fashion_mnist", data_dir=data_dir, try_gcs=False)


def _is_prepared(builder: Any) -> bool:
    return (Path(builder.data_dir) / "dataset_info.json").exists()


def _arrays(builder: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
    import tensorflow_datasets as tfds

    read = tfds.ReadConfig(interleave_cycle_length=1)
    examples = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1, read_config=read, shuffle_files=False))
    return (examples["image"] / np.float32(255)).astype(np.float32), examples["label"].astype(np.int32)


def _reachable(builder: Any) -> bool:
    import socket
    from urllib.parse import urlparse

    url = urlparse(next(iter(builder.url_infos)))
    try:
        with socket.create_connection((url.hostname, url.port or 443 if url.scheme == "https" else 80), timeout=5):
            return True
    except OSError:
        return False
