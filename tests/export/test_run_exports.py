"""Networks of a run, exported in every format."""

import fakes
import numpy as np
import pytest
import tensorflow as tf
import tiny

import tf_lottery as tfl
from tf_lottery import data
from tf_lottery.errors import DamageError, ExportError, RunError
from tf_lottery.experiment import load_network, open_run
from tf_lottery.experiment.config import Data, Experiment, Prune, Train
from tf_lottery.experiment.imp import train_unit
from tf_lottery.experiment.setups import Setups
from tf_lottery.experiment.storage import Unit
from tf_lottery.export import comparison, run_exports
from tf_lottery.export.formats import FORMATS, REPORT_ENDING
from tf_lottery.export.litert import interpreter
from tf_lottery.keras_compat import keras

TICKET = Unit(1, 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = Experiment(
        replicates=1,
        data=Data("digits", synthetic=True),
        train=Train(steps="4it", evaluate_every="2it", batch_size=8),
        prune=Prune(levels=1, fraction=0.95),
        controls=("random_mask",),
    )
    made = open_run.open_run(tmp_path_factory.mktemp("runs") / "run", config, {})
    setups = Setups(fakes.settled(config))
    for unit in (Unit(1, 0), TICKET, Unit(1, 1, "random_mask")):
        train_unit(made, setups, unit)
    return made


@pytest.fixture(scope="module")
def expected(run):
    return load_network.load_network(run, TICKET).predict(images(), verbose=0)


def images():
    return data.load("digits", synthetic=True).test.x


def test_a_sparse_saved_model_predicts_the_bits_of_the_run(run, expected, tmp_path):
    path = run_exports.export(run, TICKET, "saved_model", tmp_path / "model")
    (found,) = tf.saved_model.load(path).signatures["serving_default"](tf.constant(images())).values()
    assert np.array_equal(found, expected)
    assert comparison.size(path) < 100_000 < comparison.size(run_exports.export(run, TICKET, "keras"))


def test_a_keras_file_is_a_plain_model(run, expected, tmp_path):
    path = run_exports.export(run, TICKET, "keras", tmp_path / "model.keras")
    model = keras.models.load_model(path)
    assert np.array_equal(model.predict(images(), verbose=0), expected)
    assert model.count_params() == 50_610


def test_a_compact_network_is_smaller_and_predicts_the_same(run, expected, tmp_path):
    path = run_exports.export(run, TICKET, "compact", tmp_path / "model.keras")
    model = keras.models.load_model(path)
    assert model.count_params() < 50_610
    np.testing.assert_allclose(model.predict(images(), verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_a_file_for_lite_rt_predicts_the_same(run, expected, tmp_path):
    path = run_exports.export(run, TICKET, "tflite", tmp_path / "model.tflite")
    runner = interpreter(path.read_bytes()).get_signature_runner()
    (name,) = runner.get_input_details()
    (found,) = runner(**{name: images()}).values()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_ticket_file_is_that_of_the_run(run, tmp_path):
    path = run_exports.export(run, TICKET, "ticket", tmp_path / "ticket.tfl")
    assert path.read_bytes() == (run.folder(TICKET) / "ticket.tfl").read_bytes()
    model = load_network.load_network(run, Unit(1, 0))
    tfl.restore_ticket(model, tfl.load_ticket(path, model), "rewind")


@pytest.mark.parametrize(
    ("unit", "ending", "name"),
    [
        (TICKET, FORMATS["saved_model"].ending, "replicate_1_level_01_saved_model"),
        (TICKET, FORMATS["compact"].ending, "replicate_1_level_01_compact.keras"),
        (Unit(2, 11, "random_mask"), FORMATS["ticket"].ending, "replicate_2_random_mask_level_11.tfl"),
        (Unit(1, 3, variant="k=0, low"), FORMATS["tflite"].ending, "replicate_1_k=0,_low_level_03.tflite"),
        (Unit(1, 3, shuffle_seed=2), REPORT_ENDING, "replicate_1_shuffle_seed_2_level_03_report.csv"),
    ],
)
def test_the_default_path_tells_unit_and_format(run, unit, ending, name):
    assert run_exports.default_path(run, unit, ending) == run.path / "exports" / name


def test_an_export_is_replaced_only_on_demand(run, tmp_path):
    path = tmp_path / "ticket.tfl"
    path.write_bytes(b"mine")
    with pytest.raises(ExportError, match=r"ticket\.tfl exists"):
        run_exports.export(run, TICKET, "ticket", path)
    assert path.read_bytes() == b"mine"
    assert run_exports.export(run, TICKET, "ticket", path, overwrite=True) == path
    assert path.read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("unit", "format", "error", "message"),
    [
        (TICKET, "onnx", ExportError, r"must be one of saved_model, keras, tflite, ticket, compact\. Received: 'onnx'"),
        (Unit(1, 7), "ticket", RunError, r"no finished unit replicate 1, level 7\. Finished levels of .*: 0, 1\."),
    ],
)
def test_unknown_formats_and_units_are_refused_and_nothing_is_written(run, tmp_path, unit, format, error, message):
    with pytest.raises(error, match=message):
        run_exports.export(run, unit, format, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_keras_files_must_be_named_as_keras_demands(run, tmp_path):
    for format in ("keras", "compact"):
        with pytest.raises(ExportError, match=r"whose names end with \.keras\. Received: .*model\.h5"):
            run_exports.export(run, TICKET, format, tmp_path / "model.h5")


def test_a_damaged_ticket_is_not_exported(run, tmp_path):
    path = run.folder(Unit(1, 1, "random_mask")) / "ticket.tfl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-50] + b"?" + whole[-49:])
    try:
        for format in FORMATS:
            with pytest.raises(DamageError, match=r"ticket\.tfl is damaged"):
                run_exports.export(run, Unit(1, 1, "random_mask"), format, tmp_path / "x.keras")
        assert list(tmp_path.iterdir()) == []
    finally:
        path.write_bytes(whole)


def test_the_formats_are_compared_in_a_table(run, tmp_path):
    with pytest.raises(RunError, match="no finished unit"):
        run_exports.compare(run, Unit(1, 7), tmp_path / "formats.csv")
    path, table = run_exports.compare(run, TICKET, tmp_path / "formats.csv", rounds=1)
    assert path == tmp_path / "formats.csv"
    assert path.read_text() == table.to_csv(index=False)
    with pytest.raises(ExportError, match="exists"):
        run_exports.compare(run, TICKET, path)


def test_a_keras_file_loads_as_the_model(tmp_path):
    model = tiny.convolutional()
    (tmp_path / "model.keras").write_bytes(run_exports.keras_file(model))
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.predict(tiny.X, verbose=0) == model.predict(tiny.X, verbose=0)).all()


def test_no_keras_file_is_made_of_weights_that_are_nan():
    model = tiny.dense()
    model.layers[-1].kernel.assign([[float("nan")] * 3] * 4)
    with pytest.raises(ExportError, match="'dense_1/kernel' has values that are NaN or infinite"):
        run_exports.keras_file(model)
