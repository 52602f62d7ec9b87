"""Smoke runs: any experiment at a size that shows within a minute whether it runs."""

import dataclasses

from tf_lottery.core import steps
from tf_lottery.experiment import config as config_lib, validation
from tf_lottery.experiment.config import Experiment
from tf_lottery.experiment.lengths import EVERY

_BATCH = 8
_PIXELS = 75  # the smallest input of Inception-v3


def smoke(config: Experiment, devices: int = 1) -> Experiment:
    """Return the experiment at a size that shows within a minute whether it runs: 6 steps on noise, 1 level.

    Args:
        config: The experiment.
        devices: Number of devices that share a batch; the batch has at least 8 examples. Defaults to 1.

    Raises:
        ConfigError: the experiment is impossible.
    """
    validation.check(config)
    small = _small(config, max(devices, 1))
    members = {label: _small(member, max(devices, 1)) for label, member in config_lib.members(config).items() if label}
    return dataclasses.replace(
        small, variants={label: config_lib.changes(member, small) for label, member in members.items()}
    )


def _small(config: Experiment, devices: int) -> Experiment:
    train, prune, stability = config.train, config.prune, config.stability
    levels = min(prune.levels, 1)
    return dataclasses.replace(
        config,
        replicates=1,
        data=dataclasses.replace(config.data, synthetic=True, image_size=min(config.data.image_size, _PIXELS)),
        train=dataclasses.replace(
            train,
            steps="6it",
            evaluate_every="3it",
            batch_size=-(-_BATCH // devices) * devices,
            # A rate for large batches and after a warmup could make weights explode in 6 steps.
            learning_rate=train.learning_rate / 100,
            final_learning_rate=train.final_learning_rate / 100,
            warmup="2it" if steps.to_steps(train.warmup, 1) else "0it",
            drops=tuple("every 2it" if drop.startswith(EVERY) else "4it" for drop in train.drops[:1]),
        ),
        prune=dataclasses.replace(
            prune, levels=levels, rewind_to="2it" if steps.to_steps(prune.rewind_to, 1) else "0it"
        ),
        stability=dataclasses.replace(
            stability,
            levels=tuple({min(level, levels) for level in stability.levels}),
            shuffle_seeds=min(stability.shuffle_seeds, 1),
            points=min(stability.points, 3),
        ),
    )
