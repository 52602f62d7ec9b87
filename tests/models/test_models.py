"""Properties of every network: names, sizes, first weights, masks and files."""

import functools
import math

import numpy as np
import pytest
from tiers import slow

import tf_lottery as tfl
from tf_lottery import models
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import all_layers, keras
from tf_lottery.masking import conversion, model_masks, naming

# The smallest examples that each network takes, or nearly.
SMALL = {
    "lenet_300_100": (8, 8, 1),
    "conv_2": (2, 2, 1),
    "conv_4": (4, 4, 1),
    "conv_6": (8, 8, 1),
    "resnet_8_w4": (5, 4, 1),
    "resnet_8_w4_1d": (9, 1),
    "squeezenet": (29, 29, 3),
}
LARGE = {"vgg_11": (16, 16, 1), "resnet_50": (32, 32, 3), "inception_v3": (75, 75, 3)}
nightly = pytest.mark.nightly
EACH = [*SMALL.items(), *(pytest.param(*item, marks=nightly) for item in LARGE.items())]
CIFAR, IMAGENET = (32, 32, 3), (224, 224, 3)


# For tests that do not change the network.
built = functools.cache(models.build)


def images(shape, count=2):
    return np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)


def kernels(model):
    return {name: array for name, array in naming.named_variables(model).items() if name.endswith("/kernel")}


def count(variables):
    return sum(math.prod(variable.shape) for variable in variables)


def logits(model, x):
    outputs = model(x, training=False)
    return [np.asarray(output) for output in (outputs if isinstance(outputs, list | tuple) else [outputs])]


@pytest.mark.parametrize(
    ("name", "shape", "classes", "trainable", "statistics", "weights"),
    [
        ("lenet_300_100", (28, 28, 1), 10, 266_610, 0, 266_200),
        ("conv_2", CIFAR, 10, 4_301_642, 0, 4_300_992),
        ("conv_4", CIFAR, 10, 2_425_930, 0, 2_425_024),
        ("conv_6", CIFAR, 10, 2_262_602, 0, 2_261_184),
        ("resnet_20", CIFAR, 10, 272_474, 1_568, 270_896),  # 274,042 together: the 274K of the paper
        ("vgg_16", CIFAR, 10, 14_728_266, 8_448, 14_715_584),
        ("vgg_19", CIFAR, 10, 20_040_522, 11_008, 20_024_000),
        slow("resnet_50", IMAGENET, 1000, 25_557_032, 53_120, 25_502_912),
        ("squeezenet", IMAGENET, 1000, 1_248_424, 0, 1_244_448),
        slow("inception_v3", (299, 299, 3), 1000, 27_143_152, 36_224, 27_123_040),
    ],
)
def test_networks_have_the_parameters_of_the_papers(name, shape, classes, trainable, statistics, weights):
    model = built(name, shape, classes)
    assert count(model.trainable_variables) == trainable
    assert model.count_params() == trainable + statistics
    assert count(kernels(model).values()) == weights


@pytest.mark.parametrize(
    ("name", "part", "weights"),
    [
        ("resnet_20", "shortcut", 2_560),
        ("resnet_20", "output", 640),
        ("vgg_19", "output", 5_120),
        pytest.param("resnet_50", "shortcut", 2_768_896, marks=nightly),
        pytest.param("inception_v3", "auxiliary", 3_323_904, marks=nightly),
    ],
)
def test_shortcuts_and_outputs_have_the_numbers_of_weights_of_the_papers(name, part, weights):
    shape, classes = {"resnet_50": (IMAGENET, 1000), "inception_v3": ((299, 299, 3), 1000)}.get(name, (CIFAR, 10))
    found = kernels(built(name, shape, classes))
    assert count(variable for path, variable in found.items() if part in path) == weights


