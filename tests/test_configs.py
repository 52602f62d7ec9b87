"""Every config is a possible experiment, says what its row in the paper says, and names weights that are there."""

import functools
import importlib.util
import re
from fractions import Fraction
from pathlib import Path

import pytest
from tiers import nightly

from tf_lottery import data, models
from tf_lottery.core import schedules
from tf_lottery.experiment import config as config_lib, lengths, validation
from tf_lottery.experiment.smoke import smoke
from tf_lottery.masking import conversion, model_masks

CONFIGS = Path(__file__).parents[1] / "configs"
PATHS = sorted(CONFIGS.glob("*.py"))
CIFAR = {"optimizer": "sgd", "momentum": 0.9, "nesterov": False, "drop_factor": 0.1, "weight_decay": 1e-4}
RESNET = CIFAR | {"drops": ("20000it", "25000it")}
VGG = CIFAR | {"drops": ("56000it", "84000it")}
RESNET_50 = {"optimizer": "sgd", "nesterov": True, "drops": ("30ep", "60ep", "80ep"), "warmup": "5ep"}
RESNET_50 |= {"weight_decay": 1e-4, "precision": "mixed_bfloat16"}
INCEPTION = {"optimizer": "rmsprop", "momentum": 0.9, "epsilon": 1.0, "drops": ("every 3ep",), "drop_factor": 0.94}
INCEPTION |= {"final_learning_rate": 6.6e-5, "weight_decay": 4e-5, "label_smoothing": 0.1, "auxiliary_weight": 0.4}
INCEPTION |= {"average": 0.995, "precision": "float32"}
SQUEEZENET = {"optimizer": "sgd", "nesterov": True, "momentum": 0.9, "decay": "linear", "final_learning_rate": 0.005}
SQUEEZENET |= {"weight_decay": 0.0, "precision": "float32", "drops": ()}

# Network, rate, batch, steps, k, per cent of the prunable weights that the last level has, dense accuracy; the rest.
PAPER = {
    "lenet_mnist": ("lenet_300_100", 0.0012, 60, "50000it", "0it", 3.6, "98.0", {"optimizer": "adam", "drops": ()}),
    "resnet18_standard": ("resnet_20", 0.1, 128, "30000it", "500it", 10.7, "90.5", RESNET | {"warmup": "0it"}),
    "resnet18_low": ("resnet_20", 0.01, 128, "30000it", "500it", 10.7, "89.1", RESNET | {"warmup": "0it"}),
    "resnet18_warmup": ("resnet_20", 0.03, 128, "30000it", "500it", 10.7, "89.6", RESNET | {"warmup": "20000it"}),
    "vgg19_standard": ("vgg_19", 0.1, 64, "112000it", "100it", 2.3, "91.5", VGG | {"warmup": "0it"}),
    "vgg19_low": ("vgg_19", 0.01, 64, "112000it", "100it", 2.3, "92.0", VGG | {"warmup": "0it"}),
    "vgg19_warmup": ("vgg_19", 0.1, 64, "112000it", "100it", 2.3, "92.3", VGG | {"warmup": "10000it"}),
    "resnet50_oneshot": ("resnet_50", 0.4, 1024, "90ep", "4ep", 30.0, "76.1", RESNET_50),
    "resnet50_iterative": ("resnet_50", 0.4, 1024, "90ep", "6ep", 16.8, "76.1", RESNET_50),
    "inception_v3_oneshot": ("inception_v3", 0.66, 1024, "171ep", "6ep", 30.0, "78.1", INCEPTION),
    "squeezenet_oneshot": ("squeezenet", 0.03, 1024, "150ep", "10ep", 50.0, "54.8", SQUEEZENET),
}
# What is never pruned, and how many weights that leaves.
PRUNABLE = {
    "lenet_mnist": ((), 266_200),
    "resnet18_standard": (("shortcut", "^output/"), 267_696),
    "vgg19_standard": (("^output/",), 20_018_880),
    "resnet50_oneshot": ((), 25_502_912),
    "inception_v3_oneshot": (("^auxiliary_",), 23_799_136),
    "squeezenet_oneshot": ((), 1_244_448),
}
# How many training examples the datasets have.
EXAMPLES = {"cifar10": 45_000, "digits": 200, "fashion_mnist": 55_000, "fashion_mnist_14": 10_000}
EXAMPLES |= {"imagenet2012": 1_271_167, "mnist": 55_000, "mnist1d": 3_500}
LARGE = ("vgg_19", "resnet_50", "inception_v3")


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


# Of each config, the experiments of its variants by label.
MEMBERS = {path.stem: config_lib.members(loaded(path.stem).get_config()) for path in PATHS}


@functools.lru_cache
def weights_of(network, dataset, image_size):
    """Return the names of all weights that can be pruned."""
    plain = models.build(network, *data.sizes(dataset, image_size))
    return list(model_masks.get_masks(conversion.make_prunable(plain)))


def prunable_sizes(config):
    """How many weights of each kernel can be pruned, of the config's network on its data, and of what it excludes."""
    shape, classes = data.sizes(config.data.name, config.data.image_size)
    plain = models.build(config.model.name, shape, classes)
    regexes = [schedules.parse_regex(regex) for regex in config.prune.exclude]
    sizes, every = (
        {name: mask.size for name, mask in model_masks.get_masks(conversion.make_prunable(plain, exclude)).items()}
        for exclude in (regexes, ())
    )
    return sizes, {name: size for name, size in every.items() if name not in sizes}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_config_is_a_possible_experiment_and_its_header_has_its_command(path):
    module = loaded(path.stem)
    config = module.get_config()
    validation.check(config)
    header = module.__doc__
    assert f"find_tickets.py --config=configs/{path.name} --run_dir=runs/{path.stem}\n" in header
    assert config.data.name not in data.PREPARE or f"scripts/prepare_data.py {config.data.name} " in header


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_smoke_run_of_a_config_is_a_possible_experiment(path):
    validation.check(smoke(loaded(path.stem).get_config()))


