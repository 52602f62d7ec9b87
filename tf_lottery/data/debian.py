"""The files of Fashion-MNIST from Debian's package, made byte-identical to those that tensorflow-datasets knows.

The package holds the four original gzip files with other headers: the file name and the original time are gone, the
compressed data is untouched. With name and time restored, each file has its registered SHA-256 again, which proves that
it is genuine.
"""

import hashlib
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tf_lottery import files
from tf_lottery.errors import DataError

INSTALLED = Path("/usr/share/datasets/fashion-mnist")
PACKAGE = "dataset-fashion-mnist"
_ORIGINAL_TIMES = {
    "train-images-idx3-ubyte.gz": 1504176606,
    "train-labels-idx1-ubyte.gz": 1504176606,
    "t10k-images-idx3-ubyte.gz": 1504176627,
    "t10k-labels-idx1-ubyte.gz": 1504176627,
}


def place_fashion_mnist(manual_dir: Path, url_infos: Mapping[str, Any]) -> bool:
    """Write the four original files to the folder where tensorflow-datasets looks for them.

    Args:
        manual_dir: The builder's folder of manual downloads.
        url_infos: The builder's registered checksums, by address.

    Returns:
        False if Debian's package is neither installed nor available.

    Raises:
        DataError: a file is not the registered one.
        RunError: a file cannot be written.
    """
    checksums = {url.rpartition("/")[2]: info.checksum for url, info in url_infos.items()}
    with tempfile.TemporaryDirectory() as scratch:
        folder = INSTALLED if INSTALLED.exists() else fetch(Path(scratch))
        if folder is None:
            return False
        for name, time in _ORIGINAL_TIMES.items():
            content = restore_header((folder / name).read_bytes(), name, time)
            if hashlib.sha256(content).hexdigest() != checksums[name]:
                raise DataError(f"{folder / name} is not the genuine file: its SHA-256 is not the registered one.")
            files.write(manual_dir / name, content, "archive")
    return True


def restore_header(content: bytes, name: str, time: int) -> bytes:
    """Restore the header of a gzip file.

    Args:
        content: The gzip file. If its header has a file name, it is returned as it is.
        name: The name of the gzip file; the header has it without `.gz`.
        time: When the file was packed, in Unix seconds.

    Returns:
        The gzip file with the name and time in its header.
    """
    if content[3] & 0x08:  # the flag for a file name
        return content
    stem = name.removesuffix(".gz").encode() + b"\0"
    return content[:3] + b"\x08" + struct.pack("<I", time) + content[8:10] + stem + content[10:]


def fetch(scratch: Path) -> Path | None:
    """Download and unpack the package without installing it, which needs no root.

    Args:
        scratch: An empty folder to work in.

    Returns:
        The folder with the four files, or None if the package is not available.
    """
    try:
        subprocess.run(["apt-get", "download", PACKAGE], cwd=scratch, check=True, capture_output=True, timeout=300)
        package = next(scratch.glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, scratch], check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError, StopIteration):
        return None
    folder = scratch / INSTALLED.relative_to("/")
    return folder if folder.exists() else None