@pytest.mark.slow
def test_masks_of_resnet_20_are_on_271_thousand_weights_and_without_shortcuts_and_output_on_its_3x3_convolutions():
    plain = models.build("resnet_20", CIFAR, 10)
    assert sum(mask.size for mask in tfl.get_masks(tfl.make_prunable(plain)).values()) == 270_896
    shortcuts = [name for name in kernels(plain) if "shortcut" in name]
    masks = tfl.get_masks(tfl.make_prunable(plain, exclude=["output", *shortcuts]))
    assert sum(mask.size for mask in masks.values()) == 267_696
    assert {mask.shape[:2] for mask in masks.values()} == {(3, 3)}


@pytest.mark.parametrize(("name", "shape"), EACH)
def test_the_layer_output_returns_the_logits(name, shape):
    model = built(name, shape, 7)
    assert model.name == name
    assert [output.shape for output in logits(model, images(shape))] == [(2, 7)] * (1 + (name == "inception_v3"))
    for layer in ["output", "auxiliary_output"][: len(model.outputs)]:
        assert model.get_layer(layer).kernel.shape[-1] == 7


@pytest.mark.parametrize(("name", "shape"), EACH)
def test_logits_are_not_squashed(name, shape):
    model = models.build(name, shape, 7)
    before = logits(model, images(shape))
    for layer in ["output", "auxiliary_output"][: len(before)]:
        for variable in model.get_layer(layer).weights:
            variable.assign(2 * variable)
    for once, twice in zip(before, logits(model, images(shape)), strict=True):
        np.testing.assert_allclose(twice, 2 * once, rtol=1e-5)
        assert np.abs(once).max() > 0


@pytest.mark.parametrize(("name", "shape"), EACH)
def test_no_network_has_regularizers(name, shape):
    for layer in all_layers(built(name, shape, 7)):
        settings = {key: value for key, value in layer.get_config().items() if key.endswith("regularizer")}
        assert set(settings.values()) <= {None}, layer.name


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shape"), EACH)
def test_masks_survive_saving_and_can_be_stripped(name, shape, tmp_path):
    model = tfl.make_prunable(models.build(name, shape, 7))
    assert sorted(tfl.get_masks(model)) == sorted(kernels(model))
    rng = np.random.default_rng(0)
    tfl.set_masks(model, {key: rng.random(mask.shape) < 0.5 for key, mask in tfl.get_masks(model).items()})
    expected = logits(model, images(shape))
    model.save(tmp_path / "model.keras")
    loaded = tfl.load_model(tmp_path / "model.keras")
    for weight, mask in tfl.get_masks(loaded).items():
        assert np.array_equal(mask, tfl.get_masks(model)[weight])
    for other in (loaded, conversion.strip_pruning(model)):
        assert all(map(np.array_equal, logits(other, images(shape)), expected))
    assert 0.4 < tfl.density(loaded) < 0.6
    assert not model_masks.prunable_weights(loaded)["output/kernel"][~tfl.get_masks(loaded)["output/kernel"]].any()


@pytest.mark.parametrize(
    ("name", "shape", "deviations"),
    [
        ("lenet_300_100", (28, 28, 1), {"dense": math.sqrt(2 / (784 + 300))}),
        ("conv_2", (8, 8, 3), {"conv2": math.sqrt(2 / (9 * 64 + 9 * 64)), "dense1": math.sqrt(2 / (1024 + 256))}),
        ("resnet_20", CIFAR, {"stage3_block2_conv1": math.sqrt(2 / (9 * 64 + 9 * 64))}),
        ("vgg_11", CIFAR, {"conv4_1": math.sqrt(2 / (9 * 256 + 9 * 512))}),
        slow("resnet_50", CIFAR, {"stage3_block1_conv2": math.sqrt(1 / (9 * 256)), "output": 0.01}),
        ("squeezenet", CIFAR, {"fire9_expand3x3": math.sqrt(2 / (9 * 64 + 9 * 256))}),
        pytest.param(
            "inception_v3",
            (75, 75, 3),
            # A normal cut off at two standard deviations keeps 0.8796 of the standard deviation.
            {
                "mixed_7c_branch2_conv2": math.sqrt(2 / (9 * 448)),
                "output": math.sqrt(2 / 2048),
                "auxiliary_conv2": 0.8796e-2,
                "auxiliary_output": 0.8796e-3,
            },
            marks=nightly,
        ),
    ],
)
def test_first_weights_have_the_standard_deviations_of_the_sources(name, shape, deviations):
    keras.utils.set_random_seed(0)
    found = kernels(models.build(name, shape, 100))
    for layer, deviation in deviations.items():
        kernel = np.asarray(found[f"{layer}/kernel"])
        assert kernel.std() == pytest.approx(deviation, rel=0.02), layer
        assert abs(kernel.mean()) < 0.02 * deviation, layer


