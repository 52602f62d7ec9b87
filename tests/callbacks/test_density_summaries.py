"""Densities, levels and metrics in TensorBoard, read back from the event files."""

from unittest.mock import ANY

import pytest
import tensorflow as tf
import tiny
from tensorflow.core.util import event_pb2

import tf_lottery as tfl
from tf_lottery.callbacks.density_summaries import DensitySummaries
from tf_lottery.callbacks.lottery_ticket import LotteryTicket
from tf_lottery.errors import ConfigError, ModelError
from tf_lottery.keras_compat import keras


def written(log_dir):
    """Return all scalars as (tag, step, value)."""
    events = []
    for path in sorted(log_dir.rglob("*tfevents*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = event_pb2.Event.FromString(record.numpy())
            events += [(v.tag, event.step, float(tf.make_ndarray(v.tensor))) for v in event.summary.value]
    return events


def compiled():
    model = tfl.make_prunable(tiny.dense())
    model.compile("sgd", tiny.loss(), jit_compile=False)
    return model


def fit(model, *callbacks, **arguments):
    model.fit(tiny.X, tiny.Y, verbose=0, callbacks=list(callbacks), **arguments)


def test_the_event_file_holds_all_densities_of_each_epoch(tmp_path):
    model = compiled()
    masks = tfl.get_masks(model)
    masks["dense/kernel"][:27] = False

    def prune_before_the_second_epoch(epoch, logs):
        if epoch == 1:
            tfl.set_masks(model, masks)

    prune = keras.callbacks.LambdaCallback(on_epoch_begin=prune_before_the_second_epoch)
    fit(model, prune, DensitySummaries(tmp_path), epochs=2)
    assert written(tmp_path) == [
        ("loss", 0, ANY),
        ("density", 0, 1.0),
        ("density/dense/kernel", 0, 1.0),
        ("density/dense_1/kernel", 0, 1.0),
        ("loss", 1, ANY),
        ("density", 1, pytest.approx((36 + 12) / 156)),
        ("density/dense/kernel", 1, 0.25),
        ("density/dense_1/kernel", 1, 1.0),
    ]


def test_what_is_written_can_be_read_after_each_epoch(tmp_path):
    seen = []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(len(written(tmp_path))))
    fit(compiled(), DensitySummaries(str(tmp_path)), look, epochs=2)
    assert seen == [4, 8]


def test_a_second_fit_continues_the_epochs(tmp_path):
    model, summaries = compiled(), DensitySummaries(tmp_path)
    fit(model, summaries, epochs=1)
    fit(model, summaries, epochs=3, initial_epoch=1)
    assert [step for tag, step, _ in written(tmp_path) if tag == "density"] == [0, 1, 2]


def test_the_metadata_for_tensorboard_say_that_they_are_scalars(tmp_path):
    fit(compiled(), DensitySummaries(tmp_path))
    (path,) = (tmp_path / "density").iterdir()
    _, first, *_ = (event_pb2.Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path)))
    assert first.summary.value[0].metadata.plugin_data.plugin_name == "scalars"


@pytest.mark.parametrize("log_dir", [None, "", b"logs", 3, ["logs"], tiny.dense])
def test_what_is_no_path_is_refused_at_once(log_dir):
    with pytest.raises(ConfigError, match=r"`log_dir` must be the path of a directory. Received: log_dir="):
        DensitySummaries(log_dir)


def test_a_model_without_masks_is_refused_before_it_trains(tmp_path):
    model = tiny.dense()
    model.compile("sgd", tiny.loss(), jit_compile=False)
    weights = [weight.tolist() for weight in model.get_weights()]
    with pytest.raises(ModelError, match=r"has no masks. Call `make_prunable\(model\)` first"):
        fit(model, DensitySummaries(tmp_path))
    assert [weight.tolist() for weight in model.get_weights()] == weights


def test_with_a_lottery_ticket_level_density_and_metrics_are_written(tmp_path):
    model = tfl.make_prunable(tiny.dense())
    model.compile("sgd", tiny.loss(), metrics=["accuracy"], jit_compile=False)
    tickets = LotteryTicket(levels=2, fraction=0.5, epochs_per_level=2)
    data = {"validation_data": (tiny.X[:9], tiny.Y[:9])}
    history = model.fit(
        tiny.X, tiny.Y, verbose=0, epochs=tickets.total_epochs, callbacks=[tickets, DensitySummaries(tmp_path)], **data
    )
    found = {}
    for tag, step, value in written(tmp_path):
        found.setdefault(tag, []).append((step, pytest.approx(value)))
    assert found["level"] == [*enumerate([0, 0, 1, 1, 2, 2])]
    assert found["density"] == [*enumerate([1, 1, 0.5, 0.5, 0.25, 0.25])]
    for metric in ("accuracy", "val_accuracy", "loss", "val_loss"):
        assert found[metric] == [*enumerate(history.history[metric])]
