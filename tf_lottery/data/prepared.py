"""Datasets of tensorflow-datasets (TFDS), which are prepared once and then read without a network.

Apart from synthetic examples, this is the only module that uses TFDS.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tf_lottery.errors import DataError


def open_prepared(name: str, data_dir: str | None = None) -> Any:
    """Return the TFDS builder of a prepared dataset, without using the network.

    Args:
        name: The dataset's name in TFDS.
        data_dir: Where TFDS keeps its data. Defaults to `TFDS_DATA_DIR`, or to TFDS's own default.

    Raises:
        DataError: the data has not been prepared, or its description is damaged.
    """
    builder = _builder(name, data_dir)
    if not _is_prepared(builder):
        # Asked for unprepared data, TFDS would try the network for minutes.
        raise DataError(
            f"{name} is not in {builder.data_path} (TFDS_DATA_DIR can name another place). Prepare it once: "
            f"tfl.data.prepare({name!r}), or python scripts/prepare_data.py {name}"
        )
    return builder


def arrays(builder: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read all images of a split and their labels, in stored order.

    Args:
        builder: From `open_prepared`.
        split: The split's name in TFDS.

    Returns:
        uint8 images of shape (examples, height, width, channels), and int64 labels of shape (examples,).

    Raises:
        DataError: a file is damaged or missing.
    """
    import tensorflow_datasets as tfds

    read = tfds.ReadConfig(interleave_cycle_length=1)
    with _damage(builder.name, builder.data_path):
        stored = builder.as_dataset(split=split, batch_size=-1, read_config=read, shuffle_files=False)
        examples = tfds.as_numpy(stored)
    return examples["image"], examples["label"]


def prepare(
    name: str,
    data_dir: str | None = None,
    *,
    archives: Sequence[str] = (),
    place: Callable[[Any, Mapping[str, Any]], bool] = lambda manual_dir, url_infos: False,
    how_to_get: str = "",
) -> str:
    """Prepare a dataset for `open_prepared`, with or without a network.

    The first source that is available is used: data prepared before, archives in `<data_dir>/downloads/manual`, the
    archives that `place` finds, a download by TFDS. TFDS checks each file against its registered SHA-256, if it has
    one.

    Args:
        name, data_dir: As for `open_prepared`.
        archives: The files that are needed. Defaults to those whose addresses TFDS knows.
        place: Receives the folder of manual downloads and TFDS's checksums by address, and writes the archives to that
            folder; returns False if it cannot. Defaults to a function that cannot.
        how_to_get: What the error message says about getting the archives. Defaults to their addresses.

    Returns:
        The folder that holds the prepared data.

    Raises:
        DataError: the archives are not available, or one of them is not the genuine one.
    """
    import tensorflow_datasets as tfds

    builder = _builder(name, data_dir)
    if _is_prepared(builder):
        return str(builder.data_path)
    manual_dir = builder.data_path.parents[1] / "downloads" / "manual"
    urls = {} if archives else {info.filename: url for url, info in builder.url_infos.items()}
    missing = [file for file in archives or urls if not (manual_dir / file).exists()]
    if missing and not place(manual_dir, builder.url_infos) and not (urls and all(map(_reachable, urls.values()))):
        raise DataError(
            f"{name} is not available: {', '.join(missing)} not in {manual_dir}"
            f"{' and there is no network to download from' if urls else ''}. Put the archives there: "
            f"{how_to_get or ', '.join(urls[file] for file in missing)}"
        )
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=str(manual_dir)))
    except Exception as error:  # archives and networks make TFDS raise anything
        raise DataError(f"{name} could not be prepared from {manual_dir}: {_in_short(error)}") from error
    return str(builder.data_path)


def _builder(name: str, data_dir: str | None) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow_datasets as tfds

    # The description of prepared data is read here.
    with _damage(name, Path(data_dir or tfds.core.constants.DATA_DIR) / name):
        return tfds.builder(name, data_dir=data_dir, try_gcs=False)


def _is_prepared(builder: Any) -> bool:
    return (builder.data_path / "dataset_info.json").exists()


@contextmanager
def _damage(name: str, folder: str | os.PathLike[str]) -> Iterator[None]:
    """Raise any error inside this context as a DataError about damaged data."""
    try:
        yield
    except Exception as error:  # also TensorFlow's errors, which this module does not import
        raise DataError(damage_message(name, folder, _in_short(error))) from error


def damage_message(name: str, folder: str | os.PathLike[str], reason: str) -> str:
    """Return the error message for prepared data that cannot be read.

    Args:
        name: The dataset's name.
        folder: The folder that holds it.
        reason: What is wrong.
    """
    return (
        f"The data of {name} in {folder} is damaged: {reason}. Delete that folder and prepare it again: "
        f"python scripts/prepare_data.py {name}"
    )


def _in_short(error: Exception) -> str:
    text = re.sub(r"{{function_node .*?}} | \[Op:.*", "", str(error)).strip()  # positions in TensorFlow's graph
    return f"{type(error).__name__}: {text.splitlines()[0][:300].rstrip('.')}" if text else type(error).__name__


def _reachable(url: str) -> bool:
    import socket
    from urllib.parse import urlparse
    from urllib.request import getproxies

    # TFDS retries for minutes, so one connection is tried first, through a proxy where one is set.
    server = urlparse(getproxies().get(urlparse(url).scheme, url))
    try:
        with socket.create_connection((server.hostname, server.port or (443 if server.scheme == "https" else 80)), 5):
            return True
    except OSError:
        return False
