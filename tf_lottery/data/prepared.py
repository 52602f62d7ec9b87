"""The one room for tensorflow-datasets (TFDS): data made ready once, then read without a network."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tf_lottery.errors import DataError


def open_prepared(name: str, data_dir: str | None = None) -> Any:
    """Return the TFDS builder of a dataset that is ready to be read. Touches no network.

    Args:
        name: The dataset's name in TFDS.
        data_dir: Where TFDS keeps its data; by default what `TFDS_DATA_DIR` says, else its own default.

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
    """Return all images of a split, as uint8, and their labels, in stored order.

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
    way_out: str = "",
) -> str:
    """Make a dataset ready for `open_prepared`, with or without a network.

    Takes the first that is there: data prepared before, archives in `<data_dir>/downloads/manual`, what `place` finds,
    a download by TFDS. TFDS checks each file against the SHA-256 that it has registered, if it has one.

    Args:
        name, data_dir: As for `open_prepared`.
        archives: The files that must be there, if not those whose addresses TFDS knows.
        place: Given the folder of manual downloads and TFDS's checksums by address, puts the archives there; false if
            it cannot.
        way_out: What the message says about getting the archives, if not their addresses.

    Returns:
        The folder that holds the prepared data.

    Raises:
        DataError: the archives could not be had, or one is not the genuine one.
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
            f"{name} could not be had: {', '.join(missing)} not in {manual_dir}"
            f"{' and no network to download from' if urls else ''}. Put the archives there: "
            f"{way_out or ', '.join(urls[file] for file in missing)}"
        )
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=str(manual_dir)))
    except Exception as error:  # whatever archives and networks can do to TFDS
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
def _damage(name: str, folder: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # TensorFlow's errors among them, whose names this room does not import
        raise DataError(damaged(name, folder, _in_short(error))) from error


def damaged(name: str, folder: Any, reason: str) -> str:
    """Return the message for prepared data that cannot be read."""
    return (
        f"The data of {name} in {folder} is damaged: {reason}. Delete that folder and prepare it again: "
        f"python scripts/prepare_data.py {name}"
    )


def _in_short(error: Exception) -> str:
    text = re.sub(r"{{function_node .*?}} | \[Op:.*", "", str(error)).strip()  # TensorFlow's places in its own graph
    return f"{type(error).__name__}: {text.splitlines()[0][:300].rstrip('.')}" if text else type(error).__name__


def _reachable(url: str) -> bool:
    import socket
    from urllib.parse import urlparse
    from urllib.request import getproxies

    # TFDS retries for minutes, so look first; through a proxy where one is set.
    server = urlparse(getproxies().get(urlparse(url).scheme, url))
    try:
        with socket.create_connection((server.hostname, server.port or (443 if server.scheme == "https" else 80)), 5):
            return True
    except OSError:
        return False
