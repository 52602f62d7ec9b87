"""The config of an experiment: typed fields with their defaults.

Config files return an `Experiment`; `--config.prune.fraction=0.3` overrides a field. Lengths are written `"500it"`
(optimizer steps) or `"2ep"` (passes over the training data).
"""

import dataclasses
import difflib
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from tf_lottery.errors import ConfigError

# The fields that can grow when a run is extended.
EXTENDABLE = ("replicates", "prune.levels", "controls", "variants", "stability.levels", "stability.shuffle_seeds")
# These fields belong to the whole run, or to the processes that train it.
_FIXED = ("seed", "replicates", "variants", "train.threads", "train.jit_compile", "train.steps_per_execution")
_AFTER_THE_DENSE_NETWORK = ("prune.", "stability.", "controls", "shuffle")
_LABEL = re.compile(r"(?!level_|controls$|shuffle_seed_|replicate\.lock$)[A-Za-z0-9][A-Za-z0-9 =.,%+_-]{0,59}")


@dataclass(slots=True)
class Model:
    """The network.

    Attributes:
        name: A name that `tfl.models.build` knows. Defaults to `"lenet_300_100"`.

    Examples:
        >>> Model("resnet_20").name
        'resnet_20'
    """

    name: str = "lenet_300_100"


@dataclass(slots=True)
class Data:
    """The dataset and its augmentation.

    Attributes:
        name: One of `tfl.data.SOURCES`. Defaults to `"digits"`.
        augment: `"none"`, `"flip_and_crop"` (for images in memory) or `"inception"` (for ImageNet). Defaults to
            `"none"`.
        image_size: Side length, in pixels, to which ImageNet images are cropped; other images keep their size. Defaults
            to 224.
        synthetic: Whether to use random noise instead of the dataset, to try out an experiment. Defaults to False.

    Examples:
        >>> Data("cifar10", augment="flip_and_crop").image_size
        224
    """

    name: str = "digits"
    augment: str = "none"
    image_size: int = 224
    synthetic: bool = False


@dataclass(slots=True)
class Train:
    """The hyperparameters of all training runs.

    Attributes:
        optimizer: `"adam"`, `"sgd"` or `"rmsprop"`.
        learning_rate: Learning rate at step 0, or after the warmup.
        momentum: Momentum of `"sgd"` and `"rmsprop"`.
        nesterov: Whether `"sgd"` uses Nesterov momentum.
        epsilon: Epsilon of `"adam"` and `"rmsprop"`.
        decay: `"drops"`: the learning rate drops as `drops` says. `"linear"`: it falls linearly from `learning_rate` to
            `final_learning_rate` at the end of training.
        drops: When the learning rate is multiplied by `drop_factor`: `("20000it", "25000it")` or `("every 3ep",)`.
        drop_factor: The factor of each drop.
        final_learning_rate: The lowest learning rate that decay can reach.
        warmup: Length of the linear warmup of the learning rate from 0.
        weight_decay: Strength of the L2 penalty: this factor times a kernel is added to its gradient. Kernels that are
            never pruned are included.
        label_smoothing: Share of the target that is spread over all classes, 0-1.
        auxiliary_weight: Factor of the loss of a network's auxiliary head.
        average: Momentum of the moving averages of the weights, which are then used for evaluation; 0 for no averages.
            Pruning and tickets always use the weights themselves.
        precision: `"float32"`, `"mixed_float16"` or `"mixed_bfloat16"`.
        batch_size: Global batch size: the number of examples in a batch, over all replicas.
        steps: T, the length of the dense training run.
        evaluate_every: How often losses and accuracies are measured.
        threads: Number of threads of one training run. The last bits of results depend on it. None, here and in the
            next two fields, means that the value is chosen by device, strategy and layers when a run is created
            (plan.py), and recorded in the run.
        jit_compile: Whether XLA compiles the training steps, on one replica, instead of using TensorFlow's op
            determinism. The last bits of results depend on it.
        steps_per_execution: The largest number of steps between two checks for a stop request or a due checkpoint. It
            does not change results.

    Examples:
        >>> Train(optimizer="sgd", learning_rate=0.1, drops=("20ep", "30ep"), steps="40ep").drop_factor
        0.1
    """

    optimizer: str = "adam"
    learning_rate: float = 1.2e-3
    momentum: float = 0.9
    nesterov: bool = False
    epsilon: float = 1e-7
    decay: str = "drops"
    drops: tuple[str, ...] = ()
    drop_factor: float = 0.1
    final_learning_rate: float = 0.0
    warmup: str = "0it"
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    auxiliary_weight: float = 0.4
    average: float = 0.0
    precision: str = "float32"
    batch_size: int = 60
    steps: str = "10000it"
    evaluate_every: str = "100it"
    threads: int | None = None
    jit_compile: bool | None = None
    steps_per_execution: int | None = None


