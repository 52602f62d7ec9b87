"""What shape of examples a network can take."""

from tf_lottery.errors import ModelError

_KINDS = {1: "signals of shape (length, channels)", 2: "images of shape (rows, columns, channels)"}


def require(network: str, input_shape: tuple[int, ...], *, dimensions: int = 2, smallest: int = 1) -> None:
    """Check that `input_shape` is that of signals (1 dimension) or images (2), none shorter than `smallest`.

    Raises:
        ModelError: it is not; the message says what the network needs.
    """
    if len(input_shape) == dimensions + 1 and all(size is not None and size >= smallest for size in input_shape[:-1]):
        return
    least = f", at least {' x '.join([str(smallest)] * dimensions)}" if smallest > 1 else ""
    raise ModelError(f"{network} needs {_KINDS[dimensions]}{least}. Received: shape {input_shape}")
