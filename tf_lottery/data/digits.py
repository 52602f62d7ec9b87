"""scikit-learn's handwritten digits: 1,797 real 8x8 images that ship inside the package."""

from tf_lottery.data.dataset import Dataset, split_off
from tf_lottery.errors import DataError


def load() -> Dataset:
    """200 training, 600 validation and 997 test images of shape (8, 8, 1), pixels in [0, 1].

    Few to learn from, so that networks overfit as they do on larger tasks in longer training, and many to measure with.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("The digits ship with scikit-learn: pip install scikit-learn") from error
    digits = load_digits()
    validation, test, train = split_off(digits.images[..., None] / 16, digits.target, (600, 997))
    return Dataset(train, validation, test, num_classes=10)