@dataclass(slots=True)
class Prune:
    """The pruning and the start point of each level.

    Attributes:
        levels: Number of pruned levels, which follow level 0, the dense network.
        fraction: Fraction of the kept weights that a level removes, in [0, 1).
        rates: Different fractions for some weights, as `"regex=fraction"`; needs scope `"layerwise"`.
        scope: `"global"` ranks all weights together, `"layerwise"` each array by itself.
        criterion: One of `tfl.criteria.CRITERIA`.
        exclude: Regexes that match the names of weights that are never pruned.
        rewind: `"weights"` (the paper), `"learning_rate"` or `"none"` (fine-tuning); see `LotteryTicket`.
        rewind_to: Step k, to which each level rewinds.
        reset_optimizer: Whether a rewound level starts with a new optimizer.

    Examples:
        >>> Prune(levels=15, rewind_to="500it").fraction
        0.2
    """

    levels: int = 10
    fraction: float = 0.2
    rates: tuple[str, ...] = ()
    scope: str = "global"
    criterion: str = "magnitude"
    exclude: tuple[str, ...] = ()
    rewind: str = "weights"
    rewind_to: str = "0it"
    reset_optimizer: bool = False


@dataclass(slots=True)
class Stability:
    """The networks that are trained again with other shuffle seeds, to measure their stability; see run_stability.py.

    Attributes:
        levels: Levels whose tickets and random masks are trained again. The dense network is then trained again from
            step k, too. `()` for no stability runs.
        shuffle_seeds: Number of additional shuffle seeds.
        points: Number of points on the line between two networks at which error and loss are measured; 0 for none.
        fresh_statistics: Whether BatchNorm statistics are recomputed at each point of the line.

    Source:
        Frankle, Dziugaite, Roy, Carbin 2019 (arXiv 1903.01611), for distances and angles; Frankle, Dziugaite, Roy,
        Carbin 2020 (arXiv 1912.05671), for the error on the line between two networks.

    Examples:
        >>> Stability(levels=(9,), shuffle_seeds=2).points
        30
    """

    levels: tuple[int, ...] = ()
    shuffle_seeds: int = 2
    points: int = 30
    fresh_statistics: bool = True


@dataclass(slots=True)
class Experiment:
    """The whole experiment.

    Attributes:
        seed: The seed that all other seeds are derived from.
        replicates: Number of times that everything is repeated, each with another initialisation and data order.
        model: The network.
        data: The dataset and its augmentation.
        train: The hyperparameters of all training runs.
        prune: The pruning and the start point of each level.
        controls: What each ticket is compared with: `"random_mask"`, `"reinit"`, and those of Zhou et al. 2019; see
            core/controls.py.
        shuffle: `"replay"`: every level sees the same batches as the dense training run. `"fresh"`: each level has its
            own data order.
        stability: The networks that are trained again with other shuffle seeds.
        variants: The variants that a sweep compares: a dict of the changed fields for each label, as in
            `{"k=0": {"prune.rewind_to": "0it"}, "k=60": {"prune.rewind_to": "60it"}}`.

    Examples:
        >>> experiment = Experiment(data=Data("mnist"), prune=Prune(levels=15), controls=("random_mask",))
        >>> experiment.replicates
        3
    """

    seed: int = 0
    replicates: int = 3
    model: Model = field(default_factory=Model)
    data: Data = field(default_factory=Data)
    train: Train = field(default_factory=Train)
    prune: Prune = field(default_factory=Prune)
    controls: tuple[str, ...] = ("random_mask", "reinit")
    shuffle: str = "replay"
    stability: Stability = field(default_factory=Stability)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)