def test_glorot_is_gaussian_in_the_networks_for_cifar_and_uniform_in_squeezenet():
    def largest(name, layer):
        kernel = np.asarray(models.build(name, CIFAR, 10).get_layer(layer).kernel)
        return np.abs(kernel).max() / kernel.std()

    assert largest("squeezenet", "fire9_expand3x3") == pytest.approx(math.sqrt(3), rel=0.02)
    for name, layer in [("resnet_20", "stage3_block2_conv1"), ("vgg_11", "conv4_1"), ("conv_2", "dense1")]:
        assert largest(name, layer) == pytest.approx(2 / 0.8796, rel=0.02)  # Keras cuts Gaussians at two deviations


@pytest.mark.parametrize(
    ("name", "shape", "epsilon", "momentum", "gamma"),
    [
        ("resnet_8_w4", (8, 8, 3), 1e-5, 0.9, 1),
        ("vgg_11", (16, 16, 3), 1e-5, 0.9, 1),
        slow("resnet_50", (32, 32, 3), 1e-5, 0.9, 1),
        pytest.param("inception_v3", (75, 75, 3), 1e-3, 0.996, None, marks=nightly),
    ],
)
def test_batch_norms_have_the_settings_of_the_sources(name, shape, epsilon, momentum, gamma):
    norms = [layer for layer in built(name, shape, 7).layers if "norm" in layer.name]
    assert {layer.epsilon for layer in norms} == {epsilon}
    assert {layer.momentum for layer in norms} == {momentum}
    for layer in norms:
        ends_block = name == "resnet_50" and layer.name.endswith("_norm3")
        assert layer.scale == (gamma is not None)
        assert not layer.scale or set(np.asarray(layer.gamma)) == {0 if ends_block else gamma}


@pytest.mark.parametrize(
    ("name", "shape", "biases"),
    [
        ("conv_2", (8, 8, 3), 5),
        ("resnet_8_w4", (8, 8, 3), 1),
        ("vgg_11", (16, 16, 3), 9),
        ("squeezenet", (29, 29, 3), 26),
        slow("resnet_50", (32, 32, 3), 1),
        pytest.param("inception_v3", (75, 75, 3), 2, marks=nightly),
    ],
)
def test_biases_are_where_the_sources_have_them(name, shape, biases):
    names = naming.named_variables(built(name, shape, 7))
    assert sum(path.endswith("/bias") for path in names) == biases


@pytest.mark.parametrize(
    ("name", "shape", "rate"),
    [("squeezenet", (29, 29, 3), 0.5), pytest.param("inception_v3", (75, 75, 3), 0.2, marks=nightly)],
)
def test_dropout_is_where_the_sources_have_it(name, shape, rate):
    dropouts = [layer for layer in built(name, shape, 7).layers if isinstance(layer, keras.layers.Dropout)]
    assert [layer.rate for layer in dropouts] == [rate]


def test_networks_compute_in_the_precision_of_the_process():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = models.build("resnet_8_w4", (8, 8, 3), 7)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert model(images((8, 8, 3))).dtype == "bfloat16"
    assert {str(np.asarray(variable).dtype) for variable in model.variables} == {"float32"}


