"""What TensorFlow says that no user needs."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def stderr() -> Iterator[None]:
    """Drop what this process, C++ code included, writes to its standard error.

    TensorFlow reports on every missing accelerator as it starts, whatever its log level says, and its converters on
    what they do.
    """
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)