def fields(config: Any, prefix: str = "") -> dict[str, Any]:
    """Return all fields by dotted name: `{"seed": 0, …, "prune.fraction": 0.2, …}`; tuples become lists, as in JSON."""
    flat: dict[str, Any] = {}
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if dataclasses.is_dataclass(value):
            flat |= fields(value, f"{prefix}{entry.name}.")
        else:
            flat[prefix + entry.name] = _replace(value, tuple, list)
    return flat


def fingerprint(config: Experiment) -> str:
    """Return a checksum of all fields that affect results; a run and its extensions have the same checksum."""
    without = {*EXTENDABLE, "train.steps_per_execution"}
    deciding = {name: value for name, value in fields(config).items() if name not in without}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def from_fields(flat: dict[str, Any]) -> Experiment:
    """Return the experiment with these fields; raise ConfigError if a field is unknown or missing.

    Fields whose default is None may be missing, because older runs were stored without them.
    """
    config = Experiment()
    needed = {name for name, value in fields(config).items() if value is not None}
    if wrong := (set(flat) - set(fields(config))) | (needed - set(flat)):
        raise ConfigError(f"Unknown or missing fields: {', '.join(sorted(wrong))}")
    for name, value in flat.items():
        *path, last = name.split(".")
        owner = config
        for part in path:
            owner = getattr(owner, part)
        setattr(owner, last, _replace(value, list, tuple))
    return config


def _replace(value: Any, kind: type, other: type) -> Any:
    """Return `value` with sequences of one kind converted to another, inside dicts too."""
    if isinstance(value, dict):
        return {name: _replace(part, kind, other) for name, part in value.items()}
    return other(value) if isinstance(value, kind) else value


def labels(config: Experiment) -> list[str]:
    """Return the labels of all variants; `[""]` for an experiment that has none."""
    return [*config.variants] or [""]


def variant(config: Experiment, label: str) -> Experiment:
    """Return the experiment of one variant, without variants of its own; for `""` return the experiment unchanged.

    Raises:
        ConfigError: there is no such variant, or it names a field that does not exist or cannot differ.
    """
    if not label and not config.variants:
        return config
    if label not in config.variants:
        raise ConfigError(f"There is no variant {label!r}. Known: {', '.join(labels(config))}")
    flat, changes = fields(config), fields(config)["variants"][label]
    for name in changes:
        if name not in flat:
            near = difflib.get_close_matches(name, flat, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(flat)}"
            raise ConfigError(f"The config has no field {name!r}, which variant {label!r} changes. {hint}")
        if name in _FIXED:
            raise ConfigError(f"Variants cannot change {', '.join(_FIXED)}. Received: {name!r} in variant {label!r}")
    return from_fields(flat | changes | {"variants": {}})


def members(config: Experiment) -> dict[str, Experiment]:
    """Return the experiments of all variants by label."""
    return {label: variant(config, label) for label in labels(config)}


def dense_network_key(member: Experiment) -> str:
    """Return all fields that affect the dense network, as JSON; variants with equal text share one dense network."""
    flat = fields(member)
    deciding = {name: value for name, value in flat.items() if not name.startswith(_AFTER_THE_DENSE_NETWORK)}
    return json.dumps(deciding | {"prune.exclude": flat["prune.exclude"]}, sort_keys=True)


def changes(member: Experiment, config: Experiment) -> dict[str, Any]:
    """Return the values of `member` that differ from `config`, by field, in the form of an entry of `variants`."""
    flat, base = fields(member), fields(config)
    found = {name: value for name, value in flat.items() if value != base[name] and name != "variants"}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def check_variants(config: Experiment) -> None:
    """Check that all labels can be folder names and that all changed fields exist and may vary.

    The values of the fields are checked in `validation`.

    Raises:
        ConfigError: a label or a field is invalid.
    """
    for label in config.variants:
        if not _LABEL.fullmatch(label):
            raise ConfigError(
                "A label of `variants` may contain letters, digits, spaces and =.,%+_- (and must not be level_…, "
                f"shuffle_seed_… or controls). Received: {label!r}"
            )
    folded = [label.casefold() for label in config.variants]  # on some file systems "a" and "A" are the same folder
    if twice := [label for label in config.variants if folded.count(label.casefold()) > 1]:
        raise ConfigError(f"Labels of `variants` must not differ only in case. Received: {', '.join(twice)}")
    members(config)
