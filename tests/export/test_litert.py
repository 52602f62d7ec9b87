"""Files for LiteRT, run by its interpreter beside the model itself."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny
from tiers import always

from tf_lottery import keras_compat
from tf_lottery.errors import ExportError, ModelError
from tf_lottery.export.litert import convert, interpreter, tflite
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks
from tf_lottery.masking.tfmot_bridge import import_tfmot

L = keras.layers


def run(content, **inputs):
    return interpreter(content).get_signature_runner()(**inputs)


def input_name(model):
    (name,) = interpreter(convert(model)).get_signature_list()["serving_default"]["inputs"]
    return name


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def made(shape, *made_of):
    return keras.Sequential([keras.Input(shape, name="x"), *made_of])


def pruned(model, density):
    """Draw weights, biases and statistics, and prune to `density`."""
    for number, variable in enumerate(model.weights):
        values = normal(*variable.shape, seed=number)
        variable.assign(np.abs(values) + 0.5 if keras_compat.own_name(variable) == "moving_variance" else values)
    model = conversion.make_prunable(model)
    rng = np.random.default_rng(1)
    masks = {
        name: rng.permuted(np.arange(m.size) < density * m.size) for name, m in model_masks.get_masks(model).items()
    }
    shapes = {name: mask.shape for name, mask in model_masks.get_masks(model).items()}
    model_masks.set_masks(model, {name: mask.reshape(shapes[name]) for name, mask in masks.items()})
    return model


def assert_close(seen, expected):
    expected = np.asarray(expected)
    assert seen.shape == expected.shape
    assert np.abs(seen - expected).max() <= 1e-5 * max(np.abs(expected).max(), 1e-30)


MODELS = {
    "dense": lambda: made((20,), L.Dense(64, activation="relu"), L.Dense(64), L.Dense(3, activation="softmax")),
    "convolutions": lambda: made(
        (8, 8, 3), L.Conv2D(32, 3, padding="same"), L.BatchNormalization(), L.ReLU(), L.Conv2D(16, 3, strides=2),
        L.DepthwiseConv2D(3), L.GlobalAveragePooling2D(), L.Dropout(0.5), L.Dense(3),
    ),
    "other convolutions": lambda: made(
        (6, 6, 8), L.Conv2DTranspose(16, 3, strides=2), L.SeparableConv2D(32, 3), L.Conv2D(16, 3, groups=2), L.Flatten()
    ),
    "sequences": lambda: made((12, 8), L.Conv1D(32, 3), L.LayerNormalization(), L.Dense(16), L.GRU(8, unroll=True)),
    "volumes": lambda: made((4, 5, 6, 2), L.Conv3D(8, 2), L.Flatten(), L.Dense(3)),
}  # fmt: skip


ALWAYS = [("dense", 1), ("dense", 0), *((name, 0.1) for name in MODELS)]


@pytest.mark.parametrize(
    ("name", "density"), always(*ALWAYS, among=[(name, density) for name in MODELS for density in (1, 0.5, 0.1, 0)])
)
def test_the_file_computes_what_the_model_computes(name, density):
    model = pruned(MODELS[name](), density)
    x = normal(5, *model.inputs[0].shape[1:], seed=9)
    (output,) = run(convert(model), x=x).values()
    assert_close(output, conversion.strip_pruning(model).predict(x, verbose=0))


@pytest.mark.slow
@pytest.mark.parametrize("build", [tiny.dense, tiny.convolutional, tiny.nested, tiny.subclassed])
def test_every_kind_of_model_is_taken_masked_or_plain(build):
    plain, masked = build(), tiny.half_masked(build)
    for model in (plain, masked):
        (output,) = run(convert(model), **{input_name(model): tiny.X}).values()
        assert_close(output, model.predict(tiny.X, verbose=0))


@pytest.mark.parametrize("build", [tiny.dense, tiny.subclassed])
def test_pruned_weights_are_zeros_in_the_file_whatever_they_were_set_to(build):
    model = tiny.half_masked(build)
    kernel = model_masks.masked_variables(model)["dense/kernel"][0]
    kernel.assign(normal(*kernel.shape))
    (output,) = run(convert(model), **{input_name(model): tiny.X}).values()
    assert_close(output, conversion.plain(model).predict(tiny.X, verbose=0))


@pytest.mark.filterwarnings("ignore:distutils")  # which tfmot imports
@pytest.mark.skipif(not keras_compat.LEGACY, reason="tfmot wraps models of legacy Keras only")
def test_a_model_that_tfmot_wrapped_is_taken_without_its_wrappers():
    wrapped = import_tfmot().prune_low_magnitude(tiny.convolutional())
    model_masks.set_masks(wrapped, tiny.half_masks(wrapped))
    (output,) = run(convert(wrapped), **{input_name(wrapped): tiny.X}).values()
    assert_close(output, wrapped.predict(tiny.X, verbose=0))


def two_inputs():
    """Build a model whose inputs are in another order than their names."""
    image, features = keras.Input((6, 6, 1), name="image"), keras.Input((4,), name="features")
    both = L.Concatenate()([L.Flatten()(L.Conv2D(4, 3)(image)), features])
    return keras.Model([image, features], [L.Dense(3, name="classes")(both), L.Dense(2, name="angle")(both)])


def test_inputs_and_outputs_have_their_names_and_the_batch_is_free():
    model = pruned(two_inputs(), 0.5)
    content = convert(model)
    signature = {"serving_default": {"inputs": ["features", "image"], "outputs": ["angle", "classes"]}}
    assert interpreter(content).get_signature_list() == signature
    for batch in (1, 7):
        x = [normal(batch, 6, 6, 1), normal(batch, 4)]
        outputs = run(content, image=x[0], features=x[1])
        classes, angle = model.predict(x, verbose=0)
        assert_close(outputs["classes"], classes)
        assert_close(outputs["angle"], angle)


def test_inputs_and_outputs_in_dicts_are_called_by_their_keys():
    x = {"second": keras.Input((3,), name="second"), "first": keras.Input((2,), name="first")}
    model = keras.Model(x, {"b": L.Dense(2)(x["first"]), "a": L.Dense(3)(x["second"])})
    values = {"second": normal(5, 3), "first": normal(5, 2)}
    outputs, expected = run(convert(model), **values), model(values)
    assert_close(outputs["a"], expected["a"])
    assert_close(outputs["b"], expected["b"])


def test_outputs_of_one_layer_are_told_apart():
    first, second, layer = keras.Input((3,), name="a"), keras.Input((3,), name="b"), L.Dense(2, name="both")
    model = keras.Model([second, first], [layer(second), layer(first)])
    x = normal(5, 3), normal(5, 3, seed=1)
    outputs = run(convert(model), b=x[0], a=x[1])
    assert_close(outputs["both"], layer(x[0]))
    assert_close(outputs["both_1"], layer(x[1]))


@pytest.mark.skipif(keras_compat.LEGACY, reason="legacy Keras gives its Input layers names that count on")
@pytest.mark.parametrize("build", [tiny.dense, tiny.convolutional])
def test_an_input_without_a_name_is_called_alike_in_every_build_masked_or_not(build):
    for model in (build(), build(), tiny.half_masked(build)):
        assert interpreter(convert(model)).get_signature_list()["serving_default"]["inputs"] == ["input_layer"]


def test_a_subclassed_model_of_named_inputs_keeps_their_names():
    class Sum(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = L.Dense(2)

        def call(self, x):
            return {"sum": self.dense(x["left"]) + self.dense(x["right"]), "left": self.dense(x["left"])}

    model, values = Sum(), {"right": normal(4, 3), "left": normal(4, 3, seed=1)}
    expected = model(values)
    outputs = run(convert(model), **values)
    assert_close(outputs["sum"], expected["sum"])
    assert_close(outputs["left"], expected["left"])


def test_a_subclassed_model_whose_inputs_are_not_known_says_what_to_do():
    class Sum(keras.Model):
        def call(self, pair):
            return pair[0] + pair[1]

    model = Sum()
    model((normal(2, 3), normal(2, 3)))
    with pytest.raises(ExportError, match=r"inputs of Sum are not known\..* a functional model around it"):
        convert(model)
    pair = [keras.Input((3,), name="a"), keras.Input((3,), name="b")]
    assert_close(run(convert(keras.Model(pair, model(pair))), a=normal(2, 3), b=normal(2, 3))["sum"], 2 * normal(2, 3))


def test_sizes_of_images_stay_free():
    model = made((None, None, 3), L.Conv2D(4, 3), L.GlobalMaxPooling2D(name="y"))
    content = convert(model)
    for x in (normal(2, 5, 6, 3), normal(1, 9, 8, 3)):
        assert_close(run(content, x=x)["y"], model(x))


LAYERS = {
    "Dense": lambda: made((64,), L.Dense(64)),
    "Conv1D": lambda: made((8, 16), L.Conv1D(64, 3)),
    "Conv2D": lambda: made((8, 8, 16), L.Conv2D(64, 3)),
    "SeparableConv2D": lambda: made((8, 8, 64), L.SeparableConv2D(64, 3)),
    "Conv2DTranspose": lambda: made((8, 8, 16), L.Conv2DTranspose(64, 3)),
    "Conv3D": lambda: made((3, 3, 3, 16), L.Conv3D(32, 3)),
    "Embedding": lambda: keras.Sequential([keras.Input((8,), name="x", dtype="int32"), L.Embedding(100, 64)]),
}
DENSE_ONLY = ("Conv3D", "Embedding")


def size(model, sparse):
    return len(convert(model, sparse=sparse))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_with_many_zeros_takes_less_space_but_for_the_kinds_that_are_named(name):
    model = pruned(LAYERS[name](), 0.1)
    if name in DENSE_ONLY:
        assert size(model, sparse=True) == pytest.approx(size(model, sparse=False), abs=100)
    else:
        assert size(model, sparse=True) < 0.45 * size(model, sparse=False)


@pytest.mark.parametrize(("density", "is_sparse"), [(1, False), (0.75, False), (0.6, True), (0.3, True), (0, True)])
def test_weights_are_encoded_sparsely_from_about_a_third_of_zeros_on(density, is_sparse):
    model = pruned(LAYERS["Dense"](), density)
    kernel = next(t for t in interpreter(convert(model)).get_tensor_details() if tuple(t["shape"]) == (64, 64))
    assert bool(kernel["sparsity_parameters"]) == is_sparse


def test_a_sparse_file_has_these_bytes():
    model = pruned(made((784,), L.Dense(300, activation="relu"), L.Dense(100, activation="relu"), L.Dense(10)), 0.1)
    sparse, dense = size(model, sparse=True), size(model, sparse=False)
    assert sparse < 180_000 < 1_060_000 < dense


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_nan_and_infinite_weights_are_refused_by_name_and_nothing_is_written(tmp_path, value):
    model = tiny.convolutional()
    model.layers[-1].kernel.assign(np.full((72, 3), value))
    with pytest.raises(ExportError, match="Weight 'output/kernel' has values that are NaN or infinite"):
        tflite(model, tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


class Inverse(L.Layer):
    def call(self, x):
        return tf.linalg.inv(x)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: made((3, 3), Inverse()), "'tf.MatrixInverse' op is neither a custom op nor a flex op"),
        (lambda: made((3, 3), L.LSTM(2)), "'tf.TensorListReserve' op requires element_shape to be static"),
        (lambda: made((3,), L.Dense(2, dtype="mixed_bfloat16")), "'tf.MatMul' op is neither a custom op"),
    ],
)
def test_an_operation_that_litert_lacks_is_one_line_with_the_way_out(tmp_path, build, reason, capfd):
    model = build()
    tf.config.list_logical_devices()  # TensorFlow prints as it starts
    capfd.readouterr()
    with pytest.raises(ExportError, match=reason) as raised:
        tflite(model, tmp_path / "model.tflite")
    assert "\n" not in str(raised.value)
    assert "Unroll recurrent layers" in str(raised.value)
    assert "export a SavedModel" in str(raised.value)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().err == ""


def test_an_unbuilt_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="is not built"):
        tflite(keras.Sequential([L.Dense(3)]), tmp_path / "model.tflite")


def test_a_file_is_replaced_only_on_demand_and_the_model_is_left_as_it_was(tmp_path):
    model, path = tiny.half_masked(), tmp_path / "new/model.tflite"
    before = model.predict(tiny.X, verbose=0)
    tflite(model, path)
    with pytest.raises(ExportError, match=r"model\.tflite exists"):
        tflite(tiny.dense(), path)
    assert path.read_bytes() == convert(model)
    tflite(other := tiny.dense(), path, overwrite=True)
    assert path.read_bytes() == convert(other)
    with pytest.raises(ExportError, match="is a directory"):
        tflite(model, tmp_path, overwrite=True)
    assert np.array_equal(model.predict(tiny.X, verbose=0), before)
    assert tiny.is_pruned_to_plus_zero(model)


QUIET = """
from tf_lottery import quiet
with quiet.stderr():
    import numpy as np, tensorflow as tf
    from tf_lottery.export.litert import convert, interpreter
    from tf_lottery.keras_compat import keras
    tf.constant(0) + 1
model = keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(2)])
print(list(interpreter(convert(model)).get_signature_runner()(x=np.ones((2, 3), np.float32))))
"""


@pytest.mark.slow
def test_nothing_is_printed_meanwhile():
    done = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("['dense']\n", "")


LITERT = """
class Interpreter:
    def __init__(self, **given):
        self.given = given

    def allocate_tensors(self):
        self.is_ready = True
"""


def test_the_interpreter_of_litert_is_taken_where_it_is_installed(tmp_path, monkeypatch):
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert/interpreter.py").write_text(LITERT)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        made = interpreter(b"content", threads=2)
    finally:  # or other tests would find it, too
        for name in [name for name in sys.modules if name.startswith("ai_edge_litert")]:
            del sys.modules[name]
    assert made.given == {"model_content": b"content", "num_threads": 2}
    assert made.is_ready
