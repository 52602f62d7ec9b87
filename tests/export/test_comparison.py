"""What a model costs in each format, side by side."""

import numpy as np
import pytest

import tf_lottery as tfl
from tf_lottery.errors import ConfigError, ExportError
from tf_lottery.export import comparison
from tf_lottery.export.comparison import Latency, latency
from tf_lottery.keras_compat import keras


def sparse_model():
    """Build a model of 100 inputs, 300 units of which most have no inputs or no readers, and 3 outputs."""
    inside = [keras.layers.Dense(300, "relu"), keras.layers.Dense(3)]
    model = tfl.make_prunable(keras.Sequential([keras.Input((100,)), *inside]))
    rng = np.random.default_rng(0)
    tfl.set_masks(model, {name: rng.random(mask.shape) < 0.02 for name, mask in tfl.get_masks(model).items()})
    return model


@pytest.fixture(scope="module")
def table():
    return comparison.compare(sparse_model(), batch_sizes=(1, 3), rounds=2).set_index("format")


def test_all_formats_are_compared_with_the_dense_one(table):
    assert list(table.index) == ["dense", "dense, gzip", "sparse", "compact", "LiteRT", "LiteRT, sparse"]
    columns = ["bytes", "share", "parameters", "multiply_adds", "latency_1", "latency_3", "threads"]
    assert list(table.columns) == columns
    assert table.share["dense"] == 1
    assert (table.share == table.bytes / table.bytes["dense"]).all()


def test_bytes_are_those_of_files(table):
    kernels = 4 * (100 * 300 + 300 * 3)
    assert kernels < table.bytes["dense"] < kernels + 30_000
    assert kernels < table.bytes["LiteRT"] < kernels + 10_000
    assert table.bytes[["sparse", "dense, gzip", "LiteRT, sparse"]].max() < 0.4 * kernels


def test_parameters_and_multiply_adds_fall_with_the_units_that_go(table):
    whole = 100 * 300 + 300 * 3
    assert table.multiply_adds[["dense", "sparse", "LiteRT, sparse"]].tolist() == [whole] * 3
    assert table.parameters["sparse"] == whole + 303
    units = (table.parameters["compact"] - 3) / (100 + 1 + 3)
    assert units == int(units) < 30
    assert table.multiply_adds["compact"] == units * 103


def test_latencies_are_positive_and_gzip_has_none(table):
    measured = ["dense", "sparse", "compact", "LiteRT", "LiteRT, sparse"]
    assert (table.loc[measured, ["latency_1", "latency_3"]] > 0).all(axis=None)
    assert table.loc["dense, gzip", ["parameters", "multiply_adds", "latency_1", "latency_3"]].isna().all()
    assert (table.threads >= 1).all()


def test_a_folder_is_as_large_as_its_files_together(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/a").write_bytes(bytes(1000))
    (tmp_path / "b").write_bytes(bytes(24))
    assert comparison.size(tmp_path) == 1024
    assert comparison.size(tmp_path / "b") == 24
    assert comparison._gzipped(tmp_path) < 500


def test_examples_of_unknown_size_are_refused():
    image = keras.Input((None, None, 1))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(image)))
    with pytest.raises(ExportError, match=r"only of examples of a known size. Input 'input_layer' has the shape"):
        comparison.compare(model)


def test_a_model_without_masks_and_one_with_two_inputs_are_compared_too():
    left, right = keras.Input((4,), name="left"), keras.Input((2,), dtype="int32", name="right")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(3, 4)(right))
    model = keras.Model([left, right], keras.layers.Dense(2)(keras.layers.Concatenate()([left, embedded])))
    table = comparison.compare(model, batch_sizes=(2,), rounds=1).set_index("format")
    assert table.parameters["compact"] == table.parameters["dense"] == 3 * 4 + 12 * 2 + 2


def test_unknown_figures_are_nan():
    model = keras.Sequential([keras.Input((5, 2)), keras.layers.LSTM(3)])
    table = comparison.compare(model, batch_sizes=(1,), rounds=1).set_index("format")
    assert table.loc[["LiteRT", "LiteRT, sparse"], ["bytes", "share", "parameters", "latency_1"]].isna().all(axis=None)
    assert table.multiply_adds.isna().all()  # loops are not counted
    assert (table.bytes[["dense", "sparse", "compact"]] > 0).all()


def test_models_of_strings_are_compared_too():
    words = keras.Input((1,), dtype="string")
    found = keras.layers.Embedding(4, 2)(keras.layers.StringLookup(vocabulary=["a", "b"])(words))
    table = comparison.compare(keras.Model(words, keras.layers.Dense(2)(found)), batch_sizes=(2,), rounds=1)
    assert (table.set_index("format").latency_2[["dense", "sparse", "compact"]] > 0).all()


@pytest.mark.parametrize(("batch_sizes", "rounds"), [((0,), 1), ((1,), 0), (("1",), 1), (-1, 1)])
def test_batch_sizes_and_rounds_must_be_positive(batch_sizes, rounds):
    with pytest.raises(
        ConfigError, match=r"`batch_sizes` and `rounds` must be whole numbers of at least 1\. Received: "
    ):
        comparison.compare(None, batch_sizes=batch_sizes, rounds=rounds)


def test_a_single_batch_size_is_taken_too():
    assert "latency_2" in comparison.compare(sparse_model(), batch_sizes=2, rounds=1)


class Clock:
    """A clock that only the functions below advance."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def __call__(self):
        return self.now

    def function(self, name, seconds):
        """Return a function that takes the next of `seconds` in each call, and the last one from then on."""
        left = list(seconds)

        def call(batch):
            self.calls.append((name, batch))
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


def test_latency_is_the_median_of_the_calls_after_a_warm_up():
    clock = Clock()
    functions = {"steady": clock.function("steady", [9.0, 2.0]), "jumpy": clock.function("jumpy", [50, 1, 30, 3, 4, 2])}
    assert latency(functions, ["a"], 5, threads=2, clock=clock) == Latency(
        {"steady": 2, "jumpy": 3}, calls=5, threads=2
    )


def test_all_functions_get_a_batch_before_any_gets_the_next():
    clock = Clock()
    functions = {name: clock.function(name, [1.0]) for name in ("f", "g")}
    result = latency(functions, ["a", "b"], 2, threads=1, clock=clock)
    assert clock.calls == [("f", "a"), ("g", "a"), ("f", "b"), ("g", "b")] * 3
    assert result.calls == 4


def test_a_machine_that_slows_down_slows_all_functions_alike():
    clock = Clock()
    slowing = [2.0**number for number in range(6)]
    functions = {name: clock.function(name, slowing) for name in ("f", "g")}
    assert len(set(latency(functions, [0], 5, threads=1, clock=clock).seconds.values())) == 1


def test_every_batch_counts_equally_often():
    clock = Clock()
    result = latency({"f": clock.function("f", [1, 1, 5, 7, 5, 7])}, [0, 1], 2, threads=1, clock=clock)
    assert result.seconds == {"f": 6}


@pytest.mark.parametrize(
    ("functions", "batches", "repeats"),
    [({}, [1], 1), ({"f": abs}, [], 1), ({"f": abs}, np.zeros((0, 3)), 1), ({"f": abs}, [1], 0)],
)
def test_functions_batches_and_repeats_are_needed(functions, batches, repeats):
    with pytest.raises(ValueError, match=r"At least one function, one batch and one repeat are needed\. Received: "):
        latency(functions, batches, repeats, threads=1)


def test_the_clock_of_the_machine_gives_seconds():
    assert latency({"f": abs}, [1], threads=1).seconds["f"] >= 0
