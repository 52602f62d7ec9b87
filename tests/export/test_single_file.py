import pytest
import tiny

from tf_lottery.errors import ExportError
from tf_lottery.export import single_file
from tf_lottery.keras_compat import keras


def fail():
    raise AssertionError("nothing may be made")


def test_a_file_is_written_with_the_folders_it_needs(tmp_path):
    single_file.write(tmp_path / "a/b.tfl", lambda: b"content")
    assert (tmp_path / "a/b.tfl").read_bytes() == b"content"


def test_what_is_there_is_replaced_only_on_demand(tmp_path):
    path = tmp_path / "a.tfl"
    path.write_bytes(b"old")
    with pytest.raises(ExportError, match=r"a\.tfl exists\. Choose another name, or have it replaced: overwrite=True"):
        single_file.write(path, fail)
    assert path.read_bytes() == b"old"
    single_file.write(path, lambda: b"new", overwrite=True)
    assert path.read_bytes() == b"new"
    with pytest.raises(ExportError, match="is a directory"):
        single_file.write(tmp_path, fail, overwrite=True)


def test_an_error_while_it_is_made_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.tfl"
    path.write_bytes(b"old")
    with pytest.raises(AssertionError):
        single_file.write(path, fail, overwrite=True)
    assert [other.name for other in tmp_path.iterdir()] == ["a.tfl"]
    assert path.read_bytes() == b"old"


def test_a_keras_file_loads_as_the_model(tmp_path):
    model = tiny.convolutional()
    (tmp_path / "model.keras").write_bytes(single_file.keras_file(model))
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.predict(tiny.X, verbose=0) == model.predict(tiny.X, verbose=0)).all()


def test_no_keras_file_is_made_of_weights_that_are_no_numbers():
    model = tiny.dense()
    model.layers[-1].kernel.assign([[float("nan")] * 3] * 4)
    with pytest.raises(ExportError, match="'dense_1/kernel' has values that are NaN or infinite"):
        single_file.keras_file(model)