@pytest.mark.parametrize("name", MEMBERS)
def test_the_rewind_step_and_the_drops_of_a_config_lie_before_the_end_of_training(name):
    for label, member in MEMBERS[name].items():
        examples = EXAMPLES[member.data.name]
        found = lengths.lengths(member, examples)
        assert found.rewind < found.total or label == "k=T"
        epoch = Fraction(examples, member.train.batch_size)
        assert all(lengths.drop_steps(drop, epoch, found.total)[0] < found.total for drop in member.train.drops)


@pytest.mark.parametrize(
    "name",
    [
        nightly(name) if any(member.model.name in LARGE for member in members.values()) else name
        for name, members in MEMBERS.items()
        if any(member.prune.exclude for member in members.values())
    ],
)
def test_what_a_config_excludes_from_pruning_is_there(name):
    for member in MEMBERS[name].values():
        weights = weights_of(member.model.name, member.data.name, member.data.image_size)
        unmatched = [regex for regex in member.prune.exclude if not any(re.search(regex, weight) for weight in weights)]
        assert unmatched == []


def test_every_row_of_the_paper_has_a_config():
    assert {path.stem for path in PATHS} >= {*PAPER}


@pytest.mark.parametrize("name", PAPER)
def test_a_config_is_its_row_in_the_paper(name):
    network, rate, batch, steps, k, percent, accuracy, rest = PAPER[name]
    module = loaded(name)
    config = module.get_config()
    train, prune = config.train, config.prune
    assert (config.model.name, train.learning_rate, train.batch_size) == (network, rate, batch)
    assert (train.steps, prune.rewind_to, prune.rewind) == (steps, k, "weights")
    assert {field: getattr(train, field) for field in rest} == rest
    assert prune.criterion == "magnitude"
    assert round(100 * (1 - prune.fraction) ** prune.levels, 1) == pytest.approx(percent, abs=0.15)  # LeNet: its output
    assert f"dense accuracy {accuracy} percent" in module.__doc__
    for way in ("--strategy=mirrored", "--strategy=multi_worker", "TF_CONFIG", "--strategy=tpu", "--smoke"):
        assert way in module.__doc__


def test_images_are_augmented_as_the_paper_and_its_references_say():
    seen = {name: loaded(name).get_config().data for name in PAPER}
    assert {name: (data.name, data.augment) for name, data in seen.items()} == {
        "lenet_mnist": ("mnist", "none"),
        **dict.fromkeys(
            [name for name in PAPER if name.startswith(("resnet18", "vgg19"))], ("cifar10", "flip_and_crop")
        ),
        **dict.fromkeys(["resnet50_oneshot", "resnet50_iterative"], ("imagenet2012", "inception")),
        **dict.fromkeys(["inception_v3_oneshot", "squeezenet_oneshot"], ("imagenet2012", "inception")),
    }
    sizes = {name: data.image_size for name, data in seen.items() if data.name == "imagenet2012"}
    assert sizes.pop("inception_v3_oneshot") == 299
    assert set(sizes.values()) == {224}


def test_the_configs_of_one_network_differ_in_what_their_names_say():
    def fields(name):
        return config_lib.fields(loaded(name).get_config())

    for network, rates in [("resnet18", (0.1, 0.01, 0.03)), ("vgg19", (0.1, 0.01, 0.1))]:
        standard, low, warmup = (fields(f"{network}_{kind}") for kind in ("standard", "low", "warmup"))
        assert {key for key in standard if standard[key] != low[key]} == {"train.learning_rate"}
        assert {key for key in standard if standard[key] != warmup[key]} <= {"train.learning_rate", "train.warmup"}
        assert tuple(config["train.learning_rate"] for config in (standard, low, warmup)) == rates
    once, again = fields("resnet50_oneshot"), fields("resnet50_iterative")
    assert {key for key in once if once[key] != again[key]} == {"prune.levels", "prune.fraction", "prune.rewind_to"}


@pytest.mark.parametrize("name", [nightly(name) if PAPER[name][0] in LARGE else name for name in PRUNABLE])
def test_what_is_never_pruned_is_there_and_leaves_the_weights_of_the_paper(name):
    config = loaded(name).get_config()
    exclude, prunable = PRUNABLE[name]
    assert config.prune.exclude == exclude
    sizes, excluded = prunable_sizes(config)
    assert sum(sizes.values()) == prunable
    for regex in exclude:
        assert [weight for weight in excluded if re.search(regex, weight)]


def test_lenet_ends_with_the_density_of_the_paper_and_its_output_layer_is_pruned_at_half_the_rate():
    config = loaded("lenet_mnist").get_config()
    sizes, _ = prunable_sizes(config)
    fraction_at = schedules.with_rates(config.prune.fraction, config.prune.rates, sizes)
    left = dict.fromkeys(sizes, 1.0)
    densities = []
    for level in range(1, config.prune.levels + 1):
        left = {name: share * (1 - float(fraction_at(level)[name])) for name, share in left.items()}
        densities.append(sum(sizes[name] * left[name] for name in sizes) / sum(sizes.values()))
    labels = {3: 51.3, 7: 21.1, 9: 13.5, 15: 3.6}  # Frankle & Carbin 2019
    assert {level: round(100 * densities[level - 1], 1) for level in labels} == labels