@pytest.mark.parametrize(
    ("name", "shape", "needs"),
    [
        ("conv_4", (40, 1), r"conv_4 needs images of shape \(rows, columns, channels\), at least 4 x 4. .* \(40, 1\)"),
        ("conv_6", (32, 7, 3), r"at least 8 x 8. Received: shape \(32, 7, 3\)"),
        ("resnet_20", (40, 1), r"resnet_20 needs images of shape \(rows, columns, channels\)\. Received: shape"),
        ("resnet_8_w4_1d", (28, 28, 1), r"resnet_8_w4_1d needs signals of shape \(length, channels\)\. Received"),
        ("resnet_20", (None, None, 3), r"whole numbers of at least 1, .* Received: \(None, None, 3\)"),
        ("vgg_19", (28, 15, 1), "vgg_19 needs images .*, at least 16 x 16"),
        ("resnet_50", (784,), "resnet_50 needs images"),
        ("squeezenet", (28, 28, 1), "squeezenet needs images .*, at least 29 x 29"),
        ("inception_v3", (74, 299, 3), "inception_v3 needs images .*, at least 75 x 75"),
    ],
)
def test_examples_that_a_network_cannot_take_are_refused(name, shape, needs):
    with pytest.raises(ModelError, match=needs):
        models.build(name, shape, 10)


def test_an_unknown_model_lists_the_known_ones():
    with pytest.raises(ModelError, match=r"Unknown model 'lenet'.* Known: lenet_300_100, conv_2"):
        models.build("lenet", (28, 28, 1), 10)


@pytest.mark.parametrize("name", ["resnet_8", slow("vgg_11"), slow("resnet_50"), "squeezenet"])
def test_networks_that_average_globally_have_the_same_weights_for_any_size_of_image(name):
    first, second = (kernels(built(name, shape, 7)) for shape in ((32, 32, 1), (29, 41, 1)))
    assert {path: tuple(v.shape) for path, v in first.items()} == {path: tuple(v.shape) for path, v in second.items()}


@pytest.mark.nightly
@pytest.mark.parametrize("name", models.names.EXAMPLES)
def test_every_network_named_in_messages_can_be_built(name):
    shape = (40, 1) if name.endswith("_1d") else (75, 75, 3)
    assert models.build(name, shape, 3).name == name


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "theirs", "shape"),
    [("resnet_50", "ResNet50", IMAGENET), ("inception_v3", "InceptionV3", (299, 299, 3))],
)
def test_kernels_are_those_of_keras_applications_besides_the_auxiliary_head(name, theirs, shape):
    ours = kernels(models.build(name, shape, 1000))
    assert sum(path.startswith("auxiliary") for path in ours) == (3 if name == "inception_v3" else 0)
    shapes = [tuple(kernel.shape) for path, kernel in ours.items() if not path.startswith("auxiliary")]
    reference = getattr(keras.applications, theirs)(weights=None, input_shape=shape, classes=1000)
    assert sorted(shapes) == sorted(tuple(kernel.shape) for kernel in kernels(reference).values())


@pytest.mark.parametrize(
    ("shape", "classes"),
    [((8, 8, 1), 0), ((8, 8, 1), None), ((8, 8, 1), 2.5), ((), 3), (8, 3), ((None, 8), 3), ((0,), 3)],
)
def test_impossible_shapes_and_numbers_of_classes_are_refused(shape, classes):
    with pytest.raises(ModelError, match="A network needs the shape of one example and a number of classes"):
        models.build("lenet_300_100", shape, classes)


def test_networks_take_channels_last_whatever_the_users_keras_json_says():
    keras.backend.set_image_data_format("channels_first")
    try:
        model = models.build("conv_2", (8, 8, 3), 7)
    finally:
        keras.backend.set_image_data_format("channels_last")
    formats = [layer.data_format for layer in model.layers if hasattr(layer, "data_format")]
    assert formats == ["channels_last"] * len(formats) != []
    assert model.get_layer(index=0).kernel.shape == (3, 3, 3, 64)
