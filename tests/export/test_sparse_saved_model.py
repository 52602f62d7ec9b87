"""SavedModels that are small, and predict the bits of the model wherever TensorFlow is all there is."""

import filecmp
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny
from tiers import always, nightly, slow

from tf_lottery import keras_compat, models
from tf_lottery.errors import ExportError, ModelError, RunError
from tf_lottery.export import tracing
from tf_lottery.export.sparse_saved_model import saved_model
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks, naming

L = keras.layers
DENSITIES = (1, 0.5, 0.2, 0.1, 0.05, 0.01, 0)

# Reads with TensorFlow alone: the SavedModels path/model and path/dense, fed with the arrays in path/inputs.npz. What
# they predict goes to path/model.npz and path/dense.npz; what they do when loaded into a session, as by TensorFlow
# Serving, to path/model_v1.npz and path/dense_v1.npz; as float64, which the bits of smaller floats are in.
READER = """
import sys
for name in ("keras", "tf_keras", "tf_lottery"):
    sys.modules[name] = None
import numpy as np, tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
for path in sys.argv[1:]:
    inputs = dict(np.load(f"{path}/inputs.npz"))
    for name in (f"{path}/model", f"{path}/dense"):
        loaded = tf.saved_model.load(name)
        found = loaded.signatures["serving_default"](**{key: tf.constant(x) for key, x in inputs.items()})
        np.savez(f"{name}.npz", **{key: tf.cast(y, tf.float64) for key, y in found.items()})
        one_thread = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1)
        with tf.compat.v1.Session(graph=tf.Graph(), config=one_thread) as session:
            graph = tf.compat.v1.saved_model.load(session, ["serve"], name)
            signature = graph.signature_def["serving_default"]
            outputs = {key: tf.cast(session.graph.get_tensor_by_name(y.name), tf.float64)
                       for key, y in signature.outputs.items()}
            fed = {signature.inputs[key].name: x for key, x in inputs.items()}
            np.savez(f"{name}_v1.npz", **session.run(outputs, fed))
assert sys.modules["keras"] is None
"""


