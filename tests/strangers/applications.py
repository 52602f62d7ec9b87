"""One network of each family of `keras.applications`, on tiny images, with new weights and few classes.

Families with a function that takes their depth have a block or two of each kind. Of those that are always dozens or
hundreds of layers deep, the first blocks are taken as features, as in many examples of Keras.
"""

import importlib
import inspect

import numpy as np
from strangers.journey import Stranger

from tf_lottery.keras_compat import LEGACY, keras

apps = keras.applications
RANDOM = np.random.default_rng(0)
NEW = {"weights": None, "classes": 3, "input_shape": (32, 32, 3)}


def module(name):
    """Return the module of a family, which has the functions that take a depth."""
    return importlib.import_module(inspect.getmodule(apps.ResNet50).__name__.rpartition(".")[0] + "." + name)


def resnet():
    stack = module("resnet").stack1 if LEGACY else module("resnet").stack_residual_blocks_v1

    def stages(x):
        return stack(stack(x, 8, 1, stride1=1, name="conv2"), 12, 2, name="conv3")

    return module("resnet").ResNet(stages, False, True, **NEW)


def resnet_v2():
    stack = module("resnet").stack2 if LEGACY else module("resnet").stack_residual_blocks_v2

    def stages(x):
        return stack(stack(x, 8, 2, name="conv2"), 12, 2, stride1=1, name="conv3")

    return module("resnet").ResNet(stages, True, True, **NEW)


def efficientnet():
    """The first three stages of B0: all kinds of its blocks are among them."""
    blocks = module("efficientnet").DEFAULT_BLOCKS_ARGS[:3]
    return module("efficientnet").EfficientNet(0.25, 0.5, 32, blocks_args=blocks, **NEW)


def efficientnet_v2():
    """One stage of fused blocks and one of others, with normalisation inside as in B0."""
    stages = module("efficientnet_v2").DEFAULT_BLOCKS_ARGS["efficientnetv2-b0"]
    return module("efficientnet_v2").EfficientNetV2(
        0.25, 0.5, 32, blocks_args=[stages[0], stages[1], stages[3]], **{NAME: "efficientnetv2-b0"}, **NEW
    )


NAME = "model_name" if LEGACY else "name"


def regnet():
    keras.backend.reset_uids()  # the names of its first layers count the models in the process
    return module("regnet").RegNet([1] * 4, [8, 8, 16, 16], 8, "Y", 32, **NEW)


def resnet_rs():
    keras.backend.reset_uids()  # the names of its first layers count the models in the process
    blocks = [{"input_filters": 8, "num_repeats": 1}, {"input_filters": 8, "num_repeats": 2}]
    return module("resnet_rs").ResNetRS(50, block_args=blocks, **NEW)


def features(last, build, size=32, **settings):
    """Take the output of a layer in the middle of a network as features for a classifier."""
    base = build(weights=None, include_top=False, input_shape=(size, size, 3), **settings)
    x = keras.layers.GlobalAveragePooling2D()(base.get_layer(last).output)
    return keras.Model(base.input, keras.layers.Dense(3, activation="softmax")(x))


def nasnet(**settings):
    smallest = {"penultimate_filters": 96, "num_blocks": 1, "stem_block_filters": 8, "skip_reduction": False}
    return module("nasnet").NASNet(**smallest, **settings)


def convnext():
    rate = 0.0 if LEGACY else 0.1  # legacy Keras cannot trace its StochasticDepth
    return module("convnext").ConvNeXt([1] * 4, [8, 8, 12, 12], drop_path_rate=rate, default_size=32, **NEW)


FAMILIES = {
    "convnext": convnext,
    "densenet": lambda: module("densenet").DenseNet([2, 2, 1, 1], **NEW),
    "efficientnet": efficientnet,
    "efficientnet_v2": efficientnet_v2,
    "inception_resnet_v2": lambda: features("block35_1_ac", apps.InceptionResNetV2, 75),
    "inception_v3": lambda: features("mixed0", apps.InceptionV3, 75),
    "mobilenet": lambda: features("conv_pw_4_relu", apps.MobileNet, alpha=0.25),
    "mobilenet_v2": lambda: features("block_4_add", apps.MobileNetV2, alpha=0.35),
    "mobilenet_v3": lambda: features(
        f"expanded_conv_4{'/Add' if LEGACY else '_add'}", apps.MobileNetV3Small, alpha=0.25
    ),
    "nasnet": lambda: features("reduction_concat_stem_1", nasnet),
    "resnet": resnet,
    "resnet_v2": resnet_v2,
    "vgg": lambda: features("block3_pool", apps.VGG16),
    "xception": lambda: features("block3_sepconv1_bn", apps.Xception, 71),
}
if LEGACY:
    FAMILIES["regnet"] = regnet
    FAMILIES["resnet_rs"] = resnet_rs


def compile(model):
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])


def stranger(family):
    size = {"inception_v3": 75, "inception_resnet_v2": 75, "xception": 71}.get(family, 32)
    images = RANDOM.integers(0, 255, (4, size, size, 3)).astype("float32")
    return Stranger(
        FAMILIES[family],
        compile,
        {"x": images, "y": np.arange(4) % 3, "batch_size": 2},
        images[:2],
        settings={"min_density": 0.1},
    )


EXAMPLES = {family: stranger(family) for family in FAMILIES}
