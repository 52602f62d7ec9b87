"""A ticket as something to use elsewhere: small on disk, read by anything, smaller where that is exact."""

from tf_lottery.export.comparison import compare
from tf_lottery.export.costs import costs
from tf_lottery.export.saved_model import saved_model
from tf_lottery.export.tflite import tflite

__all__ = ["compare", "costs", "saved_model", "tflite"]