def normal(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def masked(model, density=0.5, seed=0):
    """Return the model with random masks, and no weight at its initial value."""
    rng = np.random.default_rng(seed)
    for name, variable in naming.named_variables(model).items():
        if not keras_compat.is_random_state(variable):
            values = rng.normal(scale=0.1, size=variable.shape)
            variable.assign((values**2 if name.endswith("variance") else values).astype(np.float32))
    model = conversion.make_prunable(model)
    masks = {name: rng.random(mask.shape) < density for name, mask in model_masks.get_masks(model).items()}
    model_masks.set_masks(model, masks)
    return model


def made(shape, *parts, **kwargs):
    return keras.Sequential([keras.Input(shape, **kwargs), *parts])


def of_precision(policy):
    with keras_compat.pinned_settings(policy):
        return tiny.convolutional()


def two_inputs(structure):
    first, second = keras.Input((4,), name="first"), keras.Input((3,), name="second")
    shared = L.Dense(3, name="shared")
    hidden = shared(first)
    outputs = [L.Add(name="sum")([hidden, second]), L.Dense(2, name="last")(hidden), shared(first)]
    if structure is dict:
        return keras.Model({"first": first, "second": second}, dict(zip("cba", outputs, strict=True)))
    return keras.Model([first, second], outputs)


@keras.saving.register_keras_serializable(package="saved_models")
class Scaled(L.Layer):
    """A layer with a scalar, a weight without entries, and an integer that is never pruned."""

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        self.nothing = self.add_weight(name="nothing", shape=(0, 3), initializer="ones")
        self.times = self.add_weight(name="times", shape=(), dtype="int32", initializer="ones", trainable=False)
        self.built = True

    def call(self, x):
        return x * self.scale * tf.cast(self.times, x.dtype) + tf.reduce_sum(tf.convert_to_tensor(self.nothing))


IMAGES = {"input": tiny.X}
PAIR = {"first": normal(5, 4), "second": normal(5, 3)}
TOKENS = {"input": np.arange(15, dtype=np.int32).reshape(3, 5) % 7}
# A model and its inputs: by name, or as "input" if there is one.
CASES = {
    "dense": (tiny.dense, IMAGES),
    "convolutional": (tiny.convolutional, IMAGES),
    "nested": (tiny.nested, IMAGES),
    "subclassed": (tiny.subclassed, IMAGES),
    "float16": (lambda: of_precision("float16"), IMAGES),
    "mixed_float16": (lambda: of_precision("mixed_float16"), IMAGES),
    "mixed_bfloat16": (lambda: of_precision("mixed_bfloat16"), IMAGES),
    "lists": (lambda: two_inputs(list), PAIR),
    "dicts": (lambda: two_inputs(dict), PAIR),
    "recurrent": (lambda: made((5,), L.Embedding(7, 4), L.LSTM(3), dtype="int32"), TOKENS),
    "attention": (lambda: attention(), {"input": normal(2, 5, 4)}),
    "any size": (lambda: made((None, None, 1), L.Conv2D(2, 3), L.GlobalMaxPooling2D(), L.Dense(2)), IMAGES),
    "odd shapes": (lambda: made((3,), L.Dense(3), Scaled()), {"input": normal(4, 3)}),
    "random at inference": (lambda: random_at_inference(), {"input": normal(4, 3)}),
}


def attention():
    tokens = keras.Input((5, 4))
    return keras.Model(tokens, L.MultiHeadAttention(num_heads=2, key_dim=3)(tokens, tokens))


def random_at_inference():
    x = keras.Input((3,))
    return keras.Model(x, L.Dense(2)(L.Dropout(1e-9, seed=1)(L.Dense(3)(x), training=True)))


def take(model, inputs):
    """Return inputs in the structure that `model` takes."""
    if len(inputs) == 1:
        return inputs["input"]
    return inputs if isinstance(model.input, dict) else list(inputs.values())


def predicted(model, inputs):
    return [np.float64(y) for y in tf.nest.flatten(model.predict(take(model, inputs), verbose=0))]


def by_name(path, inputs):
    """Return inputs by the names of the signature."""
    loaded = tf.saved_model.load(path)
    (_, specs) = loaded.signatures["serving_default"].structured_input_signature
    return inputs if len(inputs) > 1 else dict.fromkeys(specs, inputs["input"])


def read(*paths):
    done = subprocess.run([sys.executable, "-c", READER, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def export(model, path, inputs):
    """Export `model`, sparse and dense, with its inputs, to be read by another process from `path`."""
    plain = conversion.plain(model)
    saved_model(model, path / "model")
    function = tracing.trace(plain)
    tf.saved_model.save(tracing.trackable(function), path / "dense", signatures=function)
    np.savez(path / "inputs.npz", **by_name(path / "model", inputs))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return for each case the path where another process has read it, and the predictions of its plain model."""
    folder = tmp_path_factory.mktemp("exported")
    found = {}
    for name, (make, inputs) in CASES.items():
        path = folder / name
        path.mkdir()
        model = masked(make())
        export(model, path, inputs)
        found[name] = path, predicted(conversion.plain(model), inputs)
    read(*(path for path, _ in found.values()))
    return found


def read_back(path, *names):
    return [list(np.load(path / f"{name}.npz").values()) for name in names]


def same_bits(found, expected):
    found, expected = [[np.asarray(y).tobytes() for y in outputs] for outputs in (found, expected)]
    return len(expected) > 0 and sorted(found) == sorted(expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_another_process_without_keras_predicts_the_bits_of_the_model(exported, name):
    path, expected = exported[name]
    assert same_bits(*read_back(path, "model", "dense"))
    if not (
        name == "mixed_bfloat16" and keras_compat.LEGACY
    ):  # whose `predict` rounds otherwise than a dense SavedModel
        assert same_bits(*read_back(path, "model"), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_session_predicts_the_bits_of_the_model(exported, name):
    path, expected = exported[name]
    assert same_bits(*read_back(path, "model_v1", "dense_v1"))
    if name not in ("convolutional", "mixed_bfloat16"):  # in which a session rounds otherwise, as it fuses operations
        assert same_bits(*read_back(path, "model_v1"), expected)


@pytest.mark.slow
def test_the_command_line_of_tensorflow_reads_it(exported, tmp_path):
    path, (expected,) = exported["dense"]
    (name,) = np.load(path / "inputs.npz")
    np.save(tmp_path / "x.npy", tiny.X)
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"]
    model = ["--dir", path / "model", "--tag_set", "serve", "--signature_def", "serving_default"]
    shown = subprocess.run([*command, "show", *model], capture_output=True, text=True, check=True).stdout
    assert f"inputs['{name}'] tensor_info" in shown
    assert "shape: (-1, 6, 6, 1)" in shown
    assert "outputs['dense_1'] tensor_info" in shown
    subprocess.run(
        [*command, "run", *model, "--inputs", f"{name}={tmp_path / 'x.npy'}", "--outdir", tmp_path],
        capture_output=True,
        check=True,
    )
    np.testing.assert_array_equal(np.load(tmp_path / "dense_1.npy"), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dense", "subclassed", "lists", "dicts"])
def test_the_endpoint_serve_takes_and_returns_what_the_model_does(exported, name):
    path, expected = exported[name]
    make, inputs = CASES[name]
    found = served(path / "model", take(make(), inputs))
    assert same_bits([np.float64(y) for y in tf.nest.flatten(found)], expected)
    assert type(found) is {"lists": list, "dicts": dict}.get(name, type(tf.zeros(0)))


@pytest.mark.slow
def test_any_batch_and_any_size_that_the_model_takes_is_taken(exported):
    path, _ = exported["any size"]
    loaded = tf.saved_model.load(path / "model")
    for shape in [(1, 3, 3, 1), (2, 5, 9, 1)]:
        assert loaded.serve(normal(*shape)).shape == (shape[0], 2)


@pytest.mark.slow
def test_variables_are_listed_as_by_keras(exported):
    loaded = tf.saved_model.load(exported["convolutional"][0] / "model")
    assert [len(part) for part in (loaded.variables, loaded.trainable_variables, loaded.non_trainable_variables)] == [
        10, 8, 2,
    ]  # fmt: skip
    assert {variable.dtype for variable in loaded.variables} == {tf.float32}


def test_two_models_with_equal_names_live_side_by_side(tmp_path):
    made = [masked(tiny.dense(), seed=seed) for seed in (0, 1)]
    for index, model in enumerate(made):
        saved_model(model, tmp_path / str(index))
    loaded = [tf.saved_model.load(tmp_path / str(index)) for index in (0, 1, 0)]
    expected = [model.predict(tiny.X, verbose=0) for model in (*made, made[0])]
    for one, outputs in zip(loaded, expected, strict=True):
        np.testing.assert_array_equal(one.serve(tiny.X), outputs)
    assert not np.array_equal(expected[0], expected[1])


def served(path, inputs):
    loaded = tf.saved_model.load(path)  # must live as long as its functions
    return loaded.serve(inputs)


def size(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def bound(model):
    """Return the most bytes that a SavedModel may take: 5% more than the entropy, 20 KB, and 4 KB for each layer."""
    total = 0.0
    masks = {name: mask for name, (_, mask) in model_masks.masked_variables(model).items()}
    for name, variable in naming.named_variables(model).items():
        entries, bits = np.prod(variable.shape), 8 * tf.as_dtype(variable.dtype).size
        share = np.mean(masks[name]) if name in masks else 1
        entropy = -sum(p * np.log2(p) for p in (share, 1 - share) if p)
        total += entries * (bits * share + entropy) / 8
    return 1.05 * total + 20_000 + 4_000 * len(conversion.plain(model).layers)


EVERY = [(dtype, density) for dtype in ("float32", "float16", "bfloat16") for density in DENSITIES]
ALWAYS = [*(("float32", density) for density in (1, 0.1, 0.01, 0)), ("float16", 0.1), ("bfloat16", 0.1)]


@pytest.mark.parametrize(("dtype", "density"), always(*ALWAYS, among=EVERY))
def test_a_saved_model_takes_little_more_than_the_entropy_of_masks_and_kept_weights(tmp_path, dtype, density):
    with keras_compat.pinned_settings(dtype):
        model = masked(made((300,), L.Dense(400, use_bias=False), L.Dense(100)), density)
    saved_model(model, tmp_path / "model")
    assert size(tmp_path / "model") < bound(model)
    loaded = tf.saved_model.load(tmp_path / "model")
    assert same_bits(loaded.variables, map(keras_compat.tf_variable, conversion.plain(model).weights))


@pytest.mark.parametrize("build", [tiny.dense, tiny.convolutional, tiny.nested, tiny.subclassed])
def test_small_networks_keep_the_bound_too(tmp_path, build):
    saved_model(model := masked(build()), tmp_path / "model")
    inside = len(naming.named_layers(conversion.plain(model))) - len(model.layers)  # of layers made of layers
    assert size(tmp_path / "model") < bound(model) + 4_000 * inside


def test_no_weight_is_in_the_graph_and_none_is_stored_twice(tmp_path):
    """Fails if TensorFlow stores values for the variables that have none."""
    model = masked(made((300,), L.Dense(400), L.Dense(400)), density=1)
    saved_model(model, tmp_path / "model")
    assert (tmp_path / "model/saved_model.pb").stat().st_size < 50_000
    stored = tf.train.list_variables(str(tmp_path / "model/variables/variables"))
    assert [name for name, _ in stored] == ["_CHECKPOINTABLE_OBJECT_GRAPH", "packed/0/.ATTRIBUTES/VARIABLE_VALUE"]
    assert size(tmp_path / "model") < 4 * 280_800 * 1.05 + 40_000


def test_the_computation_is_in_the_graph_once(tmp_path):
    saved_model(tiny.dense(), tmp_path / "model")
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path / "model"))
        functions = graph.as_graph_def().library.function
    assert [node.op for function in functions for node in function.node_def].count("MatMul") == 2


def test_zeros_that_are_kept_come_back_and_minus_zero_with_its_sign(tmp_path):
    model = made((2,), L.Dense(2, use_bias=False))
    kernel = np.float32([[-0.0, 0.0], [1.0, -2.0]])
    model.set_weights([kernel])
    saved_model(model, tmp_path / "model")
    loaded = tf.saved_model.load(tmp_path / "model")
    (found,) = loaded.variables
    assert found.numpy().tobytes() == kernel.tobytes()


def test_two_exports_of_a_model_hold_the_same_weights(tmp_path):
    model = masked(tiny.convolutional())
    for name in ("first", "second"):
        saved_model(model, tmp_path / name)
    data = "variables/variables.data-00000-of-00001"
    assert filecmp.cmp(tmp_path / "first" / data, tmp_path / "second" / data, shallow=False)


@pytest.mark.parametrize("build", [tiny.dense, tiny.subclassed])
def test_exporting_changes_neither_the_model_nor_its_further_training(tmp_path, build):
    def trained(*, is_exported):
        keras.utils.set_random_seed(1)
        model = masked(build())
        model.compile("sgd", tiny.loss())
        model.fit(tiny.X, tiny.Y, epochs=1, verbose=0)
        before = [weight.numpy() for weight in model.weights]
        if is_exported:
            saved_model(model, tmp_path / "model")
        assert all(map(np.array_equal, before, [weight.numpy() for weight in model.weights]))
        model.fit(tiny.X, tiny.Y, epochs=1, shuffle=False, verbose=0)
        return [weight.numpy().tobytes() for weight in model.weights]

    assert trained(is_exported=True) == trained(is_exported=False)


def test_a_model_without_masks_and_a_stripped_one_are_exported_as_they_are(tmp_path):
    model = masked(tiny.dense())
    expected = model.predict(tiny.X, verbose=0)
    saved_model(conversion.strip_pruning(model), tmp_path / "model")
    np.testing.assert_array_equal(served(tmp_path / "model", tiny.X), expected)


def test_lookup_tables_and_variables_that_keras_does_not_know_come_along(tmp_path):
    class Shifted(L.Layer):
        def __init__(self):
            super().__init__()
            self.shift = tf.Variable([1.0, 0.0])

        def call(self, x):
            return x + self.shift

    words = L.StringLookup(vocabulary=["lottery", "ticket"])
    model = made((3,), words, L.Embedding(3, 2), L.Flatten(), L.Dense(2), Shifted(), dtype="string")
    saved_model(model, tmp_path / "model")
    text = tf.constant([["a", "lottery", "ticket"]])
    np.testing.assert_array_equal(served(tmp_path / "model", text), model(text))


class Pair(keras.Model):
    """A model of which nothing says what shapes it takes."""

    def __init__(self):
        super().__init__()
        self.dense = L.Dense(2)

    def call(self, inputs):
        return self.dense(inputs[0]) + inputs[1]


def test_inputs_are_given_for_a_model_whose_inputs_are_unknown(tmp_path):
    model = Pair()
    inputs = [normal(4, 3), normal(4, 2)]
    expected = model(inputs)
    with pytest.raises(ExportError, match=r"inputs of Pair are not known.*give them: `inputs=tf\.TensorSpec\("):
        saved_model(model, tmp_path / "model")
    specs = [tf.TensorSpec((None, 3), name="first"), tf.TensorSpec((None, 2))]
    saved_model(model, tmp_path / "model", inputs=specs)
    loaded = tf.saved_model.load(tmp_path / "model")
    found = loaded.signatures["serving_default"](first=tf.constant(inputs[0]), inputs=tf.constant(inputs[1]))
    np.testing.assert_array_equal(found["outputs"], expected)
    np.testing.assert_array_equal(loaded.serve(inputs), expected)


def test_a_batch_size_that_is_given_is_kept(tmp_path):
    saved_model(tiny.dense(), tmp_path / "model", inputs=tf.TensorSpec((7, 6, 6, 1)))
    assert served(tmp_path / "model", tiny.X[:7]).shape == (7, 3)
    with pytest.raises(TypeError):
        served(tmp_path / "model", tiny.X[:6])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (3, "must be a tf.TensorSpec, or a list or dict of them. Received: 3"),
        ([], r"must be a tf.TensorSpec, or a list or dict of them. Received: \[\]"),
        ({"x": "float32"}, "must be a tf.TensorSpec, or a list or dict"),
        (tf.TensorSpec((None, 5)), r"cannot be called with .*\(None, 5\).*shape"),
        ([tf.TensorSpec((None, 6, 6, 1))] * 2, "cannot be called with"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(tmp_path, inputs, message):
    with pytest.raises(ExportError, match=f"(?s){message}"):
        saved_model(tiny.convolutional(), tmp_path / "model", inputs=inputs)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinite_weights_are_refused_by_name(tmp_path, value):
    model = tiny.convolutional()
    bias = naming.named_variables(model)["conv2d_1/bias"]
    bias.assign([0.0, value])
    with pytest.raises(ExportError, match=r"Weight 'conv2d_1/bias' has values that are NaN or infinite"):
        saved_model(model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_built_is_refused(tmp_path):
    with pytest.raises(ModelError, match="is not built"):
        saved_model(tiny.Net(), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_saved_model_is_replaced_only_on_demand(tmp_path):
    first, second = masked(tiny.dense(), seed=0), masked(tiny.dense(), seed=1)
    path = tmp_path / "those/around/it/model"
    saved_model(first, str(path))
    with pytest.raises(ExportError, match=r"model exists\. Choose another name, or have it replaced: overwrite=True"):
        saved_model(second, path)
    np.testing.assert_array_equal(served(path, tiny.X), first.predict(tiny.X, verbose=0))
    saved_model(second, path, overwrite=True)
    np.testing.assert_array_equal(served(path, tiny.X), second.predict(tiny.X, verbose=0))
    assert [other.name for other in path.parent.iterdir()] == ["model"]


def test_only_saved_models_are_replaced(tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_bytes(b"mine")
    (tmp_path / "link").symlink_to("nowhere")
    for name, reason in (
        ("file", "is not a SavedModel"),
        ("folder", "is not a SavedModel"),
        ("link", "is a symbolic link"),
    ):
        with pytest.raises(ExportError, match=reason):
            saved_model(tiny.dense(), tmp_path / name, overwrite=True)
    assert (tmp_path / "file").read_bytes() == (tmp_path / "folder/file").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "link"]


def test_an_empty_folder_may_be_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved_model(tiny.dense(), ".", overwrite=True)
    assert tf.saved_model.contains_saved_model(str(tmp_path))


def test_a_path_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written: Not a directory"):
        saved_model(tiny.dense(), tmp_path / "file/model")


@pytest.mark.slow
def test_a_full_disk_is_one_error_and_leaves_what_was_there(tmp_path):
    # A limit on the size of files stands in for the disk: the system itself refuses to write on.
    saved_model(old := tiny.dense(), tmp_path / "model")
    code = (
        "import resource, sys; from tf_lottery.errors import RunError; from tf_lottery.keras_compat import keras\n"
        "from tf_lottery.export.sparse_saved_model import saved_model\n"
        "model = keras.Sequential([keras.Input((500,)), keras.layers.Dense(500)])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n saved_model(model, sys.argv[1], overwrite=True)\n"
        "except RunError as error:\n print(error)"
    )
    command = [sys.executable, "-c", code, tmp_path / "model"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "cannot be written" in done.stdout, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    np.testing.assert_array_equal(served(tmp_path / "model", tiny.X), old.predict(tiny.X, verbose=0))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        slow("lenet_300_100", (28, 28, 1)),
        nightly("resnet_20", (32, 32, 3)),
        nightly("vgg_19", (32, 32, 3)),
        nightly("resnet_50", (224, 224, 3)),
    ],
)
def test_the_networks_of_the_papers_keep_the_bound_and_predict_the_same_bits(tmp_path, name, shape):
    model = masked(models.build(name, shape, 10), density=0.1)
    inputs = {"input": normal(2, *shape)}
    export(model, tmp_path, inputs)
    assert size(tmp_path / "model") < bound(model)
    assert size(tmp_path / "model") < 0.35 * sum(weight.numpy().nbytes for weight in conversion.plain(model).weights)
    read(tmp_path)
    expected = predicted(conversion.plain(model), inputs)
    assert same_bits(*read_back(tmp_path, "model"), expected)
    assert same_bits(*read_back(tmp_path, "model", "dense"))
    assert same_bits(*read_back(tmp_path, "model_v1", "dense_v1"))
