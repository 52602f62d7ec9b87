"""Silence for the messages of TensorFlow that no user needs."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def stderr() -> Iterator[None]:
    """Discard what this process, C++ code included, writes to its standard error in this context.

    TensorFlow reports each missing accelerator when it starts, whatever its log level is, and its converters report
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
