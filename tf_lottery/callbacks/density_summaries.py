"""A callback that writes densities, levels and metrics for TensorBoard."""

import os
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery.errors import ConfigError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import model_masks

# `tf.summary.scalar` writes the same, but works only where TensorBoard is installed, which TensorFlow does not ask for.
_SCALAR = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})


class DensitySummaries(keras.callbacks.Callback):
    """Writes densities and metrics at the end of each epoch for TensorBoard, with the epoch as the step.

    The scalars are `density` for all prunable weights together, `density/<weight name>` for each of them, and the logs
    of `fit`, such as `accuracy` and `val_accuracy`. After a LotteryTicket in the list of callbacks, `level` is one of
    them. The model may also be one that tfmot prunes. TensorBoard need not be installed to write them.

    Args:
        log_dir: Directory of the event files, for instance that of `keras.callbacks.TensorBoard`; TensorBoard shows
            these scalars there as the run `density`.

    Raises:
        ConfigError: `log_dir` is no path.
        ModelError: in `fit`: the model has no masks.

    Examples:
        >>> import os, tempfile
        >>> import numpy as np
        >>> import tf_lottery as tfl
        >>> x, y = np.random.rand(64, 8, 8, 1), np.random.rand(64, 10)
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> model.compile("adam", "mse")
        >>> with tempfile.TemporaryDirectory() as logs:
        ...     history = model.fit(x, y, callbacks=[tfl.callbacks.DensitySummaries(logs)], verbose=0)
        ...     os.listdir(logs)  # for `tensorboard --logdir`
        ['density']
    """

    def __init__(self, log_dir: str | os.PathLike[str]):
        super().__init__()
        if not isinstance(log_dir, str | os.PathLike) or not os.fspath(log_dir):
            raise ConfigError(f"`log_dir` must be the path of a directory. Received: log_dir={log_dir!r}")
        self.log_dir = str(log_dir)

    def on_train_begin(self, logs: Any = None) -> None:
        model_masks.masked_variables(self.model)  # raises now, not after an epoch, if there are no masks
        self._writer = tf.summary.create_file_writer(tf.io.gfile.join(self.log_dir, "density"))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        scalars = {name: value for name, value in (logs or {}).items() if np.ndim(value) == 0}
        scalars["density"] = model_masks.density(self.model)
        scalars |= {f"density/{name}": value for name, value in model_masks.density_by_weight(self.model).items()}
        with self._writer.as_default(epoch):
            for tag, value in scalars.items():
                tf.summary.write(tag, tf.constant(value, tf.float32), metadata=_SCALAR)
        self._writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        self._writer.close()
