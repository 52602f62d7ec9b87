"""Every callback that Keras has, before and after a LotteryTicket and inside it.

Either a level with nothing pruned repeats the dense one, or a warning or an error names the callback.
"""

import inspect
import warnings

import fits
import pytest
import tiny
from tiers import always

from tf_lottery.callbacks.lottery_ticket import LotteryTicket
from tf_lottery.errors import ConfigError
from tf_lottery.keras_compat import LEGACY, keras

NONE = ("Callback", "CallbackList", "BaseLogger")  # a base, a list, and one that fails in any `fit` of legacy Keras


def callbacks_of_keras():
    """Return the classes of all callbacks of Keras."""
    base = keras.callbacks.Callback
    found = {name: one for name, one in vars(keras.callbacks).items() if inspect.isclass(one) and issubclass(one, base)}
    return {name: one for name, one in found.items() if name not in NONE}


KINDS = callbacks_of_keras()
# How to make those that need arguments, or that do nothing in two short levels without them.
MADE = {
    "BackupAndRestore": lambda kind, path: kind(path / "backup"),
    "CSVLogger": lambda kind, path: kind(path / "log.csv"),
    "EarlyStopping": lambda kind, path: kind("loss", patience=0, min_delta=10.0, restore_best_weights=True),
    "LambdaCallback": lambda kind, path: kind(on_epoch_end=lambda epoch, logs: None),
    "LearningRateScheduler": lambda kind, path: kind(lambda epoch: [0.05, 0.01, 0.2, 0.003, 0.1, 0.02][epoch]),
    "ModelCheckpoint": lambda kind, path: kind(str(path / "{epoch}.weights.h5"), save_weights_only=True),
    "OrbaxCheckpoint": lambda kind, path: kind(str(path / "orbax")),
    "ReduceLROnPlateau": lambda kind, path: kind("loss", patience=1, min_delta=10.0),
    "SidecarEvaluatorModelExport": lambda kind, path: kind(str(path / "export"), str(path / "checkpoint")),
    "TensorBoard": lambda kind, path: kind(str(path / "board"), histogram_freq=1),
}
IN_NEED = {"SwapEMAWeights": {"use_ema": True, "ema_momentum": 0.9}}  # of an optimizer with these settings


PACKAGES = {"OrbaxCheckpoint": "orbax.checkpoint", "RemoteMonitor": "requests", "TensorBoard": "tensorboard"}


def made(name, path):
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    return MADE.get(name, lambda kind, path: kind())(KINDS[name], path)


CASES = [(name, place) for name in KINDS for place in ("before", "after", "inside")]
QUICK = [("ReduceLROnPlateau", "inside"), ("LearningRateScheduler", "before"), ("BackupAndRestore", "inside")]
if not LEGACY:
    QUICK.append(("SwapEMAWeights", "after"))


@pytest.mark.parametrize(("name", "place"), always(*QUICK, among=CASES))
def test_a_level_repeats_the_dense_one_or_the_callback_is_named(name, place, tmp_path):
    callback = made(name, tmp_path)
    model = fits.model(optimizer=keras.optimizers.SGD(0.05, momentum=0.9, **IN_NEED.get(name, {})), seed=1)
    inside = [callback] if place == "inside" else []
    tickets = LotteryTicket(1, 0.0, epochs_per_level=3, rewind_to="1ep", callbacks=inside)
    order = {"before": [callback, tickets], "after": [tickets, callback], "inside": [tickets]}[place]
    refused = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            model.fit(
                *fits.ONE_BATCH,
                batch_size=4,
                shuffle=False,
                epochs=tickets.total_epochs,
                validation_data=(tiny.X, tiny.Y),
                callbacks=order,
                verbose=0,
            )
        except ConfigError as error:
            refused.append(error)
    if refused or any(name in str(warning.message) for warning in said):
        assert any(name in str(message) for message in [*refused, *(warning.message for warning in said)])
        return
    dense, again = (tickets.ticket(level).weights["final"] for level in (0, 1))
    assert fits.same_bits(dense, again)


def test_what_every_callback_of_keras_sees_in_a_level():
    """Callbacks of a level get the events of validation and prediction while their level runs."""
    events = []

    class Journal(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            events.append("begin")

        def on_test_begin(self, logs=None):
            events.append("test")

        def on_test_batch_end(self, batch, logs=None):
            events.append(batch)

        def on_test_end(self, logs=None):
            events.append("tested")

        def on_train_end(self, logs=None):
            events.append("end")

    fits.found(levels=1, epochs_per_level=1, callbacks=[Journal()], fit_settings=fits.VALIDATED)
    batches = [event for event in events if isinstance(event, int)]
    level = ["begin", "test", *range(8), "tested", "end"]
    assert batches == [*range(8), *range(8)]
    assert events == level + level
